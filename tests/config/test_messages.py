"""Both languages ship together."""

from __future__ import annotations

import re

from config import messages

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}")


def translations() -> dict[str, str]:
    found = {}
    for message in messages.catalogue():
        if message.id:
            singular = message.id[0] if isinstance(message.id, tuple) else message.id
            found[singular] = message.string[0] if isinstance(message.string, tuple) else message.string
    return found


class TestChinese:
    def test_every_word_of_pages_and_code_is_translated(self) -> None:
        known = translations()

        assert [word for word in messages.words() if not known.get(word[0])] == []

    def test_placeholders_are_those_of_the_original(self) -> None:
        known = translations()
        for word in messages.words():
            assert set(PLACEHOLDER.findall(known[word[0]])) == set(PLACEHOLDER.findall(word[-1])), word
