"""``card CONFIG.json``: the card of a model out of its published configuration."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from token_standard import cards, usage
from token_standard.cards import Card
from token_standard.figures import CONTEXTS, GIGA, KIB, decimal
from token_standard.huggingface import Reading, read_config, read_json, with_adapter
from token_standard.huggingface.quantised import NAMES


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "card",
        help="make a card from a model's config.json",
        description="Read a Hugging Face config.json; print the card, and what its tokens cost.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.json")
    parser.add_argument("--format", metavar="NAME", help=f"instead of the configuration's own: {', '.join(NAMES)}")
    parser.add_argument("--name", default="", help="the model's name (default: the file's own, or its folder)")
    parser.add_argument("--adapter", type=Path, metavar="adapter_config.json", help="a LoRA adapter on top")
    parser.add_argument("--json", action="store_true", help="print the card's canonical JSON only")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Iterator[str]:
    """The lines to print.

    :raises InvalidConfig: the configuration gives no card.
    """
    reading = read_with_adapter(options.config, name=options.name, adapter=options.adapter)
    card = reading.card(options.format)
    if options.json:
        yield json.dumps(cards.to_json(card), sort_keys=True)
        return
    yield from describe(card, reading.notes)
    shape = card.architecture
    yield f"parameters  {decimal(Fraction(reading.parameters, GIGA), 2)} B stored{', tied' if reading.tied else ''}"
    yield f"active      {decimal(Fraction(shape.active_parameters, GIGA), 2)} B a token, output matrix included"
    yield f"GFLOP       {decimal(Fraction(shape.generation_flops(2048), GIGA), 2)} a generated token at 2048"
    yield f"KV          {decimal(card.format.v * shape.kv_elements / KIB, 1)} KiB a token"
    if shape.linear:
        state = card.format.v * shape.state_elements / KIB
        yield f"state       {decimal(state, 1)} KiB a sequence, of {shape.linear.layers} layers with linear attention"
    for context in CONTEXTS:
        yield f"output      {decimal(usage.st_per_generated(card, context=context), 3)} ST a token at {context}"
    yield f"prompt      {decimal(usage.st_per_prompt(card, prompt=2048), 4)} ST a token, mean of 2048 uncached"


def describe(card: Card, notes: tuple[str, ...] = ()) -> Iterator[str]:
    """What a card is, line by line."""
    yield f"card        {card.model} {card.format.name}, {card.version}, {card.short_digest}"
    yield f"digest      {card.digest}"
    yield f"evidence    {card.evidence}{' (provisional)' if card.provisional else ''}"
    for note in notes:
        yield f"note        {note}"


def read_with_adapter(config: Path, *, name: str, adapter: Path | None) -> Reading:
    """A configuration, with an adapter on top when there is one.

    :raises InvalidConfig: one of the two gives no card.
    """
    reading = read_config(config, name=name)
    if adapter is None:
        return reading
    return replace(
        reading,
        name=f"{reading.name}+lora",
        architecture=with_adapter(reading.architecture, read_json(adapter)),
        notes=(*reading.notes, "a LoRA adapter is on top, not merged"),
    )
