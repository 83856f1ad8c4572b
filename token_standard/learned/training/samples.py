"""The three public sets of measurements, read and filtered. Sources and licences: tests/data/tokens/README.md."""

import csv
import gzip
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from token_standard.architecture import Architecture, GroupedAttention
from token_standard.learned import devices, estimator, formats, shapes
from token_standard.learned.devices import Device
from token_standard.learned.terms import Deployment, Load

SERVING, STATIC, LAYERS = "serving_samples.csv.gz", "splitwise_perf_model.csv.gz", "vidur_layer_times.csv.gz"
MILLI, MICRO = 1e-3, 1e-6
MOST_DEVICES = 8
QUEUEING = 0.3  # share of the time to the first token above which requests were waiting for a place
STATIC_PROMPT_BATCH = 4  # a larger static batch's prompt time includes waiting in the engine


class Key(NamedTuple):
    """What makes a deployment; folds keep all of its rows together."""

    model: str
    device: str
    engine: str
    format: str
    tensor_parallel: int


@dataclass(frozen=True)
class Sample:
    """One measured load of a deployment, in seconds; ``first_token`` None where it is not of use."""

    key: Key
    deployment: Deployment
    shape: Architecture
    load: Load
    per_token: float
    first_token: float | None


@dataclass(frozen=True)
class LayerSample:
    """One measured layer, in seconds."""

    model: str
    device: Device
    shape: Architecture
    tokens: int
    tensor_parallel: int
    seconds: float


def serving(folder: Path) -> list[Sample]:
    """Whole servers under steady load: one pool, at most 8 devices, no queueing, no repeats, loads that fit memory."""
    found: dict[tuple[object, ...], Sample] = {}
    for row in _rows(folder / SERVING):
        if row["mode"] != "agg" or int(row["tp_size"]) > MOST_DEVICES:
            continue
        sample = _serving_sample(row)
        waited = (sample.first_token or 0.0) / ((sample.first_token or 0.0) + sample.load.output * sample.per_token)
        if waited < QUEUEING and estimator.fits(sample.deployment, sample.shape, sample.load):
            identity = (sample.key, sample.deployment.devices, sample.load, sample.per_token, sample.first_token)
            found.setdefault((*identity, row["moe_tp_size"], row["moe_ep_size"]), sample)
    return sorted(found.values(), key=_order)


def static(folder: Path) -> list[Sample]:
    """Static batches of an engine alone: medians of repeats."""
    cells: dict[tuple[str, str, int, int, int, int], list[tuple[float, float]]] = defaultdict(list)
    for row in _rows(folder / STATIC):
        sizes = (int(row[name]) for name in ("tensor_parallel", "batch_size", "prompt_size", "token_size"))
        times = (float(row["token_time"]) * MILLI, float(row["prompt_time"]) * MILLI)
        cells[(row["model"], row["hardware"], *sizes)].append(times)  # type: ignore[index]
    samples = []
    for (model, hardware, tp, batch, prompt, generated), repeats in sorted(cells.items()):
        name, device, form = shapes.canonical(model), devices.device(hardware), formats.served_format("fp16")
        samples.append(
            Sample(
                key=Key(name, device.name, "static", form.name, tp),
                deployment=Deployment(device, form, tp, tp),
                shape=shapes.shape(name),
                load=Load(batch, prompt, generated, static=True),
                per_token=median(token for token, _ in repeats),
                first_token=median(first for _, first in repeats) if batch <= STATIC_PROMPT_BATCH else None,
            )
        )
    return sorted(samples, key=_order)


def layers(folder: Path) -> list[LayerSample]:
    """One transformer layer without attention, on one device of a tensor-parallel group."""
    samples = []
    for row in _rows(folder / LAYERS):
        heads, hidden = int(row["n_head"]), int(row["hidden"])
        samples.append(
            LayerSample(
                model=row["model"],
                device=devices.device(row["device"]),
                shape=Architecture(
                    layers=1,
                    hidden=hidden,
                    vocabulary=int(row["vocab"]),
                    attention=GroupedAttention(heads, int(row["n_kv_head"]), hidden // heads),
                    intermediate=int(row["intermediate"]),
                    gated=row["gated_mlp"] == "True",
                ),
                tokens=int(row["num_tokens"]),
                tensor_parallel=int(row["tensor_parallel"]),
                seconds=float(row["layer_us"]) * MICRO,
            )
        )
    return sorted(samples, key=lambda each: (each.device.name, each.model, each.tensor_parallel, each.tokens))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the unpacked files."""
    return {
        name: hashlib.sha256(gzip.decompress((folder / name).read_bytes())).hexdigest()
        for name in (SERVING, STATIC, LAYERS)
    }


def contradicted(samples: list[Sample]) -> list[bool]:
    """Rows whose configuration was also measured 1.3 times slower or faster: something unrecorded differed.

    Mostly speculative decoding, which was on in some runs and is written nowhere.
    """
    times: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for each in samples:
        times[(each.key, each.deployment.devices, each.load)].append(each.per_token)
    same = [times[(each.key, each.deployment.devices, each.load)] for each in samples]
    return [max(group) / min(group) > 1.3 for group in same]


def _serving_sample(row: dict[str, str]) -> Sample:
    name, device = shapes.structure_name(row["model_path"]), devices.device(row["system"])
    form, tp = formats.served_format(row["precision"] or "bf16"), int(row["tp_size"])
    groups = int(row["attention_dp_size"] or 1) or 1
    if int(row["moe_tp_size"]) * int(row["moe_ep_size"]) != tp * groups:
        groups = 1  # a count that the experts' layout contradicts
    return Sample(
        key=Key(name, device.name, row["backend"], form.name, tp),
        deployment=Deployment(device, form, tp, tp * groups, row["backend"]),
        shape=shapes.shape(name),
        load=Load(float(row["silicon_concurrency"] or row["batch_size"]), int(row["isl"]), int(row["osl"])),
        per_token=float(row["silicon_tpot_ms"]) * MILLI,
        first_token=float(row["silicon_ttft_ms"]) * MILLI,
    )


def _order(each: Sample) -> tuple[object, ...]:
    load = each.load
    return (each.key, each.deployment.devices, load.concurrency, load.input, load.output, each.per_token)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)
