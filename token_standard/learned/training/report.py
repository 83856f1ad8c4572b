"""Figures from honest folds: whole models, devices or deployments are left out, never single rows.

Every figure is of the shipped code path: a fold trains a model on its rows and estimates the others through
:class:`~token_standard.learned.estimator.CostModel`, guard, anchors and calibration included.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean
from typing import Any

import numpy as np

from token_standard.learned import estimator, shapes
from token_standard.learned.calibration import Calibration, Kernel
from token_standard.learned.devices import Device
from token_standard.learned.estimator import CostModel, Estimate
from token_standard.learned.training import fits, samples
from token_standard.learned.training.fitting import conformal
from token_standard.learned.training.samples import LayerSample, Sample

DEPLOYMENT_FOLDS = 10
ENROLLING_TOKENS = (64, 2048)
REFERENCE_LAYER = "Llama-2-7b-hf"  # the layer measurements' name of the reference model
# What was to be reached: mean absolute errors in per cent on data not fitted on.
GOALS = (
    ("layer: reference model only", 5.8),
    ("layer: device", 8.1),
    ("layer: model", 3.6),
    ("layer: device, two runs of the reference model", 10.0),
    ("decode_static: deployment, one point", 5.9),
    ("decode_served: deployment, physics, one point", 22.4),
    ("decode_served: deployment", 11.9),
    ("decode_served: deployment, one point", 10.0),
    ("decode_served: model, dense", 15.0),
    ("decode_served: model, experts", 30.0),
    ("decode_served: device", 15.0),
    ("prefill_static: device", 20.0),
    ("prefill_served: device", 20.0),
)


@dataclass(frozen=True)
class Outcome:
    """An estimate made without its deployment, model or device, beside what was measured."""

    group: Hashable
    model: str
    device: str
    measured: float
    estimate: Estimate
    at: tuple[float, float, float]

    @property
    def error(self) -> float:
        """As a logarithm."""
        return log(self.measured / self.estimate.seconds)

    @property
    def relative(self) -> float:
        return abs(self.estimate.seconds / self.measured - 1)


def figures(
    served: Sequence[Sample], static: Sequence[Sample], layers: Sequence[LayerSample], *, say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The model card's folds, and the spreads of every fit's intervals."""
    folds: dict[str, Any] = {}
    spreads: dict[str, dict[str, float]] = {}
    for quantity, kind, measured in (
        ("decode", "served", served),
        ("prefill", "served", served),
        ("decode", "static", static),
        ("prefill", "static", static),
    ):
        rows = [each for each in measured if quantity == "decode" or each.first_token is not None]
        name = f"{quantity}_{kind}"
        known = fold(rows, quantity, kind, lambda each: each.key, limit=DEPLOYMENT_FOLDS)
        new = {
            "model": fold(rows, quantity, kind, lambda each: each.key.model),
            "device": fold(rows, quantity, kind, lambda each: _figures_of(each.deployment.device)),
        }
        inside, outside = (fits.KERNEL, fits.KERNEL_OUT) if kind == "served" else (fits.STATIC_KERNEL,) * 2
        folds[name], spreads[name] = _summary(rows, known, new, inside, outside)
        if kind == "served":
            plain = fold(rows, quantity, kind, lambda each: each.key, limit=DEPLOYMENT_FOLDS, boost=False)
            folds[name] |= _physics(plain, outside)
        say(f"{name}: {folds[name]}")
    folds["layer"], spreads["layer"] = _layers(layers)
    say(f"layer: {folds['layer']}")
    return {
        "folds": folds,
        "first fold": _first_fold(served),
        "goals": [_goal(folds, name, goal) for name, goal in GOALS],
        "rows": {"served": len(served), "static": len(static), "layer": len(layers)},
    }, spreads


def _first_fold(served: Sequence[Sample]) -> dict[str, float]:
    """Of one fold alone, small enough to be checked by every test run."""
    outcomes = one_fold(served, parts([each.key for each in served], DEPLOYMENT_FOLDS), 0, "decode", "served")
    return error_figures(each.relative for each in outcomes.values())


def fold(
    rows: Sequence[Sample],
    quantity: str,
    kind: str,
    by: Callable[[Sample], Hashable],
    *,
    limit: int | None = None,
    boost: bool = True,
) -> list[Outcome]:
    """Estimate each row by a model trained without its group; at most ``limit`` models, groups spread over them."""
    part = parts([by(each) for each in rows], limit)
    found: dict[int, Outcome] = {}
    for index in sorted(set(part)):
        found |= one_fold(rows, part, index, quantity, kind, boost=boost)
    return [found[at] for at in sorted(found)]


def one_fold(
    rows: Sequence[Sample], part: Sequence[int], index: int, quantity: str, kind: str, *, boost: bool = True
) -> dict[int, Outcome]:
    """Estimates of the rows of one fold, by their place among all rows."""
    training = [each for each, mine in zip(rows, part, strict=True) if mine != index]
    build = fits.decode if quantity == "decode" else fits.prefill
    fitted = build(training, boost=boost and kind == "served")
    model = CostModel({"fits": {f"{quantity}_{kind}": fitted}, "layer_devices": {}})
    return {
        at: outcome(model, each, quantity)
        for at, (each, mine) in enumerate(zip(rows, part, strict=True))
        if mine == index
    }


def outcome(model: CostModel, each: Sample, quantity: str) -> Outcome:
    """One row's estimate."""
    call = model.decode if quantity == "decode" else model.prefill
    measured = each.per_token if quantity == "decode" else each.first_token
    assert measured is not None
    estimate = call(each.deployment, each.shape, each.load)
    return Outcome(each.key, each.key.model, each.key.device, measured, estimate, estimator.position(each.load))


def parts(groups: Sequence[Hashable], limit: int | None) -> list[int]:
    """The fold of each row: groups in an order that depends on nothing but their names, dealt out in turn."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(repr(group).encode()).hexdigest())
    where = {group: index % (limit or len(order)) for index, group in enumerate(order)}
    return [where[group] for group in groups]


def calibrated(outcomes: Sequence[Outcome], kernel: Kernel, points: int) -> list[tuple[Outcome, float, float]]:
    """With so many measured loads of each deployment known: outcome, relative error, and log error in deviations.

    The loads known are those in the middle (one) or at the quarters (two), by concurrency.
    """
    found = []
    for mine in _by_group(outcomes).values():
        ordered = sorted(mine, key=lambda each: (each.at, each.measured))
        chosen = [ordered[(2 * i + 1) * len(ordered) // (2 * points)] for i in range(points)]
        if len(ordered) <= points:
            continue
        known = Calibration(kernel, [(each.at, each.error) for each in chosen])
        for each in ordered:
            if not any(each is one for one in chosen):
                shift, deviation = known.correct(each.at)
                relative = abs(each.estimate.seconds * exp(shift) / each.measured - 1)
                found.append((each, relative, (each.error - shift) / deviation))
    return found


def error_figures(relative: Iterable[float]) -> dict[str, float]:
    """Mean absolute percentage error and its 90th percentile, in per cent."""
    errors = np.array(list(relative))
    return {"mape": _percent(errors.mean()), "p90": _percent(np.quantile(errors, 0.9)), "rows": len(errors)}


def _summary(
    rows: Sequence[Sample],
    known: Sequence[Outcome],
    new: dict[str, list[Outcome]],
    plain_kernel: dict[str, Any],
    plain_kernel_out: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, float]]:
    kernel, kernel_out = estimator.kernel(plain_kernel), estimator.kernel(plain_kernel_out)
    outside = [each for outcomes in new.values() for each in outcomes]
    settled = [not odd for odd in samples.contradicted(list(rows))]
    once, twice = calibrated(known, kernel, 1), calibrated(known, kernel, 2)
    once_outside = calibrated(new["model"], kernel_out, 1)
    card: dict[str, Any] = {
        "deployment": error_figures(each.relative for each in known),
        "deployment, repeats agree": error_figures(e.relative for e, fine in zip(known, settled, strict=True) if fine),
        "deployment, one point": error_figures(relative for _, relative, _ in once),
        "deployment, two points": error_figures(relative for _, relative, _ in twice),
        "model": error_figures(each.relative for each in new["model"]),
        "model, one point": error_figures(relative for _, relative, _ in once_outside),
        "device": error_figures(each.relative for each in new["device"]),
        "by model": _split(known, lambda each: each.model),
        "by device": _split(known, lambda each: each.device),
        "new model": _split(new["model"], lambda each: each.model),
        "new device": _split(new["device"], lambda each: each.device),
    }
    spread = {
        "in": conformal([each.error for each in known]),
        "out": conformal([each.error for each in outside]),
        "calibrated_in": conformal([score for _, _, score in once]),
        "calibrated_out": conformal([score for _, _, score in once_outside]),
    }
    for label, mine in (("dense", False), ("experts", True)):
        for fold_, outcomes in new.items():
            alike = [each for each in outcomes if (shapes.shape(each.model).experts is not None) == mine]
            if alike:
                card[f"{fold_}, {label}"] = error_figures(each.relative for each in alike)
    card["coverage of the 90 % interval"] = {
        "in": _coverage([(each.group, each.error) for each in known]),
        "out": _coverage([(each.group, each.error) for each in outside]),
        "calibrated_in": _coverage([(each.group, score) for each, _, score in once]),
    }
    return card, spread


def _layers(rows: Sequence[LayerSample]) -> tuple[dict[str, Any], dict[str, float]]:
    left_model = _layer_fold(rows, _layer_structure)
    left_device = _layer_fold(rows, lambda each: each.device.name)
    reference = [each for each in rows if each.model == REFERENCE_LAYER]
    plain, by_device = fits.layer(reference, boost=False)
    model = CostModel({"fits": {"layer": plain}, "layer_devices": by_device})
    enrolled = [layer_outcome(model, each) for each in rows if each.model != REFERENCE_LAYER]
    enrolled_outside = _enrolled(left_device, estimator.kernel(fits.LAYER_KERNEL_OUT))
    enrolled_inside = _enrolled(left_model, estimator.kernel(fits.LAYER_KERNEL))
    card = {
        "reference model only": error_figures(each.relative for each in enrolled),
        "model": error_figures(each.relative for each in left_model),
        "device": error_figures(each.relative for each in left_device),
        "device, two runs of the reference model": error_figures(relative for relative, _ in enrolled_outside),
        "new model": _split(left_model, lambda each: each.model),
        "new device": _split(left_device, lambda each: each.device),
        "coverage of the 90 % interval": {
            "in": _coverage([(each.group, each.error) for each in left_model]),
            "out": _coverage([(each.group, each.error) for each in left_device]),
        },
    }
    spread = {
        "in": conformal([each.error for each in left_model]),
        "out": conformal([each.error for each in left_device]),
        "calibrated_in": conformal([score for _, score in enrolled_inside]),
        "calibrated_out": conformal([score for _, score in enrolled_outside]),
    }
    return card, spread


def _physics(outcomes: Sequence[Outcome], plain_kernel: dict[str, Any]) -> dict[str, Any]:
    """The same folds without the learned correction."""
    return {
        "deployment, physics": error_figures(each.relative for each in outcomes),
        "deployment, physics, one point": error_figures(
            relative for _, relative, _ in calibrated(outcomes, estimator.kernel(plain_kernel), 1)
        ),
    }


def _goal(folds: dict[str, Any], name: str, goal: float) -> dict[str, Any]:
    quantity, label = name.split(": ")
    found = folds[quantity][label]["mape"]
    return {"figure": name, "goal": goal, "mape": found, "met": found <= goal}


def _layer_fold(rows: Sequence[LayerSample], by: Callable[[LayerSample], Hashable]) -> list[Outcome]:
    found = []
    groups = [by(each) for each in rows]
    for group in sorted(set(groups), key=repr):
        training = [each for each, mine in zip(rows, groups, strict=True) if mine != group]
        plain, by_device = fits.layer(training)
        model = CostModel({"fits": {"layer": plain}, "layer_devices": by_device})
        found += [layer_outcome(model, each) for each, mine in zip(rows, groups, strict=True) if mine == group]
    return found


def layer_outcome(model: CostModel, each: LayerSample) -> Outcome:
    estimate = model.layer(each.device, each.shape, tokens=each.tokens, tensor_parallel=each.tensor_parallel)
    at = estimator.layer_position(each.shape, each.tokens, each.tensor_parallel)
    group = (each.device.name, each.model, each.tensor_parallel)
    return Outcome(group, each.model, each.device.name, each.seconds, estimate, at)


def _enrolled(outcomes: Sequence[Outcome], kernel: Kernel) -> list[tuple[float, float]]:
    """Two runs of the reference model known on each device: relative and standardised errors of the other models."""
    found = []
    for name in sorted({each.device for each in outcomes}):
        mine = [each for each in outcomes if each.device == name]
        runs = [each for each in mine if each.group == (name, REFERENCE_LAYER, 1)]
        chosen = [_nearest(runs, log(tokens)) for tokens in ENROLLING_TOKENS]
        known = Calibration(kernel, [(each.at, each.error) for each in chosen])
        for each in mine:
            if each.model != REFERENCE_LAYER:
                shift, deviation = known.correct(each.at)
                relative = abs(each.estimate.seconds * exp(shift) / each.measured - 1)
                found.append((relative, (each.error - shift) / deviation))
    return found


def _nearest(outcomes: Sequence[Outcome], at: float) -> Outcome:
    return min(outcomes, key=lambda each: abs(each.at[0] - at))


def _layer_structure(each: LayerSample) -> Hashable:
    """Models whose layers are alike are left out together."""
    return each.shape.hidden, each.shape.intermediate, each.shape.attention


def _figures_of(device: Device) -> Hashable:
    """Devices with the same data sheet are left out together."""
    return device.fp16, device.fp8, device.fp4, device.gbps, device.memory_gb


def _by_group(outcomes: Iterable[Outcome]) -> dict[Hashable, list[Outcome]]:
    groups: dict[Hashable, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        groups[each.group].append(each)
    return groups


def _split(outcomes: Sequence[Outcome], by: Callable[[Outcome], str]) -> dict[str, Any]:
    names = sorted({by(each) for each in outcomes})
    return {name: error_figures(each.relative for each in outcomes if by(each) == name) for name in names}


def _coverage(errors: Sequence[tuple[Hashable, float]]) -> float:
    """Share inside an interval made from the other half of the deployments, in per cent; mean of both ways."""
    half = parts([group for group, _ in errors], 2)
    shares = []
    for mine in (0, 1):
        within = conformal([error for (_, error), part in zip(errors, half, strict=True) if part != mine])
        shares.append(
            fmean(abs(error) <= within for (_, error), part in zip(errors, half, strict=True) if part == mine)
        )
    return _percent(fmean(shares))


def _percent(share: Any) -> float:
    return round(float(share) * 100, 1)


TITLES = {
    "decode_served": "Seconds per token of servers (continuous batching)",
    "prefill_served": "Seconds to the first token of servers",
    "decode_static": "Seconds per token of static batches",
    "prefill_static": "Seconds to the first token of static batches",
    "layer": "Seconds of a layer without attention",
}
COVERAGE = "coverage of the 90 % interval"


def tables(card: dict[str, Any]) -> str:
    """The figures of docs/cost-model.md, as Markdown."""
    lines = ["### Goals", "", "| figure, left out | goal | reached | |", "|---|---|---|---|"]
    for goal in card["goals"]:
        verdict = "met" if goal["met"] else "**missed**"
        lines.append(f"| {goal['figure']} | {goal['goal']} % | {goal['mape']} % | {verdict} |")
    for name, title in TITLES.items():
        figures_ = card["folds"][name]
        plain = {label: found for label, found in sorted(figures_.items()) if "mape" in found}
        lines += ["", f"### {title}", "", "| left out | MAPE | p90 | rows |", "|---|---|---|---|"]
        lines += [
            f"| {label} | {found['mape']} % | {found['p90']} % | {found['rows']:,} |" for label, found in plain.items()
        ]
        held = ", ".join(f"{where.replace('_', ', ')} {share} %" for where, share in sorted(figures_[COVERAGE].items()))
        lines += ["", f"Measured coverage of the 90 % interval: {held}.", ""]
        splits = {
            label: found for label, found in sorted(figures_.items()) if "mape" not in found and label != COVERAGE
        }
        lines += ["| | MAPE, p90 in % |", "|---|---|"]
        for label, groups in splits.items():
            each = ", ".join(f"{group} {found['mape']} ({found['p90']})" for group, found in sorted(groups.items()))
            lines.append(f"| {label} | {each} |")
    lines += ["", "### Data", "", "| file, unpacked | SHA-256 |", "|---|---|"]
    lines += [f"| `{name}` | `{digest}` |" for name, digest in sorted(card["data"].items())]
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->"


def inserted(document: str, card: dict[str, Any]) -> str:
    """The document with these figures between its marks."""
    before, rest = document.split(BEGIN, 1)
    return before + BEGIN + tables(card) + END + rest.split(END, 1)[1]
