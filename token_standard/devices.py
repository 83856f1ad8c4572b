"""Devices and what is known of them: dense peaks, bandwidth, memory, and where each figure is from.

One list for pages, support matrix and cost model. Nothing here values usage. A figure's state says what it rests on:
``data sheet`` is a maker's, read at second hand; ``declared`` a maker's claim of which nothing independent was read;
``measured`` somebody's run; ``unsourced`` a figure that the cost model was trained with and no stored page backs. What
is not known is absent, never a guess. A device is enrolled by running the reference model on it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from token_standard.errors import TokenStandardError

State = Literal["data sheet", "declared", "measured", "unsourced"]

FORMATS = ("fp32", "fp16", "fp8", "fp4", "int8", "int4")  # fp16 also stands for bf16
BANDWIDTH, MEMORY, LINK = "gb_per_second", "memory_gb", "link_gb_per_second"
MEASURED: State = "measured"
UNSOURCED: State = "unsourced"
UNKNOWN = "unknown"


class UnknownDevice(TokenStandardError):
    code = "unknown_device"


@dataclass(frozen=True)
class Source:
    """A page that figures were read on; ``url`` is empty where only its description was kept."""

    key: str
    text: str
    url: str
    kind: State
    read_on: date


@dataclass(frozen=True)
class Figure:
    """One number and what it rests on; ``source`` is None for an unsourced one."""

    value: Fraction
    source: Source | None

    @property
    def state(self) -> State:
        return self.source.kind if self.source else UNSOURCED


@dataclass(frozen=True)
class Device:
    """One device.

    ``figures`` are peaks: by format dense 10¹² operations a second, ``gb_per_second`` and ``memory_gb`` of memory,
    ``link_gb_per_second`` to a neighbour, GB of 10⁹ bytes. ``measured`` has the same names. ``trained_with`` are
    values that the cost model was fitted with where they are rounded otherwise.
    """

    name: str
    title: str
    vendor: str
    country: str
    stack: str
    aliases: tuple[str, ...]
    figures: Mapping[str, Figure]
    measured: Mapping[str, Figure]
    trained_with: Mapping[str, Fraction]
    note: str
    note_zh: str

    @property
    def tera_ops(self) -> Mapping[str, Fraction]:
        """Dense peaks by format, those that are known."""
        return {form: self.figures[form].value for form in FORMATS if form in self.figures}

    @property
    def gb_per_second(self) -> Fraction | None:
        return self._value(BANDWIDTH)

    @property
    def memory_gb(self) -> Fraction | None:
        return self._value(MEMORY)

    @property
    def states(self) -> tuple[str, ...]:
        """States of its figures, each once; ``unknown`` where there is no figure."""
        found = {figure.state for figure in (*self.figures.values(), *self.measured.values())}
        return tuple(sorted(found)) or (UNKNOWN,)

    def ridge(self, form: str) -> Fraction | None:
        """Operations per byte of memory traffic from which the arithmetic of this format is the limit."""
        peak, bandwidth = self._value(form), self.gb_per_second
        return None if peak is None or bandwidth is None else peak * 1000 / bandwidth

    def _value(self, name: str) -> Fraction | None:
        return self.figures[name].value if name in self.figures else None


@cache
def devices() -> tuple[Device, ...]:
    """All devices, in the order of the catalogue."""
    plain = json.loads(files("token_standard").joinpath("devices.json").read_text(encoding="utf-8"))
    sources = {key: _source(key, entry) for key, entry in plain["sources"].items()}
    return tuple(_device(entry, sources) for entry in plain["devices"])


def device(name: str) -> Device:
    """The device of this name, in any usual spelling (``A100 80GB SXM``, ``NVIDIA H200``, ``910b``).

    :raises UnknownDevice: the catalogue has none.
    """
    found = _by_spelling().get(spelling(name))
    if found is None:
        raise UnknownDevice(f"no device {name!r}; known: {', '.join(each.name for each in devices())}")
    return found


def spelling(name: str) -> str:
    """What names are compared by: no case, no signs, no maker in front."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"^(nvidia|amd|geforce|instinct|tesla|gpu|huawei|cambricon|moorethreads|kunlunxin|hygon)+", "", plain)


@cache
def _by_spelling() -> Mapping[str, Device]:
    found: dict[str, Device] = {}
    for each in devices():
        for name in (each.name, *each.aliases):
            earlier = found.setdefault(spelling(name), each)
            assert earlier is each, f"two devices are called {name}"
    return MappingProxyType(found)


def _source(key: str, entry: Mapping[str, str]) -> Source:
    kind: State = entry["kind"]  # type: ignore[assignment]
    return Source(key, entry["text"], entry.get("url", ""), kind, date.fromisoformat(entry["read_on"]))


def _device(entry: Mapping[str, Any], sources: Mapping[str, Source]) -> Device:
    def figures(name: str) -> Mapping[str, Figure]:
        given: dict[str, dict[str, Any]] = entry.get(name, {})
        return MappingProxyType(
            {
                what: Figure(Fraction(each["value"]), sources[each["source"]] if "source" in each else None)
                for what, each in given.items()
            }
        )

    return Device(
        name=entry["device"],
        title=entry["title"],
        vendor=entry["vendor"],
        country=entry["country"],
        stack=entry["stack"],
        aliases=tuple(entry["aliases"]),
        figures=figures("figures"),
        measured=figures("measured"),
        trained_with=MappingProxyType({k: Fraction(str(v)) for k, v in entry.get("trained_with", {}).items()}),
        note=entry.get("note", ""),
        note_zh=entry.get("note_zh", ""),
    )
