"""``devices``: what makers say of their devices."""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from token_standard.devices import Device, devices
from token_standard.figures import decimal

_FORMATS = ("fp16", "fp8", "int8")
_UNKNOWN = "unknown"


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    parser = subparsers.add_parser(
        "devices", help="list devices and their makers' figures", description="Devices: dense peaks, memory, source."
    )
    parser.set_defaults(run=lambda _: run())


def run() -> Iterator[str]:
    """The lines to print."""
    head = ["device", "vendor", *(f"T/s {form}" for form in _FORMATS), "GB/s", "GB", "stack", "status, source, note"]
    table = [head, *map(_columns, devices())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield f"read on {devices()[0].read_on}; data sheet and declared figures are not measured"


def _columns(each: Device) -> list[str]:
    status = "declared, not measured" if each.status == "declared" else each.status
    return [
        each.name,
        each.vendor,
        *(_number(each.tera_ops.get(form)) for form in _FORMATS),
        _number(each.gb_per_second),
        _number(each.memory_gb),
        each.stack or _UNKNOWN,
        "; ".join(part for part in (status, each.source, each.note) if part),
    ]


def _number(value: Fraction | None) -> str:
    return _UNKNOWN if value is None else decimal(value, 1)
