"""``estimate``: what a request or a trace would cost, from a model's name, configuration, ONNX file or StableHLO text."""

import argparse
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from token_standard import catalogue, estimates, images, traces, usage
from token_standard.cards import Priced
from token_standard.commands.card import describe
from token_standard.errors import TokenStandardError
from token_standard.figures import CONTEXTS, decimal, significant
from token_standard.graphs import Counted, Program, count_onnx, count_stablehlo
from token_standard.huggingface import read_config
from token_standard.huggingface.quantised import UNQUANTISED, named_format
from token_standard.version import CURRENT, MICRO

MOST_TOKENS = 10**12
_WHOLE_PROMPT = -1  # `--cached` without a number
_PRICE = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_STABLEHLO = {".mlir", ".stablehlo"}


class BadRequest(TokenStandardError):
    code = "bad_request"


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "estimate",
        help="what a request or a trace would cost",
        description="Standard tokens of a request or a trace. ST are exact; the interval is about measured cost.",
    )
    parser.add_argument("model", metavar="MODEL", help="a catalogue's model, CONFIG.json, FILE.onnx or MODULE.mlir")
    parser.add_argument("--input", type=_count, metavar="N", help="prompt tokens")
    parser.add_argument("--output", type=_count, metavar="M", help="generated tokens")
    parser.add_argument(
        "--cached", type=_count, nargs="?", const=_WHOLE_PROMPT, default=0, metavar="C",
        help="prompt tokens that come from the cache; without a number all but the last, or a trace's repeated blocks",
    )  # fmt: skip
    parser.add_argument(
        "--trace", type=Path, metavar="FILE", help="value this trace: an Azure CSV or Mooncake JSON lines"
    )
    parser.add_argument("--format", metavar="NAME", help="number format (default: the model's own, else fp16)")
    parser.add_argument(
        "--price", type=_price_of, metavar="YUAN", help="price per million ST, such as 1.80: prints the cost too"
    )
    parser.add_argument("--images", type=_count, metavar="K", help="images of a request (default: 1 with --image)")
    parser.add_argument(
        "--image", type=_image_of, metavar="PATCHES:TOKENS:WEIGHTS:WIDTH:LAYERS",
        help="an image and the encoder that reads it: its tokens are prompt tokens, its work is printed apart",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Iterator[str]:
    """The lines to print.

    :raises TokenStandardError: the model cannot be read or counted, or the request makes no sense.
    """
    if Path(options.model).suffix.lower() in _STABLEHLO:
        yield from _program(options)
        return
    priced, lines = _priced(options)
    yield from lines
    requests = list(_requests(options))
    if isinstance(priced, Counted) and not priced.has_cache and any(c or g for _, c, g in requests):
        raise BadRequest(
            "the graph has no key/value cache: export it with past_key_values to estimate cached or output tokens"
        )
    cached = not isinstance(priced, Counted) or priced.has_cache
    for context in CONTEXTS:
        prompt = decimal(usage.st_per_prompt(priced, prompt=context), 6)
        output = decimal(usage.st_per_generated(priced, context=context), 6) if cached else "-"
        yield f"at {context:<8} {prompt} ST a prompt token (mean), {output} ST an output token"
    if requests:
        yield from _totals(priced, requests, options.price)
        yield from _encoder(options)
    elif options.price is not None:
        raise BadRequest("--price needs requests: --input and --output, or --trace")


def _totals(priced: Priced, requests: list[tuple[int, int, int]], price: Fraction | None) -> Iterator[str]:
    result = estimates.estimate(priced, requests)
    total, interval = result.total, result.interval
    yield f"requests    {total.requests}: {total.prompt} prompt tokens ({total.cached} cached), {total.generated} output"
    if total.requests == 1:
        ((n, c, g),) = requests
        parts = usage.shares(priced, n=n, c=c, g=g)
        yield f"prompt      {decimal(parts.input, 6)} ST"
        yield f"cached      {decimal(parts.cached, 6)} ST"
        yield f"output      {decimal(parts.output, 6)} ST"
    else:
        yield f"mean        {decimal(total.exact / total.requests, 6)} ST a request"
        yield f"exact       {usage.st_text(round(total.exact * MICRO))} ST, the exact sum, rounded once"
    yield f"total       {usage.st_text(total.micro_st)} ST, as invoiced"
    yield f"interval    {significant(interval.low)} to {significant(interval.high)} ST if measured"
    yield f"method      {interval.method}"
    yield from _cost(Fraction(total.micro_st, MICRO), interval, price)


def _encoder(options: argparse.Namespace) -> Iterator[str]:
    """The encoder's work: an estimate beside the bill, since cards hold no encoder."""
    if options.image is None:
        return
    encoder, image = options.image
    pictures = [image] * (1 if options.images is None else options.images)
    st = images.encoder_st(encoder, pictures)
    yield f"encoder     {significant(st)} ST more for {len(pictures)} images, not invoiced"


def _image_tokens(options: argparse.Namespace) -> int:
    if options.image is None:
        if options.images is not None:
            raise BadRequest("--images needs --image")
        return 0
    if options.trace is not None:
        raise BadRequest("--image goes with --input and --output, not with --trace")
    _, image = options.image
    return int(image.tokens) * (1 if options.images is None else options.images)


def _image_of(text: str) -> tuple[images.Encoder, images.Image]:
    parts = text.split(":")
    if len(parts) != 5 or not all(part.isascii() and part.isdigit() and len(part) < 13 for part in parts):
        raise argparse.ArgumentTypeError("five whole numbers with ':' between them are needed")
    patches, tokens, weights, width, layers = map(int, parts)
    if not (patches and weights and width and layers):
        raise argparse.ArgumentTypeError("patches, weights, width and layers are at least 1")
    return images.Encoder(weights, width, layers), images.Image(patches, tokens)


def _cost(st: Fraction, interval: estimates.Interval, price: Fraction | None) -> Iterator[str]:
    """Yuan at a price per million ST."""
    if price is None:
        return
    low, amount, high = (significant(each * price / MICRO, 6) for each in (interval.low, st, interval.high))
    yield f"price       {significant(price, 3)} CNY per million ST"
    yield f"cost        {amount} CNY, {low} to {high} by the interval"


def _priced(options: argparse.Namespace) -> tuple[Priced, Iterator[str]]:
    path = Path(options.model)
    if path.suffix.lower() == ".onnx":
        counted = count_onnx(path, named_format(options.format or UNQUANTISED))
        return counted, _graph(counted)
    if path.suffix.lower() == ".json":
        reading = read_config(path)
        card = reading.card(options.format)
        return card, describe(card, reading.notes)
    card = catalogue.card(options.model, options.format or first_format(options.model))
    return card, describe(card)


def first_format(model: str) -> str:
    """fp16 where the catalogue has it; the only format of models that it has in one."""
    known = {entry.name: entry for entry in catalogue.models()}
    if model in known and catalogue.DEFAULT_FORMAT not in known[model].cards:
        return next(iter(known[model].cards))
    return catalogue.DEFAULT_FORMAT


def _graph(counted: Counted) -> Iterator[str]:
    work = counted.work
    yield f"graph       {counted.name} {counted.format.name}, {CURRENT.name}, {sum(counted.nodes.values())} operations"
    used = int(work.active_weights + work.head_weights)
    yield f"weights     {work.total_weights + work.head_weights}, of which a generated token uses {used}"
    yield f"attention   {work.reaches[0].prefill_flops} FLOP a pair of tokens; {work.kv_elements} cache elements a token"


def _program(options: argparse.Namespace) -> Iterator[str]:
    if options.output or options.cached or options.trace:
        raise BadRequest(
            "a StableHLO module is one program of fixed shapes: only --input, the tokens of a run, goes with it"
        )
    program: Program = count_stablehlo(Path(options.model))
    form = named_format(options.format or UNQUANTISED)
    st = program.st(form)
    yield f"program     {program.name} {form.name}, {CURRENT.name}, {program.products} products"
    yield f"FLOP        {program.linear_flops} with weights, {program.attention_flops} between activations"
    yield f"bytes       {int(program.argument_bytes)} of arguments, {int(program.result_bytes)} of results, each moved once"
    yield f"run         {significant(st)} ST"
    if options.input:
        yield f"token       {significant(st / options.input)} ST, {options.input} tokens a run"
    spread = estimates.around_closed_form(st)
    yield f"interval    {significant(spread.low)} to {significant(spread.high)} ST a run if measured, no batch shared"
    yield f"method      {spread.method}"
    yield from _cost(st, spread, options.price)


def _requests(options: argparse.Namespace) -> Iterator[tuple[int, int, int]]:
    pictured = _image_tokens(options)
    if options.trace is not None:
        if options.input is not None or options.output is not None or options.cached > 0:
            raise BadRequest("give either --trace or --input and --output")
        for row, cached in traces.cached_tokens(traces.read_trace(options.trace)):
            if options.cached and row.hash_ids is None:
                raise BadRequest(f"{options.trace} has no hash ids, so --cached does not apply")
            c = cached if options.cached else 0
            yield row.prompt - c, c, row.generated
        return
    if options.input is None and options.output is None:
        return
    prompt = (options.input or 0) + pictured
    cached = max(0, prompt - 1) if options.cached == _WHOLE_PROMPT else options.cached
    if cached > prompt:
        raise BadRequest(f"--cached {cached} is more than --input {prompt}")
    yield prompt - cached, cached, options.output or 0


def _price_of(text: str) -> Fraction:
    if not _PRICE.fullmatch(text):
        raise argparse.ArgumentTypeError("yuan per million ST with at most six decimals, such as 1.80")
    return Fraction(text)


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= value <= MOST_TOKENS:
        raise argparse.ArgumentTypeError(f"a whole number of tokens from 0 to {MOST_TOKENS}")
    return value
