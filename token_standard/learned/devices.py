"""Accelerators: peak figures from data sheets, found by any usual spelling of their name.

The figures here are those that the cost model was trained with, links and newer devices among them; a device that
only :mod:`token_standard.devices` lists is taken from there.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from token_standard import devices as catalogue
from token_standard.errors import TokenStandardError

TERA, GIGA = 1e12, 1e9
DEFAULT_LINK_GBPS = 64.0  # of a device given by its figures alone: a PCIe 5 slot


class UnknownDevice(TokenStandardError):
    code = "unknown_device"


@dataclass(frozen=True)
class Device:
    """One accelerator: dense TFLOP/s by arithmetic, memory GB/s and GB, link GB/s in one direction.

    ``fp8`` and ``fp4`` 0 mean that such weights are computed in the next wider arithmetic.

    :raises UnknownDevice: a figure that is not above zero.
    """

    name: str
    fp16: float
    gbps: float
    memory_gb: float
    fp8: float = 0.0
    fp4: float = 0.0
    link_gbps: float = DEFAULT_LINK_GBPS

    def __post_init__(self) -> None:
        if not all(0 < figure < float("inf") for figure in (self.fp16, self.gbps, self.memory_gb, self.link_gbps)):
            raise UnknownDevice(f"device {self.name}: TFLOP/s, GB/s and GB must be numbers above zero")

    def flops(self, arithmetic: str) -> float:
        """FLOP/s of ``fp16``, ``fp8`` or ``fp4`` arithmetic; what the silicon lacks runs in the next wider one."""
        if arithmetic == "fp4" and self.fp4:
            return self.fp4 * TERA
        if arithmetic in {"fp4", "fp8"} and self.fp8:
            return self.fp8 * TERA
        return self.fp16 * TERA

    @property
    def bytes_per_second(self) -> float:
        return self.gbps * GIGA

    @property
    def link_bytes_per_second(self) -> float:
        return self.link_gbps * GIGA

    @property
    def balance(self) -> float:
        """FLOP that the device can do in fp16 while it reads one byte."""
        return self.flops("fp16") / self.bytes_per_second


def device(name: str) -> Device:
    """The device of this name, e.g. ``a100-80gb``, ``H100 SXM`` or ``NVIDIA H200``.

    :raises UnknownDevice: no such name; the message lists the known ones.
    """
    found = _by_spelling().get(_spelling(name))
    if found is None:
        known = ", ".join(sorted({each.name for each in _by_spelling().values()}))
        raise UnknownDevice(f"unknown device {name!r}; known: {known}; others by columns tflops, gbps, memory_gb")
    return found


@cache
def devices() -> tuple[Device, ...]:
    """All devices of ``learned/devices.json``, in its order."""
    return tuple(Device(**{k: v for k, v in entry.items() if k != "aliases"}) for entry in _entries())


@cache
def _by_spelling() -> Mapping[str, Device]:
    by_name = {each.name: each for each in devices()}
    spellings: dict[str, Device] = {}
    for entry in _entries():
        for name in (entry["name"], *entry["aliases"]):
            earlier = spellings.setdefault(_spelling(name), by_name[entry["name"]])
            assert earlier is by_name[entry["name"]], f"two devices are called {name}"
    for listed in catalogue.devices():
        if (own := _from_catalogue(listed)) is not None:
            spellings.setdefault(_spelling(listed.name), own)
    return spellings


def _from_catalogue(listed: catalogue.Device) -> Device | None:
    """A device of the makers' figures, where the three that are needed are known."""
    flops = listed.tera_ops.get("fp16")
    if flops is None or listed.gb_per_second is None or listed.memory_gb is None:
        return None
    fp8 = float(listed.tera_ops.get("fp8", 0))
    return Device(listed.name, float(flops), float(listed.gb_per_second), float(listed.memory_gb), fp8=fp8)


def _entries() -> list[dict[str, Any]]:
    text = files("token_standard").joinpath("learned/devices.json").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = json.loads(text)["devices"]
    return entries


def _spelling(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"^(nvidia|amd|geforce|instinct|tesla|gpu)+", "", plain)
