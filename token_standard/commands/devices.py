"""``devices`` and ``support``: what is known of devices, and which models they run."""

import argparse
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from token_standard import catalogue, support
from token_standard.devices import FORMATS, UNKNOWN, Device, Figure, device, devices
from token_standard.figures import decimal
from token_standard.support import Entry


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add both."""
    listing = subparsers.add_parser(
        "devices",
        help="list devices and their figures",
        description="Devices: dense peaks in T/s, memory, software, and what the figures rest on.",
    )
    listing.set_defaults(run=lambda _: run())
    matrix = subparsers.add_parser(
        "support",
        help="which models run on which devices, with evidence",
        description="Without a device: portability of all. With one: its figures by source, and every model's state.",
    )
    matrix.add_argument("device", nargs="?", metavar="DEVICE", help="a name in any usual spelling")
    matrix.add_argument("--state", choices=support.STATES, help="only models in this state")
    matrix.set_defaults(run=lambda options: run_support(options.device, options.state))


def run() -> Iterator[str]:
    """The lines to print."""
    head = ["device", "vendor", *(f"T/s {form}" for form in FORMATS), "GB/s", "GB", "stack", "figures", "note"]
    yield from _table([head, *map(_columns, devices())])
    yield "figures that are not measured are marked: data sheet, declared, unsourced; `support DEVICE` names the sources"


def run_support(name: str | None, state: str | None) -> Iterator[str]:
    """The portability of every device, or one device in full."""
    if name is None:
        head = ["device", "portability %", *support.STATES, "fitting", "of"]
        rows = [_portability(each) for each in devices() if state is None or state in _states(each)]
        yield from _table([head, *rows])
        yield "models of the catalogue, equal weights; fitting: proved or declared, and room on at most 8"
        return
    found = device(name)
    yield f"{found.title}: {found.vendor}, {found.stack}" + (f"; {found.note}" if found.note else "")
    yield from _table([["figure", "value", "state", "source"], *_figures(found)])
    yield ""
    head = ["model", "state", "formats", "engine", "fits fp16", "fits fp8", "evidence"]
    rows = [row for row in _models(found) if state in {None, row[1]}]
    yield from _table([head, *rows])
    yield _sentence(found)


def _columns(each: Device) -> list[str]:
    peaks = each.tera_ops
    return [
        each.name,
        each.vendor,
        *(_number(peaks.get(form)) for form in FORMATS),
        _number(each.gb_per_second),
        _number(each.memory_gb),
        each.stack,
        "+".join("declared, not measured" if state == "declared" else state for state in each.states),
        each.note,
    ]


def _figures(each: Device) -> Iterator[list[str]]:
    for what, figure in each.figures.items():
        yield [what, *_figure(figure)]
    for what, figure in each.measured.items():
        yield [f"{what} (measured)", *_figure(figure)]


def _figure(figure: Figure) -> list[str]:
    where = f"{figure.source.text}, read {figure.source.read_on}" if figure.source else "no stored source"
    return [_number(figure.value), figure.state, where]


def _models(each: Device) -> Iterator[list[str]]:
    for model in catalogue.models():
        entries = [entry for entry in support.entries_of(each.name) if entry.model == model.name]
        fits = [support.fits_on(each, model, form) for form in ("fp16", "fp8")]
        cells = [str(size) if size else "-" for size in fits]
        if not entries:
            yield [model.name, support.UNKNOWN, "", "", *cells, ""]
        for entry in entries:
            formats = ",".join(entry.formats)
            yield [model.name, entry.state, formats, _engine(entry), *cells, _evidence(entry)]


def _engine(entry: Entry) -> str:
    return " ".join((entry.engine, ",".join(entry.versions))).strip()


def _evidence(entry: Entry) -> str:
    where = entry.evidence.file or entry.evidence.url
    rows = f"{entry.rows} rows, " if entry.rows else ""
    return f"{entry.evidence.who}: {rows}{where}, read {entry.evidence.read_on}" + (
        f"; {entry.note}" * bool(entry.note)
    )


def _portability(each: Device) -> list[str]:
    share = support.portability(each.name)
    counts = (share.proved, share.declared, share.unsupported, share.unknown, share.fitting, share.total)
    return [each.name, decimal(share.percent, 0), *map(str, counts)]


def _sentence(each: Device) -> str:
    share = support.portability(each.name)
    return (
        f"portability {decimal(share.percent, 1)} %: proved {share.proved} of {share.total}, declared {share.declared}, "
        f"unsupported {share.unsupported}, unknown {share.unknown}; {share.fitting} have room on at most 8"
    )


def _states(each: Device) -> set[str]:
    return {support.state(each.name, model.name) for model in support.distinct_models()}


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _number(value: Fraction | None) -> str:
    return UNKNOWN if value is None else decimal(value, 1)
