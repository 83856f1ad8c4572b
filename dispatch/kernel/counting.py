"""The gateway's own meter: tokens of a prompt, and of what was delivered."""

from __future__ import annotations

from collections.abc import Iterable

from token_standard.tokenizer import Tokenizer

_ROGUE_FACTOR, _ROGUE_MARGIN = 4, 256


def prompt_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> int:
    """Tokens of a prompt: each message on its own. The chat template's own tokens are not counted."""
    return sum(tokenizer.count(text) for text in texts)


class Delivered:
    """What reached the client. Counted as one text, since cutting a stream elsewhere must not change the count."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._at_most = 0

    def add(self, text: str, thought: str) -> None:
        """Note a piece once it was handed over."""
        for value, kept in ((text, self._texts), (thought, self._thoughts)):
            if value:
                kept.append(value)
                self._at_most += self._tokenizer.count(value)

    @property
    def rogue(self) -> bool:
        """Whether the engine sends so much beyond the limit that it is not worth waiting for its end.

        Engines count with their own tokenizer, so a small surplus is honest; it is never billed.
        """
        return self._at_most > _ROGUE_FACTOR * self._max_tokens + _ROGUE_MARGIN

    @property
    def nothing(self) -> bool:
        """Whether no text has been delivered."""
        return not self._texts and not self._thoughts

    def tokens(self) -> int:
        """Generated tokens that were delivered; what passes the request's own limit is not among the billed ones."""
        return self._tokenizer.count("".join(self._texts)) + self._tokenizer.count("".join(self._thoughts))

    def text(self) -> str:
        """All the text, for an answer in one piece."""
        return "".join(self._texts)

    def thought(self) -> str:
        """All the reasoning, for an answer in one piece."""
        return "".join(self._thoughts)
