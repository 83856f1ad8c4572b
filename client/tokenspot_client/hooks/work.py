"""What a layer computes and moves in one call, and what that is in standard tokens. Pure; token_standard's formulas.

Two figures stand side by side. *Nominal* ST is what the call's tokens are
billed at: weights shared by the version's batch, whatever else ran. *Work* ST
is F/P + M/B of this very call: a decode of one sequence reads all weights for
one token, so its work is far above its nominal ST.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from token_standard import usage
from token_standard.architecture import FLOPS_PER_WEIGHT, Reach, Work
from token_standard.cards import Card, Coefficients, Format, Scaled, coefficients, scaled
from token_standard.version import VERSIONS, Version


@dataclass(frozen=True, slots=True)
class CallShape:
    """One forward pass: ``batch`` sequences of ``new`` positions after ``past`` ones that are kept."""

    batch: int
    new: int
    past: int

    @property
    def positions(self) -> int:
        return self.batch * self.new

    @property
    def decode(self) -> bool:
        """One position after others that are kept: a generated token."""
        return self.new == 1 and self.past > 0

    @property
    def pairs(self) -> int:
        """(query, key) pairs under a causal mask."""
        return self.batch * (self.new * self.past + self.new * (self.new + 1) // 2)


@dataclass(frozen=True)
class Part:
    """A layer, or the output matrix, as it was found in a model."""

    name: str
    weights: int  # elements of matrices
    weight_bytes: int
    attention_width: int = 0  # heads × head size; 0 where nothing attends
    kv_elements: int = 0  # kept per position
    kv_bytes: int = 0

    def linear_flops(self, shape: CallShape) -> int:
        return FLOPS_PER_WEIGHT * self.weights * shape.positions

    def attention_flops(self, shape: CallShape) -> int:
        """Scores and weighted values: two multiply-adds an element."""
        return 4 * self.attention_width * shape.pairs

    def bytes_moved(self, shape: CallShape) -> int:
        """Weights once a call, the keys and values read of every sequence, and those written."""
        kept = shape.batch * (shape.past + shape.new) + shape.positions
        return self.weight_bytes + self.kv_bytes * kept


@dataclass(frozen=True)
class Priced:
    """A part with token_standard's coefficients, as if a model consisted of it alone."""

    part: Part
    format: Format
    version: Version
    is_head: bool = False

    @cached_property
    def coefficients(self) -> Coefficients:
        """Source: token_standard/README.md, "Formulas"."""
        part, layer = self.part, 0 if self.is_head else self.part.weights
        flops = 4 * part.attention_width
        work = Work(
            active_weights=Fraction(layer),
            total_weights=layer,
            dense_weights=layer,
            head_weights=part.weights - layer,
            expert_read=Fraction(0),
            kv_elements=part.kv_elements,
            reaches=(Reach(None, flops, flops, part.kv_elements, part.kv_elements),),
        )
        return coefficients(work, self.format, self.version)

    @cached_property
    def scaled(self) -> Scaled:
        return scaled(self.coefficients)

    def nominal_st(self, shape: CallShape) -> Fraction:
        """ST of the call's tokens: uncached prompt tokens, or one generated token a sequence."""
        if shape.decode:
            return shape.batch * usage.shares(self, n=0, c=shape.past, g=1).output
        return shape.batch * usage.shares(self, n=shape.new, c=shape.past, g=0).total

    def work_st(self, shape: CallShape) -> Fraction:
        """F/P + M/B of the call itself."""
        linear = self.part.linear_flops(shape) / self.format.pi
        return measured_st(linear, self.part.attention_flops(shape), self.part.bytes_moved(shape), version=self.version)


def measured_st(linear: Fraction | int, attention: int, moved: int, *, version: Version) -> Fraction:
    """ST of so many FLOPs (those of weight matrices already divided by the format's discount) and bytes."""
    return (linear + attention) / version.flops_per_st + moved / version.bytes_per_st


class CallPrice:
    """Nominal ST of a call by a card, as a float: for meters' sums, never for a bill. Fast where calls are many."""

    def __init__(self, card: Card) -> None:
        exact = card.coefficients
        self._card, self._per_token = card, float(exact.a_d)
        self._reaches = [(group.width, float(group.b_d)) for group in exact.attending]

    def __call__(self, shape: CallShape) -> float:
        """ST of a generated token a sequence, or of the prompt tokens read."""
        if not shape.decode:
            return float(shape.batch * usage.shares(self._card, n=shape.new, c=shape.past, g=0).total)
        context = shape.past + 1
        reached = sum(b_d * (context if width is None else min(context, width)) for width, b_d in self._reaches)
        return shape.batch * (self._per_token + reached)


class CardMismatch(ValueError):
    """The model in memory is not the one that the card describes."""

    code = "card_mismatch"


def check_against(card: Card, layers: Iterable[Part], head: Part | None) -> None:
    """Refuse a card whose counts differ from the model's by more than 1 %.

    :raises CardMismatch: naming the count and both figures.
    """
    found, described = list(layers), card.architecture
    pairs = {
        "layers": (len(found), described.layers),
        "weights of the layers": (sum(part.weights for part in found), described.total_weights),
        "key and value elements": (sum(part.kv_elements for part in found), described.kv_elements),
    }
    if head is not None:
        pairs["weights of the output matrix"] = (head.weights, described.head_weights)
    for what, (here, there) in pairs.items():
        if 100 * abs(here - there) > there:
            raise CardMismatch(f"{what}: the model has {here}, the card {card.model} {there}")


def version_of(card: Card) -> Version:
    """The constants that a card is valued under."""
    return VERSIONS[card.version]
