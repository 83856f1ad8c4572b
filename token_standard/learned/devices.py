"""Accelerators as the cost model sees them: peak figures of the catalogue, found by any usual spelling of their name.

The figures are those of :mod:`token_standard.devices`, as floating point and as they were when the model was trained.
"""

from dataclasses import dataclass
from functools import cache

from token_standard import devices as catalogue
from token_standard.errors import TokenStandardError

TERA, GIGA = 1e12, 1e9
_NEEDED = {"fp16": "TFLOP/s in 16 bits", catalogue.BANDWIDTH: "GB/s", catalogue.MEMORY: "GB of memory"}
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

    :raises UnknownDevice: no such name, or figures that the model needs are not known; the message lists those known.
    """
    try:
        listed = catalogue.device(name)
    except catalogue.UnknownDevice:
        known = ", ".join(sorted(each.name for each in devices()))
        raise UnknownDevice(
            f"unknown device {name[:80]!r}; known: {known}; others by columns tflops, gbps, memory_gb"
        ) from None
    found = of_catalogue(listed)
    if found is None:
        lacking = [title for figure, title in _NEEDED.items() if figure not in listed.figures]
        raise UnknownDevice(
            f"{listed.title} is listed, but not its {', '.join(lacking)}: give it by the columns tflops, gbps and memory_gb"
        )
    return found


@cache
def devices() -> tuple[Device, ...]:
    """All devices of the catalogue whose 16-bit peak, bandwidth and memory are known, in its order."""
    return tuple(own for listed in catalogue.devices() if (own := of_catalogue(listed)) is not None)


def of_catalogue(listed: catalogue.Device) -> Device | None:
    """A device of the catalogue as the cost model sees it, None where one of the three figures is not known."""

    def figure(name: str) -> float | None:
        if name in listed.trained_with:
            return float(listed.trained_with[name])
        return float(listed.figures[name].value) if name in listed.figures else None

    flops, bandwidth, memory = (figure(name) for name in ("fp16", catalogue.BANDWIDTH, catalogue.MEMORY))
    if flops is None or bandwidth is None or memory is None:
        return None
    return Device(
        name=listed.name,
        fp16=flops,
        gbps=bandwidth,
        memory_gb=memory,
        fp8=figure("fp8") or 0.0,
        fp4=figure("fp4") or 0.0,
        link_gbps=figure(catalogue.LINK) or DEFAULT_LINK_GBPS,
    )
