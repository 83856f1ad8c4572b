"""A Llama of random weights: grouped-query attention, rotary positions, gated feed-forward, bytes as tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BYTES = 256
END = 256  # ends a text
TURN = 257  # stands before each message
VOCABULARY = 258


@dataclass(frozen=True)
class Shape:
    """The structural integers, named as in token_standard."""

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 128
    vocabulary: int = VOCABULARY

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


@dataclass
class Sequence:
    """The tokens of one request and their keys and values, position by position."""

    keys: Floats  # layers × positions × kv heads × head size
    values: Floats
    tokens: list[int] = field(default_factory=list)
    computed: int = 0  # positions whose keys and values are there

    @classmethod
    def of(cls, shape: Shape, tokens: list[int], room: int) -> Sequence:
        size = (shape.layers, len(tokens) + room, shape.kv_heads, shape.head_dim)
        return cls(np.empty(size, np.float32), np.empty(size, np.float32), list(tokens))


TINY = Shape()


class Llama:
    """Weights drawn from a seed; two with one seed are alike."""

    def __init__(self, shape: Shape = TINY, seed: int = 1) -> None:
        self.shape = shape
        chance = np.random.default_rng(seed)

        def matrix(rows: int, columns: int) -> Floats:
            return (chance.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)

        d, wide, narrow = shape.hidden, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self._embedding = chance.standard_normal((shape.vocabulary, d)).astype(np.float32)
        self._head = matrix(d, shape.vocabulary)
        sizes = {"q": (d, wide), "k": (d, narrow), "v": (d, narrow), "o": (wide, d)}
        sizes |= {"gate": (d, shape.intermediate), "up": (d, shape.intermediate), "down": (shape.intermediate, d)}
        self._layers = [{name: matrix(*size) for name, size in sizes.items()} for _ in range(shape.layers)]
        self._frequencies = 10_000.0 ** (-np.arange(0, shape.head_dim, 2) / shape.head_dim)

    def forward(self, sequence: Sequence, until: int) -> Floats:
        """Compute positions ``computed .. until - 1``; gives the logits after each of them."""
        start, shape = sequence.computed, self.shape
        positions = np.arange(start, until)
        x = self._embedding[sequence.tokens[start:until]]
        for number, weights in enumerate(self._layers):
            h = _normed(x)
            q = self._turned((h @ weights["q"]).reshape(len(x), shape.heads, -1), positions)
            sequence.keys[number, start:until] = self._turned(
                (h @ weights["k"]).reshape(len(x), shape.kv_heads, -1), positions
            )
            sequence.values[number, start:until] = (h @ weights["v"]).reshape(len(x), shape.kv_heads, -1)
            x = (
                x
                + self._attend(q, sequence.keys[number, :until], sequence.values[number, :until], start) @ weights["o"]
            )
            h = _normed(x)
            gate = h @ weights["gate"]
            x = x + (gate / (1 + np.exp(-gate)) * (h @ weights["up"])) @ weights["down"]
        sequence.computed = until
        logits: Floats = _normed(x) @ self._head
        return logits

    def _attend(self, q: Floats, keys: Floats, values: Floats, start: int) -> Floats:
        group = self.shape.heads // self.shape.kv_heads
        keys, values = np.repeat(keys, group, axis=1), np.repeat(values, group, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, keys) / np.sqrt(self.shape.head_dim)
        hidden = np.arange(len(keys))[None, :] > start + np.arange(len(q))[:, None]
        scores = np.where(hidden[None], -np.inf, scores)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended: Floats = np.einsum("hqk,khd->qhd", weights, values).reshape(len(q), -1).astype(np.float32)
        return attended

    def _turned(self, x: Floats, positions: NDArray[np.int64]) -> Floats:
        angle = positions[:, None, None] * self._frequencies
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = np.empty_like(x)
        turned[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
        turned[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
        return turned


def _normed(x: Floats) -> Floats:
    normed: Floats = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)
    return normed
