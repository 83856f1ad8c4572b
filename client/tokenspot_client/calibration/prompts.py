"""Prompts that no prefix cache has seen: random words from the first on, as many as give the wanted tokens."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Short, common words: one token each in most vocabularies. Where they are more, the two probes find out.
_TEXT = """
time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work number night point home water
room mother area money story fact month lot right study book eye job word business issue side kind
head house service friend father power hour game line end member law car city name team minute idea
body back parent face level office door health person art war history party result change morning
reason research girl guy moment air teacher force order
"""
_WORDS = _TEXT.split()
SHORT_PROBE, LONG_PROBE = 32, 96  # words


@dataclass(frozen=True)
class Measure:
    """How many tokens an engine makes of words: ``fixed`` for what it puts around a prompt, and so many a word."""

    fixed: float
    per_word: float

    @classmethod
    def of(cls, short_tokens: int, long_tokens: int) -> Measure:
        """From the prompt tokens of the two probes."""
        per_word = max((long_tokens - short_tokens) / (LONG_PROBE - SHORT_PROBE), 0.01)
        return cls(max(short_tokens - per_word * SHORT_PROBE, 0.0), per_word)

    def words(self, tokens: int) -> int:
        """Words of a prompt of about so many tokens; at least one."""
        return max(round((tokens - self.fixed) / self.per_word), 1)


def text(words: int, chance: random.Random) -> str:
    """A prompt of so many random words."""
    return " ".join(chance.choices(_WORDS, k=words))
