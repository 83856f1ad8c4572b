"""The support matrix: which model of the catalogue runs on which device, in which format, and who says so.

Every entry has its evidence: a benchmark whose file is kept in the repository, or a document with address and day. A
model that no entry names is unknown on a device; it is not counted as anything else. Pure functions over the package's
two lists, ``support.json`` and ``devices.json``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from token_standard import catalogue
from token_standard import devices as device_list
from token_standard.catalogue import Model
from token_standard.devices import Device

PROVED, DECLARED, UNSUPPORTED, UNKNOWN = "proved", "declared", "unsupported", "unknown"
STATES = (PROVED, DECLARED, UNSUPPORTED, UNKNOWN)  # from the best to none

SIZES = (1, 2, 4, 8)  # devices of a node that a model may be spread over
USABLE = Fraction(9, 10)  # of the memory; the rest is the engine's
SEQUENCES, POSITIONS = 64, 2048  # keys and values that must have room: the batch and context of the definition
GIGA = 10**9
WHOLE = 100


@dataclass(frozen=True)
class Evidence:
    """What an entry rests on: ``who`` is benchmark, vendor, engine or operator; ``file`` lies in the repository."""

    key: str
    who: str
    text: str
    text_zh: str
    url: str
    file: str
    read_on: date


@dataclass(frozen=True)
class Entry:
    """One model on one device. ``formats`` empty: the document does not say; ``rows`` measured ones, 0 if none."""

    device: str
    model: str
    formats: tuple[str, ...]
    engine: str
    versions: tuple[str, ...]
    state: str
    evidence: Evidence
    rows: int
    note: str
    note_zh: str


@dataclass(frozen=True)
class Portability:
    """How many models of the catalogue a device is known to run, each of equal weight.

    Cards of the same structure, such as two corrections of one model, count once. ``fitting`` of those proved or
    declared have room on at most 8 of the device in a published format; 0 where its memory is not known.
    """

    proved: int
    declared: int
    unsupported: int
    unknown: int
    fitting: int

    @property
    def total(self) -> int:
        return self.proved + self.declared + self.unsupported + self.unknown

    @property
    def proved_percent(self) -> Fraction:
        return Fraction(WHOLE * self.proved, self.total)

    @property
    def declared_percent(self) -> Fraction:
        return Fraction(WHOLE * self.declared, self.total)

    @property
    def percent(self) -> Fraction:
        """Proved or declared."""
        return self.proved_percent + self.declared_percent


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, one for each device and model, in the order of the file."""
    plain = json.loads(files("token_standard").joinpath("support.json").read_text(encoding="utf-8"))
    evidence = {key: _evidence(key, each) for key, each in plain["evidence"].items()}
    return tuple(entry for each in plain["entries"] for entry in _expanded(each, evidence))


def entries_of(device: str) -> tuple[Entry, ...]:
    """The entries of a device by its catalogue name, best state first."""
    return _by_device().get(device, ())


def state(device: str, model: str) -> str:
    """The best that is known of a model on a device, over all formats and engines.

    That single formats are not supported says nothing of the others, so such an entry does not count here.
    """
    mine = (entry for entry in entries_of(device) if entry.model == model)
    return best(entry.state for entry in mine if entry.state != UNSUPPORTED or not entry.formats)


def best(states: Iterable[str]) -> str:
    """The first of :data:`STATES` among these, unknown where there are none."""
    found = set(states)
    return next((each for each in STATES if each in found), UNKNOWN)


def portability(device: str) -> Portability:
    """Counts of the catalogue's models by their state on a device.

    :raises UnknownDevice: the catalogue of devices has none of this name.
    """
    found = device_list.device(device)
    states = {model.name: state(found.name, model.name) for model in distinct_models()}
    runs = [model for model in distinct_models() if states[model.name] in {PROVED, DECLARED}]
    fitting = sum(any(fits_on(found, model, form) for form in model.cards) for model in runs)
    proved, declared, unsupported, unknown = (list(states.values()).count(each) for each in STATES)
    return Portability(proved, declared, unsupported, unknown, fitting)


@cache
def distinct_models() -> tuple[Model, ...]:
    """The catalogue's models, the first one of each structure."""
    found: dict[Any, Model] = {}
    for model in catalogue.models():
        found.setdefault(model.architecture, model)
    return tuple(found.values())


def fits_on(device: Device, model: Model, form: str) -> int | None:
    """The fewest of 1, 2, 4 and 8 devices that hold weights, keys and values; None where 8 do not or nothing is known.

    Room is asked for 64 sequences of 2,048 positions, in nine tenths of the memory, spread evenly.
    """
    if device.memory_gb is None or form not in model.cards:
        return None
    needed, room = needed_bytes(model, form), device.memory_gb * GIGA * USABLE
    return next((size for size in SIZES if needed <= room * size), None)


def needed_bytes(model: Model, form: str) -> Fraction:
    """Bytes of the weights and of keys, values and states of 64 sequences of 2,048 positions."""
    served, shape = model.cards[form].format, model.architecture
    kept = shape.full_layers * POSITIONS + sum(each.layers * min(POSITIONS, each.width) for each in shape.windows)
    cache_elements = SEQUENCES * (kept * shape.attention.kv_elements + shape.state_elements)
    return served.w * shape.parameters + served.v * cache_elements


@cache
def _by_device() -> Mapping[str, tuple[Entry, ...]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries():
        found.setdefault(entry.device, []).append(entry)
    return MappingProxyType({k: tuple(sorted(v, key=lambda e: STATES.index(e.state))) for k, v in found.items()})


def _evidence(key: str, plain: Mapping[str, str]) -> Evidence:
    return Evidence(
        key=key,
        who=plain["who"],
        text=plain["text"],
        text_zh=plain["text_zh"],
        url=plain.get("url", ""),
        file=plain.get("file", ""),
        read_on=date.fromisoformat(plain["read_on"]),
    )


def _expanded(plain: Mapping[str, Any], evidence: Mapping[str, Evidence]) -> Iterable[Entry]:
    for device in plain["devices"]:
        for model in plain["models"]:
            yield Entry(
                device=device,
                model=model,
                formats=tuple(plain["formats"]),
                engine=plain["engine"],
                versions=tuple(plain["versions"]),
                state=plain["state"],
                evidence=evidence[plain["evidence"]],
                rows=plain.get("rows", 0),
                note=plain.get("note", ""),
                note_zh=plain.get("note_zh", ""),
            )
