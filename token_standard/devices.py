"""Devices and what their makers say of them: dense peaks, bandwidth, memory. What is not known is None, never a guess.

Nothing here values usage. ``data sheet`` figures are a maker's, read at second hand; ``declared`` ones are a maker's
claim of which nothing independent was read; neither is measured here. A device is enrolled by running the reference
model on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from token_standard.errors import TokenStandardError


class UnknownDevice(TokenStandardError):
    code = "unknown_device"


@dataclass(frozen=True)
class Device:
    """One device. ``tera_ops`` are dense peaks in 10¹² operations a second by format; GB are 10⁹ bytes."""

    name: str
    vendor: str
    status: Literal["data sheet", "declared", "unknown"]
    stack: str | None
    tera_ops: Mapping[str, Fraction]
    gb_per_second: Fraction | None
    memory_gb: Fraction | None
    source: str | None
    read_on: date
    note: str


@cache
def devices() -> tuple[Device, ...]:
    """All devices, in the order of the catalogue."""
    plain = json.loads(files("token_standard").joinpath("devices.json").read_text(encoding="utf-8"))
    read_on = date.fromisoformat(plain["read_on"])
    return tuple(_device(entry, plain["sources"], read_on) for entry in plain["devices"])


def device(name: str) -> Device:
    """The device of this name.

    :raises UnknownDevice: the catalogue has none.
    """
    for each in devices():
        if each.name == name:
            return each
    raise UnknownDevice(f"no device {name!r}; known: {', '.join(each.name for each in devices())}")


def _device(entry: Mapping[str, Any], sources: Mapping[str, str], read_on: date) -> Device:
    def number(name: str) -> Fraction | None:
        return Fraction(entry[name]) if name in entry else None

    return Device(
        name=entry["device"],
        vendor=entry["vendor"],
        status=entry["status"],
        stack=entry.get("stack"),
        tera_ops=MappingProxyType({form: Fraction(value) for form, value in entry.get("tera_ops", {}).items()}),
        gb_per_second=number("gb_per_second"),
        memory_gb=number("memory_gb"),
        source=sources[entry["source"]] if "source" in entry else None,
        read_on=read_on,
        note=entry.get("note", ""),
    )
