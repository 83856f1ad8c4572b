"""``prefer`` of ``python -m token_standard``."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from token_standard import huggingface
from token_standard.architecture import Architecture
from token_standard.learned import formats, shapes, table
from token_standard.learned.columns import InvalidTable
from token_standard.learned.devices import device
from token_standard.learned.prefer import AIMS, SECONDS, Candidate, Preference, Range, prefer
from token_standard.learned.terms import PLAIN_ENGINE, Deployment, Load

_PARTS = ("DEVICE", "FORMAT", "TENSOR_PARALLEL", "ENGINE")


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add it."""
    parser = subparsers.add_parser(
        "prefer",
        help="rank deployments for a load",
        description="Seconds of a request and ST/s of each deployment, with 90 % intervals, best first.",
        epilog="A deployment is DEVICE[:FORMAT[:TENSOR_PARALLEL[:ENGINE]]], e.g. h100:fp8:4:vllm. Instead of them a "
        "CSV file with the columns of `predict` may stand; all its rows must be of one load.",
    )
    parser.add_argument("deployments", nargs="+", metavar="DEPLOYMENT|FILE.csv")
    parser.add_argument("--model", metavar="MODEL", help="a name or a config.json; not with a file")
    parser.add_argument("--concurrency", type=float, default=32.0, help="sequences at a time (default: %(default)g)")
    parser.add_argument("--input", type=float, default=1024.0, help="prompt tokens (default: %(default)g)")
    parser.add_argument("--output", type=float, default=512.0, help="generated tokens (default: %(default)g)")
    parser.add_argument("--by", choices=AIMS, default=SECONDS, help="what to rank by (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Iterator[str]:
    """The lines to print."""
    if options.deployments[0].endswith(".csv"):
        candidates, load = _from_file(options)
    elif options.model is None:
        raise InvalidTable("--model is missing: a name or a config.json")
    else:
        shape = _shape(options.model)
        candidates = [_candidate(text, shape) for text in options.deployments]
        load = Load(options.concurrency, options.input, options.output)
    yield f"{load.concurrency:g} at a time, {load.input:g} prompt and {load.output:g} generated tokens each"
    ranked = prefer(candidates, load, aim=options.by)
    head = ["", "deployment", "s/request", "90 %", "ST/s", "90 %", "method", "not measured"]
    rows = [head, *map(_cells, ranked)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield f"prefer {ranked[0].name}" + _doubt(ranked)


def _doubt(ranked: tuple[Preference, ...]) -> str:
    if not ranked[0].usable:
        return ": none has room for the load"
    close = [each.name for each in ranked[1:] if each.close and each.usable]
    return f"; not told apart from it: {', '.join(close)}" if close else ""


def _from_file(options: argparse.Namespace) -> tuple[list[Candidate], Load]:
    if len(options.deployments) > 1 or options.model is not None:
        raise InvalidTable("a file stands alone, without --model and other deployments")
    rows = table.read(Path(options.deployments[0])).rows
    loads = {row.load for row in rows}
    if len(loads) != 1 or None in loads:
        raise InvalidTable("all rows must be of one load: the same concurrency, input and output, and no layers")
    load = loads.pop()
    assert load is not None
    return [Candidate(f"row {row.number}: {_name(row.deployment)}", row.deployment, row.shape) for row in rows], load


def _candidate(text: str, shape: Architecture) -> Candidate:
    parts = text.split(":")
    if len(parts) > len(_PARTS):
        raise InvalidTable(f"{text!r} is not {':'.join(_PARTS)}")
    name, form, parallel, engine = [*parts, *("", "fp16", "1", PLAIN_ENGINE)[len(parts) :]]
    if not (parallel.isascii() and parallel.isdigit()):
        raise InvalidTable(f"{text!r}: tensor parallelism {parallel!r} is not a whole number")
    served = formats.served_format(form)
    return Candidate(text, Deployment(device(name), served, int(parallel), int(parallel), engine), shape)


def _shape(name: str) -> Architecture:
    return huggingface.read_config(Path(name)).architecture if name.endswith(".json") else shapes.shape(name)


def _name(deployment: Deployment) -> str:
    parallel = deployment.tensor_parallel
    return f"{deployment.device.name}:{deployment.format.name}:{parallel}:{deployment.engine}"


def _cells(each: Preference) -> list[str]:
    outside = "+".join(each.outside) if each.usable else "no room"
    rate, seconds = each.st_per_second, each.seconds
    return [str(each.rank), each.name, f"{seconds.value:.4g}", _bounds(seconds), f"{rate.value:.4g}", _bounds(rate),
            each.method, outside]  # fmt: skip


def _bounds(found: Range) -> str:
    return f"{found.low:.4g} to {found.high:.4g}"
