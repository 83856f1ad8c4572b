"""Seeded pseudo-text of an exact number of tokens, in English with some Chinese."""

from __future__ import annotations

import random
from collections.abc import Iterator

from token_standard.tokenizer import REFERENCE

_SENTENCE = (
    "the market clears every few seconds and each buyer pays one price for what the meter counted while providers "
    "offer idle hours of their devices at a discount so that tokens find a use before the window closes again fair "
    "rounds need no trust because anyone can check them with a short program and the printed orders"
)
_ENGLISH = tuple(_SENTENCE.split())
_CHINESE = ("词元", "现货", "市场", "每隔几秒", "出清一次", "价格公开", "计量准确", "闲时算力", "不再浪费", "账单清楚")
_FEWEST, _MOST = 200, 800


def natural_length(seed: str) -> int:
    """How many tokens this seed's text would have if nobody limited it."""
    return random.Random(f"length {seed}").randint(_FEWEST, _MOST)


def pieces(seed: str, count: int) -> list[str]:
    """`count` pieces whose concatenation the reference tokenizer cuts into exactly these pieces."""
    stream = _pieces(random.Random(f"text {seed}"))
    return [next(stream) for _ in range(count)]


def _pieces(chance: random.Random) -> Iterator[str]:
    """Words apart by single spaces, so that joining never makes two pieces one."""
    first = True
    while True:
        words = [chance.choice(_ENGLISH) for _ in range(chance.randint(4, 12))]
        if chance.random() < 0.3:
            words = [chance.choice(_CHINESE) for _ in range(chance.randint(2, 4))]
        sentence = ("" if first else " ") + " ".join(words) + "."
        first = False
        yield from REFERENCE.pieces(sentence)
