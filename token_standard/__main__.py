"""``python -m token_standard``: value a trace in standard tokens, or list the published cards."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction

from token_standard import catalogue, commands, traces, usage
from token_standard.catalogue import Model
from token_standard.errors import TokenStandardError
from token_standard.figures import CONTEXTS, GIGA, KIB, decimal
from token_standard.version import CURRENT, MICRO

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 2 bad input with one sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        lines = list(options.run(options))
    except TokenStandardError as error:
        print(f"token_standard: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough, as in `... | head`
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m token_standard", description=f"Convert model tokens to standard tokens (ST), {CURRENT.name}."
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    cards = subparsers.add_parser("cards", help="list the published cards", description="List the published cards.")
    cards.set_defaults(run=lambda _: _cards())
    total = subparsers.add_parser(
        "total",
        help="value a request trace",
        description="Value every request of a trace: an Azure CSV or Mooncake JSON lines, gzipped or not.",
    )
    total.add_argument("--card", required=True, metavar="MODEL", help="model of the catalogue, such as llama-3-8b")
    total.add_argument("--format", default=catalogue.DEFAULT_FORMAT, help="number format (default: %(default)s)")
    total.add_argument(
        "--prefix-cache",
        action="store_true",
        help="take prompt blocks that an earlier request had as cached (needs a trace with hash ids)",
    )
    total.add_argument("trace", metavar="TRACE", help="the file")
    total.set_defaults(run=_total)
    commands.add(subparsers)
    return parser


def _total(options: argparse.Namespace) -> Iterator[str]:
    card = catalogue.card(options.card, options.format)
    sums = usage.total(card, _requests(options.trace, prefix_cache=options.prefix_cache))
    yield f"card       {card.model} {card.format.name}, {card.version}, {card.short_digest}"
    yield f"requests   {sums.requests}"
    yield f"prompt     {sums.prompt}"
    yield f"cached     {sums.cached}"
    yield f"generated  {sums.generated}"
    yield f"total      {usage.st_text(round(sums.exact * MICRO))} ST  (exact sum, rounded once)"
    yield f"invoiced   {usage.st_text(sums.micro_st)} ST  (sum of records, as invoiced)"


def _requests(path: str, *, prefix_cache: bool) -> Iterator[tuple[int, int, int]]:
    for row, cached in traces.cached_tokens(traces.read_trace(path)):
        if not prefix_cache:
            yield row.prompt, 0, row.generated
        elif row.hash_ids is None:
            raise TokenStandardError(f"{path} has no hash ids, so --prefix-cache does not apply")
        else:
            yield row.prompt - cached, cached, row.generated


def _cards() -> Iterator[str]:
    yield f"{CURRENT.name}: standard tokens per token; GFLOP and KV KiB are of fp16, before any format's discount"
    head = ["model", "params B", "active B", "GFLOP@2k", "KV KiB"]
    head += [f"out@{context}" for context in CONTEXTS]
    head += ["prompt", "fp8 out@2k", "fp8 prompt", "fp16 card", "fp8 card"]
    table = [head, *(_columns(model) for model in catalogue.models())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *cells in table:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *numbers])
    if any(card.provisional for card in catalogue.cards()):
        yield "* provisional: no measured correction for routed experts yet"


def _columns(model: Model) -> list[str]:
    shape, reference = model.architecture, CURRENT.reference_context
    fp16, fp8 = model.cards.get("fp16"), model.cards["fp8"]
    return [
        model.name + ("*" if fp8.provisional else ""),
        decimal(Fraction(shape.parameters, GIGA), 2),
        decimal(Fraction(shape.active_parameters, GIGA), 2),
        decimal(Fraction(shape.generation_flops(reference), GIGA), 2),
        decimal(Fraction(2 * shape.kv_elements, KIB), 1),
        *(decimal(usage.st_per_generated(fp16, context=context), 3) if fp16 else "-" for context in CONTEXTS),
        decimal(usage.st_per_prompt(fp16, prompt=reference), 4) if fp16 else "-",
        decimal(usage.st_per_generated(fp8, context=reference), 3),
        decimal(usage.st_per_prompt(fp8, prompt=reference), 4),
        fp16.short_digest if fp16 else "-",
        fp8.short_digest,
    ]


if __name__ == "__main__":
    sys.exit(main())
