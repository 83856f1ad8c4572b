"""The published cards: every model of ``catalogue.json`` in every format named there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from token_standard.architecture import Architecture, from_json
from token_standard.cards import Card, published_format
from token_standard.errors import TokenStandardError
from token_standard.version import version

DEFAULT_FORMAT = "fp16"


class UnknownCard(TokenStandardError):
    code = "unknown_card"


@dataclass(frozen=True)
class Model:
    """A model of the catalogue: the name programs use, the name people read, and its cards by format."""

    name: str
    title: str
    architecture: Architecture
    cards: Mapping[str, Card]


@cache
def models() -> tuple[Model, ...]:
    """All models, in the order of the catalogue."""
    plain = json.loads(files("token_standard").joinpath("catalogue.json").read_text(encoding="utf-8"))
    formats, version_name = plain["formats"], plain["version"]
    return tuple(
        _model(entry, formats=entry.get("formats", formats), version_name=version_name) for entry in plain["models"]
    )


def cards() -> tuple[Card, ...]:
    """All cards, by model and then by format."""
    return tuple(card for model in models() for card in model.cards.values())


def card(model: str, format: str = DEFAULT_FORMAT) -> Card:
    """The card of a model in a format.

    :raises UnknownCard: the catalogue has no such model, or not in this format.
    """
    known = {entry.name: entry for entry in models()}
    if model not in known:
        raise UnknownCard(f"no card for model {model!r}; known: {', '.join(known)}")
    if format not in known[model].cards:
        raise UnknownCard(f"no {format!r} card for {model}; known: {', '.join(known[model].cards)}")
    return known[model].cards[format]


def card_by_digest(digest: str) -> Card:
    """The card that a usage record names, by its full digest.

    :raises UnknownCard: the catalogue never had it.
    """
    for each in cards():
        if each.digest == digest:
            return each
    raise UnknownCard(f"no card with digest {digest!r}")


def _model(entry: Mapping[str, Any], *, formats: list[str], version_name: str) -> Model:
    architecture = from_json(entry["architecture"])
    by_format = {
        name: Card(
            model=entry["model"],
            architecture=architecture,
            format=published_format(name, version(version_name)),
            mu_p=Fraction(entry.get("mu_p", "1")),
            mu_d=Fraction(entry.get("mu_d", "1")),
            evidence=entry["evidence"],
            provisional=entry["provisional"],
            version=version_name,
        )
        for name in formats
    }
    return Model(entry["model"], entry["title"], architecture, MappingProxyType(by_format))
