"""Estimates from the shipped model: physics, a bounded correction where it was measured, calibration, an interval.

Everything is in seconds. Outside of what was measured the correction is left out and the interval is wider; the
estimate says so. Source: docs/cost-model.md.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from math import exp, log
from typing import Any

from token_standard.architecture import Architecture
from token_standard.learned import features, terms
from token_standard.learned.calibration import Calibration, Kernel
from token_standard.learned.devices import GIGA, Device
from token_standard.learned.terms import Deployment, Load
from token_standard.learned.trees import Trees

PHYSICS, BOOSTED, UNNAMED, CALIBRATED = "physics", "boosted", "unnamed", "calibrated"
ANCHORS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)  # generated tokens at which the correction is taken
SAME = 0.1  # largest difference of logarithms at which two models or devices count as the same
NAMES = frozenset({"model", "device", "output"})  # never measured, but a load like those that were
MARGIN = log(1.5)  # how far outside the measured loads the correction still holds


@dataclass(frozen=True)
class Estimate:
    """``seconds`` between ``low`` and ``high``; ``outside`` names what was never measured, empty where all was."""

    seconds: float
    low: float
    high: float
    method: str
    outside: tuple[str, ...]


@dataclass(frozen=True)
class Guard:
    """What was measured: models and devices by their features, formats, engines, and the range of loads."""

    models: tuple[tuple[float, ...], ...]
    devices: tuple[tuple[float, ...], ...]
    formats: tuple[str, ...]
    engines: tuple[str, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]

    def outside(self, deployment: Deployment, shape: Architecture, load: Load) -> tuple[str, ...]:
        """Names of what was not measured, or what cannot be: more sequences than memory has room for."""
        extent = features.extent(deployment, load)
        checks = {
            "model": _known(features.structure(shape), self.models),
            "device": _known(features.silicon(deployment.device), self.devices),
            "format": deployment.format.name in self.formats,
            "engine": deployment.engine in self.engines or deployment.engine == terms.PLAIN_ENGINE,
            "load": _inside(extent, self.lowest, self.highest, MARGIN),
            "output": _inside([log(load.output)], [log(ANCHORS[0])], [log(ANCHORS[-1])], MARGIN),
            "memory": load.static or fits(deployment, shape, load),
        }
        return tuple(name for name, passed in checks.items() if not passed)


@dataclass(frozen=True)
class Fit:
    """One fitted quantity. ``spread`` is the log error that 90 % stay within: ``in`` and ``out`` of what was measured.

    For a calibrated estimate ``spread`` has the same in standard deviations of the calibration.
    """

    coefficients: tuple[float, ...]
    kernel: Kernel  # of the errors that the correction leaves
    kernel_out: Kernel  # of the errors of physics alone
    spread: Mapping[str, float]
    guard: Guard
    trees: Trees | None = None
    bounds: tuple[float, float] = (0.0, 0.0)  # of the correction's logarithm
    unnamed: Trees | None = None  # of what models and devices have in common, for those that were never measured

    def kernel_for(self, outside: Sequence[str]) -> Kernel:
        """How the errors of an estimate hang together, by what of it was never measured."""
        return self.kernel_out if _off(outside) else self.kernel

    def parts(self, seconds: Sequence[float]) -> list[float]:
        return [c * s for c, s in zip(self.coefficients, seconds, strict=True)]

    def correction(self, row: Sequence[float]) -> float:
        """Logarithm of what the physics is multiplied by."""
        return 0.0 if self.trees is None else self._within(self.trees.predict(row))

    def common(self, row: Sequence[float]) -> float:
        """The same for a model or device that was never measured."""
        return 0.0 if self.unnamed is None else self._within(self.unnamed.predict(row))

    def _within(self, shift: float) -> float:
        low, high = self.bounds
        return min(max(shift, low), high)

    def estimate(
        self, base: float, method: str, outside: tuple[str, ...], at: Sequence[float], known: Calibration | None
    ) -> Estimate:
        """Calibrate ``base`` and put the interval around it."""
        where = "out" if outside else "in"
        half = self.spread[where]
        if known is not None:
            shift, deviation = known.correct(at)
            base, method = base * exp(shift), f"{method}+{CALIBRATED}"
            half = min(self.spread[f"{CALIBRATED}_{where}"] * deviation, half)
        return Estimate(base, base * exp(-half), base * exp(half), method, outside)


class CostModel:
    """The fits of one training; :func:`shipped` is the one that the package carries."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.plain = plain
        self.fits = {name: _fit(fit) for name, fit in plain["fits"].items()}
        self.layer_devices = {name: tuple(c) for name, c in plain["layer_devices"].items()}

    def decode(
        self, deployment: Deployment, shape: Architecture, load: Load, known: Calibration | None = None
    ) -> Estimate:
        """Seconds per generated token of one sequence."""
        at = position(load)
        deployment, load = _one_copy(deployment, shape, load)
        fit = self.fit("decode", deployment, load)
        outside = fit.guard.outside(deployment, shape, load)
        if fit.trees is None or _off(outside):
            seconds, method = sum(fit.parts(terms.decode(deployment, shape, load))), PHYSICS
        else:
            seconds, method = _corrected_decode(fit, deployment, shape, load), BOOSTED
        return fit.estimate(seconds, method, outside, at, known)

    def prefill(
        self, deployment: Deployment, shape: Architecture, load: Load, known: Calibration | None = None
    ) -> Estimate:
        """Seconds to the first token, queueing for a place not among them."""
        at = position(load)
        deployment, load = _one_copy(deployment, shape, load)
        fit = self.fit("prefill", deployment, load)
        outside = fit.guard.outside(deployment, shape, load)
        parts = fit.parts(terms.prefill(deployment, shape, load))
        seconds, method = sum(parts), PHYSICS
        if fit.trees is not None and not _off(outside):
            rows = [features.prefill(each, shape, load, parts) for each in _engines(deployment, fit.guard)]
            seconds, method = seconds * exp(sum(map(fit.correction, rows)) / len(rows)), BOOSTED
        elif fit.unnamed is not None and NAMES.issuperset(outside):
            rows = [features.unnamed(each, shape, load, parts) for each in _engines(deployment, fit.guard)]
            seconds, method = seconds * exp(sum(map(fit.common, rows)) / len(rows)), UNNAMED
        return fit.estimate(seconds, method, outside, at, known)

    def layer(
        self,
        device: Device,
        shape: Architecture,
        *,
        tokens: int,
        tensor_parallel: int,
        known: Calibration | None = None,
    ) -> Estimate:
        """Seconds of one layer without attention."""
        fit = self.fits["layer"]
        parts = terms.layer(device, shape, tokens=tokens, tensor_parallel=tensor_parallel)
        outside = self._layer_outside(fit.guard, device, shape, tokens, tensor_parallel)
        fit = replace(fit, coefficients=self.layer_devices.get(device.name, fit.coefficients))
        fitted = fit.parts(parts)
        seconds, method = sum(fitted), PHYSICS
        if fit.trees is not None and not outside:
            row = features.layer(device, shape, tokens, tensor_parallel, fitted)
            seconds, method = seconds * exp(fit.correction(row)), BOOSTED
        return fit.estimate(seconds, method, outside, layer_position(shape, tokens, tensor_parallel), known)

    def fit(self, quantity: str, deployment: Deployment, load: Load) -> Fit:
        """Static batches on engines that were measured while serving are estimated with the serving engines' fit."""
        static = load.static and deployment.engine not in features.ENGINES
        return self.fits[f"{quantity}_{'static' if static else 'served'}"]

    def _layer_outside(
        self, guard: Guard, device: Device, shape: Architecture, tokens: int, tensor_parallel: int
    ) -> tuple[str, ...]:
        extent = layer_extent(shape, tokens, tensor_parallel)
        checks = {
            "device": device.name in self.layer_devices,
            "model": shape.experts is None,
            "load": _inside(extent, guard.lowest, guard.highest, MARGIN),
        }
        return tuple(name for name, passed in checks.items() if not passed)


def position(load: Load) -> tuple[float, float, float]:
    """Where a load lies, for calibration."""
    return log(load.concurrency), log(load.input), log(load.output)


def layer_position(shape: Architecture, tokens: int, tensor_parallel: int) -> tuple[float, float, float]:
    """Where a layer's batch lies, for calibration; models of one device are told apart by a layer's size only."""
    return log(tokens), log(shape.dense_weights / shape.layers / tensor_parallel), 0.0


def layer_extent(shape: Architecture, tokens: int, tensor_parallel: int) -> list[float]:
    """What must lie in the measured range."""
    return [log(tokens), log(shape.hidden), log(max(shape.intermediate, 1) / tensor_parallel), log(tensor_parallel)]


def fits(deployment: Deployment, shape: Architecture, load: Load) -> bool:
    """Whether weights, keys and values of all sequences have room on the devices once their prompts are read."""
    return needed_bytes(deployment, shape, load) <= deployment.device.memory_gb * GIGA


def needed_bytes(deployment: Deployment, shape: Architecture, load: Load) -> float:
    """Bytes on each device, prompts read and nothing generated yet."""
    world = deployment.tensor_parallel * (deployment.groups if shape.experts else 1)
    weights = deployment.format.w * shape.parameters / world
    return weights + terms.kv_bytes(deployment, shape, load)


@cache
def shipped() -> CostModel:
    """The model that the package carries."""
    return CostModel(json.loads(files("token_standard").joinpath("learned/model.json").read_text(encoding="utf-8")))


def _one_copy(deployment: Deployment, shape: Architecture, load: Load) -> tuple[Deployment, Load]:
    """Copies of a dense model share the load and nothing else, so one of them is estimated."""
    if shape.experts is not None or deployment.groups == 1:
        return deployment, load
    share = max(1.0, load.concurrency / deployment.groups)
    return replace(deployment, devices=deployment.tensor_parallel), replace(load, concurrency=share)


def _corrected_decode(fit: Fit, deployment: Deployment, shape: Architecture, load: Load) -> float:
    """Seconds per token such that more tokens never take less time in all.

    Trees jump, so the correction is taken at the anchors, the total time made to rise from one to the next, and
    interpolated between them.
    """

    def corrected(output: float, at: float) -> float:
        there = replace(load, output=at)
        shift = [
            fit.correction(features.decode(each, shape, there, fit.parts(terms.decode(each, shape, there))))
            for each in _engines(deployment, fit.guard)
        ]
        physics = sum(fit.parts(terms.decode(deployment, shape, replace(load, output=output))))
        return output * physics * exp(sum(shift) / len(shift))

    output = load.output
    if output <= ANCHORS[0]:
        return corrected(output, ANCHORS[0]) / output
    below, highest = 0.0, 0.0
    for anchor in ANCHORS:
        below, highest = highest, max(highest, corrected(anchor, anchor))
        if output <= anchor:
            share = (output - anchor / 2) / (anchor / 2)
            return (below + share * (highest - below)) / output
    last = corrected(ANCHORS[-1], ANCHORS[-1])
    return corrected(output, ANCHORS[-1]) / output * highest / last


def _engines(deployment: Deployment, guard: Guard) -> Iterator[Deployment]:
    """The deployment itself; where the engine is not said, with each engine that was measured."""
    if deployment.engine in features.ENGINES:
        yield deployment
        return
    for engine in guard.engines:
        yield replace(deployment, engine=engine)


def _off(outside: Sequence[str]) -> bool:
    """Whether the correction is left out. Not for the generated length: beyond the anchors it no longer changes."""
    return any(name != "output" for name in outside)


def _known(row: Sequence[float], rows: Sequence[Sequence[float]]) -> bool:
    return any(all(abs(a - b) <= SAME for a, b in zip(row, each, strict=True)) for each in rows)


def _inside(row: Sequence[float], lowest: Sequence[float], highest: Sequence[float], margin: float) -> bool:
    return all(low - margin <= x <= high + margin for x, low, high in zip(row, lowest, highest, strict=True))


def kernel(plain: Mapping[str, Any]) -> Kernel:
    """From its JSON."""
    return Kernel(plain["shared"], plain["near"], plain["noise"], tuple(plain["reach"]))


def _fit(plain: Mapping[str, Any]) -> Fit:
    guard = plain["guard"]
    return Fit(
        coefficients=tuple(plain["coefficients"]),
        kernel=kernel(plain["kernel"]),
        kernel_out=kernel(plain["kernel_out"]),
        spread=plain["spread"],
        guard=Guard(
            models=tuple(map(tuple, guard["models"])),
            devices=tuple(map(tuple, guard["devices"])),
            formats=tuple(guard["formats"]),
            engines=tuple(guard["engines"]),
            lowest=tuple(guard["lowest"]),
            highest=tuple(guard["highest"]),
        ),
        trees=_trees(plain.get("trees")),
        bounds=tuple(plain.get("bounds", (0.0, 0.0))),
        unnamed=_trees(plain.get("unnamed")),
    )


def _trees(plain: Mapping[str, Any] | None) -> Trees | None:
    return Trees(plain["baseline"], tuple(map(tuple, plain["trees"]))) if plain else None
