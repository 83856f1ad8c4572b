"""Tokenizers that the platform counts with, by name.

The gateway counts tokens itself, as a second meter beside the provider's, so both must cut a text alike. A
tokenizer's name is part of what a count means: a change of its rules is a new name.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from token_standard.errors import TokenStandardError


class UnknownTokenizer(TokenStandardError):
    code = "unknown_tokenizer"


class Tokenizer(Protocol):
    """Cuts text into pieces; the pieces joined are the text."""

    @property
    def name(self) -> str: ...

    def count(self, text: str) -> int:
        """Number of pieces."""
        ...

    def pieces(self, text: str) -> list[str]:
        """The pieces, in order."""
        ...


# Character classes are spelled out, not taken from \w and \s: those follow the Unicode tables of the Python at hand,
# and two meters on two Pythons must agree on every character.
_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CJK = (
    r"\u2e80-\u2fff\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_PUNCTUATION = (
    r"\x00-\x08\x0e-\x1b!-/:-@\[-\^`{-\x84\x86-\x9f\xa1-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"
    r"\u200b-\u2027\u202a-\u202e\u2030-\u205e\u2060-\u206f\u3001-\u3004\u3008-\u303f\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uffef"
)


def _word_piece() -> str:
    """A pattern for the longest run of word characters that fits four UTF-8 bytes, one class per encoded length."""
    apart = f"(?![{_SPACE}{_CJK}{_PUNCTUATION}])"
    one, two = "[0-9A-Za-z_]", rf"(?:{apart}[\x80-\u07ff])"
    three, four = rf"(?:{apart}[\u0800-\uffff])", rf"(?:{apart}[\U00010000-\U0010ffff])"
    after_one_one = f"(?:{one}{one}?|{two})?"
    after_one = f"(?:{one}{after_one_one}|{two}{one}?|{three})?"
    after_two = f"(?:{one}{one}?|{two})?"
    return f"{one}{after_one}|{two}{after_two}|{three}{one}?|{four}"


class ReferenceTokenizer:
    """``utf8-4/1``: runs of white space, single CJK characters and punctuation marks, and words cut into pieces.

    A word is a run of anything else; it is cut from its start into pieces of at most four UTF-8 bytes, never within
    a character. The demo's engine generates with it and the gateway counts with it.
    """

    name = "utf8-4/1"
    _pattern = re.compile(f"[{_SPACE}]+|[{_CJK}{_PUNCTUATION}]|{_word_piece()}")

    def count(self, text: str) -> int:
        return len(self._pattern.findall(text))

    def pieces(self, text: str) -> list[str]:
        return self._pattern.findall(text)


REFERENCE: Tokenizer = ReferenceTokenizer()
TOKENIZERS: Mapping[str, Tokenizer] = MappingProxyType({REFERENCE.name: REFERENCE})


def tokenizer(name: str) -> Tokenizer:
    """The tokenizer of this name.

    :raises UnknownTokenizer: none is registered under it.
    """
    try:
        return TOKENIZERS[name]
    except KeyError:
        raise UnknownTokenizer(f"unknown tokenizer {name!r}; known: {', '.join(TOKENIZERS)}") from None
