"""``second-opinion``: the closed form of a dense model against what PyTorch multiplies for the same prompt."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from token_standard.errors import TokenStandardError
from token_standard.graphs.torch_module import count_configuration
from token_standard.huggingface import read_config

MOST_TOKENS = 32_768


class BadRequest(TokenStandardError):
    code = "bad_request"


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "second-opinion",
        help="a dense model's FLOPs as PyTorch counts them, without weights (needs torch and transformers)",
        description="FLOPs of a prompt by the closed form and by PyTorch under fake tensors; exit code 1 where "
        "they differ by more than 1 %.",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.json")
    parser.add_argument("--tokens", type=int, default=2048, metavar="N", help="length of the prompt (default 2,048)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Iterator[str]:
    """The lines to print.

    :raises TokenStandardError: the configuration cannot be read, PyTorch cannot count it, or the two differ.
    """
    if not 1 <= options.tokens <= MOST_TOKENS:
        raise BadRequest(f"--tokens must lie in 1..{MOST_TOKENS}")
    shape = read_config(options.config).architecture
    counted = count_configuration(json.loads(options.config.read_text(encoding="utf-8")), tokens=options.tokens)
    linear = 2 * (shape.active_weights + shape.head_weights) * options.tokens
    # Eager attention multiplies the whole square of positions, twice what the causal mask leaves.
    square = shape.attention_layers * shape.attention.prefill_flops * options.tokens**2
    ours, theirs = linear + square, counted.linear_flops + counted.attention_flops
    yield f"prompt      {options.tokens} tokens"
    yield f"closed form {linear} FLOP with weights, {square} FLOP of attention over the whole square"
    yield f"PyTorch     {counted.linear_flops} FLOP with weights, {counted.attention_flops} FLOP of attention"
    yield f"ratio       {theirs / ours:.4f}"
    if abs(theirs / ours - 1) > 0.01:
        raise BadRequest("the two differ by more than 1 %")
