"""A card: how the tokens of one model in one number format convert to standard tokens.

It stores structural integers and derives the coefficients, so two parties that hold the same card hold the same
numbers to the last digit. Its digest is the identity that usage records keep.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any, NamedTuple, Protocol

from token_standard import architecture as architectures
from token_standard.architecture import FLOPS_PER_WEIGHT, Architecture, Reach, Work
from token_standard.errors import TokenStandardError
from token_standard.version import CURRENT, MICRO, VERSIONS, Version
from token_standard.version import version as version_named

SHORT_DIGEST_PREFIX = "card_"
SHORT_DIGEST_LENGTH = 16  # hex digits


class InvalidCard(TokenStandardError):
    code = "invalid_card"


@dataclass(frozen=True)
class Format:
    """A number format: FLOP discount of weight matrices, bytes of a weight, bytes of a key or value element."""

    name: str
    pi: Fraction
    w: Fraction
    v: Fraction

    def __post_init__(self) -> None:
        if not all(isinstance(x, Fraction) and x > 0 for x in (self.pi, self.w, self.v)):
            raise InvalidCard("pi, w and v must be fractions above zero")


def published_format(name: str, version: Version = CURRENT) -> Format:
    """The format whose weights, key/value elements and arithmetic are all ``name``, e.g. ``fp16`` or ``fp8``.

    :raises InvalidCard: the version knows no such arithmetic or no such storage.
    """
    if name not in version.compute_discount or name not in version.storage_bytes:
        raise InvalidCard(f"{version.name} has no format {name!r}")
    storage = version.storage_bytes[name]
    return Format(name=name, pi=Fraction(version.compute_discount[name]), w=storage, v=storage)


@dataclass(frozen=True)
class Attending:
    """Coefficients of layers that share a window, in ST per position attended to; ``width`` None is all positions."""

    width: int | None
    b_p: Fraction  # per position that an uncached prompt token attends to
    c_c: Fraction  # per cached position read
    b_d: Fraction  # per position that a generated token attends to


@dataclass(frozen=True)
class Coefficients:
    """What a request costs, in ST; corrections are inside.

    ``a_p·n + b_p·(n·c + n(n+1)/2) + c_c·c + a_d·g + b_d·(g·P + g(g+1)/2)`` for n uncached and c cached prompt
    tokens, P = n + c, and g generated. With sliding windows ``b_p``, ``c_c`` and ``b_d`` hold as long as the context
    fits the narrowest window; beyond it the sum goes over :attr:`attending`.
    """

    a_p: Fraction
    a_d: Fraction
    attending: tuple[Attending, ...]

    @property
    def b_p(self) -> Fraction:
        return sum((group.b_p for group in self.attending), Fraction(0))

    @property
    def c_c(self) -> Fraction:
        return sum((group.c_c for group in self.attending), Fraction(0))

    @property
    def b_d(self) -> Fraction:
        return sum((group.b_d for group in self.attending), Fraction(0))


class Priced(Protocol):
    """Whatever has coefficients can be valued: a card, or a graph that was counted."""

    @property
    def coefficients(self) -> Coefficients: ...

    @property
    def scaled(self) -> "Scaled": ...


class Scaled(NamedTuple):
    """The coefficients as integers over one denominator, for micro-ST without fractions.

    ``a_p·n + … `` with these is micro-ST times ``denominator``. The three ``b_p``, ``c_c`` and ``b_d`` are of the
    layers without a window; ``windows`` are (width, b_p, c_c, b_d).
    """

    a_p: int
    b_p: int
    c_c: int
    a_d: int
    b_d: int
    denominator: int
    windows: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Card:
    """A published conversion. Immutable: any change is a new card with a new digest.

    ``mu_p`` and ``mu_d`` are the published corrections of prompt and generated tokens; ``provisional`` says that they
    are not yet backed by measurement, ``evidence`` what the card rests on.

    :raises InvalidCard: a correction that is not a fraction above zero, or an empty model name.
    :raises UnknownVersion: the version was never published.
    """

    model: str
    architecture: Architecture
    format: Format
    mu_p: Fraction = Fraction(1)
    mu_d: Fraction = Fraction(1)
    evidence: str = ""
    provisional: bool = False
    version: str = CURRENT.name

    def __post_init__(self) -> None:
        if not self.model:
            raise InvalidCard("a card needs a model name")
        if not all(isinstance(mu, Fraction) and mu > 0 for mu in (self.mu_p, self.mu_d)):
            raise InvalidCard("mu_p and mu_d must be fractions above zero")
        version_named(self.version)

    @cached_property
    def coefficients(self) -> Coefficients:
        """The exact coefficients, in ST. Source: README.md, "Formulas"."""
        return _coefficients(self, VERSIONS[self.version])

    @cached_property
    def scaled(self) -> Scaled:
        """The coefficients prepared for the metering hot path."""
        return scaled(self.coefficients)

    @cached_property
    def canonical_json(self) -> bytes:
        """The card in the one spelling that its digest is taken of: sorted keys, no spaces, ASCII."""
        return json.dumps(to_json(self), sort_keys=True, separators=(",", ":")).encode("ascii")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json).hexdigest()

    @property
    def short_digest(self) -> str:
        """The digest as people read it: ``card_`` and its first 16 digits."""
        return SHORT_DIGEST_PREFIX + self.digest[:SHORT_DIGEST_LENGTH]


def to_json(card: Card) -> dict[str, Any]:
    """Plain JSON values, fractions as ``"9/16"``; :func:`from_json` gives the same card back."""
    return {
        "architecture": architectures.to_json(card.architecture),
        "evidence": card.evidence,
        "format": {
            "name": card.format.name,
            "pi": str(card.format.pi),
            "v": str(card.format.v),
            "w": str(card.format.w),
        },
        "model": card.model,
        "mu_d": str(card.mu_d),
        "mu_p": str(card.mu_p),
        "provisional": card.provisional,
        "version": card.version,
    }


def from_json(plain: Mapping[str, Any]) -> Card:
    """Read what :func:`to_json` wrote.

    :raises InvalidCard: unknown, missing or impossible fields (InvalidArchitecture for those of the architecture).
    """
    try:
        values = dict(plain)
        form = dict(values.pop("format"))
        values["format"] = Format(name=form.pop("name"), **{name: _fraction(text) for name, text in form.items()})
        values["mu_p"], values["mu_d"] = _fraction(values["mu_p"]), _fraction(values["mu_d"])
        values["architecture"] = architectures.from_json(values["architecture"])
        return Card(**values)
    except TokenStandardError:
        raise
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidCard(f"not a card: {error}") from error


def _fraction(text: object) -> Fraction:
    if not isinstance(text, str):  # a JSON number may have been through a float
        raise TypeError(f"fractions are written as text, got {text!r}")
    return Fraction(text)


def _coefficients(card: Card, version: Version) -> Coefficients:
    work = card.architecture.work(expert_batch=version.expert_batch)
    return coefficients(work, card.format, version, mu_p=card.mu_p, mu_d=card.mu_d)


def coefficients(
    work: Work, form: Format, version: Version, *, mu_p: Fraction = Fraction(1), mu_d: Fraction = Fraction(1)
) -> Coefficients:
    """Coefficients, in ST, from what a model computes and reads. Source: README.md, "Formulas"."""
    per_flop, per_byte = 1 / version.flops_per_st, 1 / version.bytes_per_st
    written, state = form.v * work.kv_elements, form.v * work.state_moved

    prompt_flops = FLOPS_PER_WEIGHT * work.active_weights / form.pi + work.state_flops
    prompt_bytes = (form.w * work.total_weights + state) / version.prefill_chunk + written
    generated_flops = FLOPS_PER_WEIGHT * (work.active_weights + work.head_weights) / form.pi + work.state_flops
    shared_read = Fraction(work.dense_weights + work.head_weights, version.dense_batch)
    generated_bytes = form.w * (shared_read + work.expert_read) + written + state

    def attending(reach: Reach) -> Attending:
        read = form.v * reach.read_elements * per_byte
        return Attending(
            width=reach.width,
            b_p=mu_p * reach.prefill_flops * per_flop,
            c_c=mu_p * form.v * reach.cached_elements * per_byte,
            b_d=mu_d * (reach.decode_flops * per_flop + read),
        )

    return Coefficients(
        a_p=mu_p * (prompt_flops * per_flop + prompt_bytes * per_byte),
        a_d=mu_d * (generated_flops * per_flop + generated_bytes * per_byte),
        attending=tuple(map(attending, work.reaches)),
    )


def scaled(exact: Coefficients) -> Scaled:
    """The same coefficients as integers over one denominator."""
    everywhere, *windowed = exact.attending
    micro = [x * MICRO for x in (exact.a_p, everywhere.b_p, everywhere.c_c, exact.a_d, everywhere.b_d)]
    per_window = [[x * MICRO for x in (group.b_p, group.c_c, group.b_d)] for group in windowed]

    denominator = lcm(*(x.denominator for x in [*micro, *(x for group in per_window for x in group)]))

    def whole(x: Fraction) -> int:
        return x.numerator * (denominator // x.denominator)

    windows = tuple(
        (group.width, whole(b_p), whole(c_c), whole(b_d))
        for group, (b_p, c_c, b_d) in zip(windowed, per_window, strict=True)
        if group.width is not None
    )
    a_p, b_p, c_c, a_d, b_d = map(whole, micro)
    return Scaled(a_p, b_p, c_c, a_d, b_d, denominator, windows)
