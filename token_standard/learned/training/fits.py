"""The fits of every quantity from a set of samples; folds call this as the whole training does."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from token_standard.learned import estimator, features, terms
from token_standard.learned.training import fitting
from token_standard.learned.training.samples import LayerSample, Sample

KERNEL = {"shared": 0.05, "near": 0.2, "noise": 0.1, "reach": [0.7, 1.0, 1.0]}
KERNEL_OUT = {"shared": 0.1, "near": 0.2, "noise": 0.1, "reach": [1.5, 2.0, 2.0]}
LAYER_KERNEL = {"shared": 0.02, "near": 0.03, "noise": 0.03, "reach": [0.7, 2.0, 1.0]}
LAYER_KERNEL_OUT = {"shared": 0.03, "near": 0.1, "noise": 0.05, "reach": [0.7, 2.0, 1.0]}
STATIC_KERNEL = {"shared": 0.3, "near": 0.1, "noise": 0.03, "reach": [1.5, 2.0, 2.0]}
DECODE_TREES = {
    "max_iter": 300,
    "learning_rate": 0.08,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 8,
    "l2_regularization": 1.0,
    "max_features": 0.4,
}
PREFILL_TREES = {**DECODE_TREES, "max_iter": 120, "max_leaf_nodes": 15, "learning_rate": 0.1}
UNNAMED_TREES = {**PREFILL_TREES, "max_iter": 80, "min_samples_leaf": 30}
LAYER_TREES = {**PREFILL_TREES, "max_iter": 150, "min_samples_leaf": 30, "max_features": 0.5}
UNKNOWN_SPREAD = {"in": 1.0, "out": 1.0, "calibrated_in": 1.0, "calibrated_out": 1.0}


def fit(served: Sequence[Sample], static: Sequence[Sample], layers: Sequence[LayerSample]) -> dict[str, Any]:
    """A model without intervals; an empty set of samples leaves its fits out."""
    plain: dict[str, Any] = {"version": "2026.1", "fits": {}, "layer_devices": {}}
    if served:
        plain["fits"]["decode_served"] = decode(served, boost=True)
        plain["fits"]["prefill_served"] = prefill(served, boost=True)
    if static:
        plain["fits"]["decode_static"] = {
            **decode(static, boost=False),
            "kernel": STATIC_KERNEL,
            "kernel_out": STATIC_KERNEL,
        }
        plain["fits"]["prefill_static"] = {
            **prefill(static, boost=False),
            "kernel": STATIC_KERNEL,
            "kernel_out": STATIC_KERNEL,
        }
    if layers:
        plain["fits"]["layer"], plain["layer_devices"] = layer(layers)
    return plain


def decode(rows: Sequence[Sample], *, boost: bool) -> dict[str, Any]:
    """The fit of seconds per token."""
    seconds = np.array([each.per_token for each in rows])
    return _served(rows, seconds, terms.decode, features.decode, DECODE_TREES if boost else None)


def prefill(rows: Sequence[Sample], *, boost: bool) -> dict[str, Any]:
    """The fit of seconds to the first token."""
    rows = [each for each in rows if each.first_token is not None]
    seconds = np.array([each.first_token for each in rows], dtype=float)
    plain = _served(rows, seconds, terms.prefill, features.prefill, PREFILL_TREES if boost else None)
    if boost:
        plain["unnamed"] = _unnamed(rows, seconds, plain["coefficients"])
    return plain


def _unnamed(rows: Sequence[Sample], seconds: Any, coefficients: Sequence[float]) -> dict[str, Any]:
    """Trees of what the physics misses whatever the model and the device."""
    parts = np.array([terms.prefill(each.deployment, each.shape, each.load) for each in rows]) * np.array(coefficients)
    table = [
        features.unnamed(each.deployment, each.shape, each.load, list(part))
        for each, part in zip(rows, parts, strict=True)
    ]
    found, _ = fitting.boosted(np.array(table), np.log(seconds / parts.sum(axis=1)), UNNAMED_TREES)
    return found


def _served(
    rows: Sequence[Sample],
    seconds: Any,
    terms_of: Callable[..., Any],
    features_of: Callable[..., Any],
    trees: dict[str, Any] | None,
) -> dict[str, Any]:
    """Physics fitted to these seconds, and on it the trees of what it leaves, where there are to be any."""
    parts = np.array([terms_of(each.deployment, each.shape, each.load) for each in rows])
    coefficients = fitting.physics(parts, seconds)
    plain = _plain(coefficients, rows)
    if trees is not None:
        scaled = parts * coefficients
        table = [
            features_of(each.deployment, each.shape, each.load, list(part))
            for each, part in zip(rows, scaled, strict=True)
        ]
        errors = np.log(seconds / scaled.sum(axis=1))
        plain["trees"], plain["bounds"] = fitting.boosted(np.array(table), errors, trees)
    return plain


def layer(rows: Sequence[LayerSample], *, boost: bool = True) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The fit of a layer: coefficients of each device, pooled ones for others, one set of trees."""
    parts, seconds, owners = layer_terms(rows)
    by_device = {
        name: fitting.physics(parts[owners == name], seconds[owners == name], robust=False)
        for name in sorted(set(owners))
    }
    pooled = fitting.physics(parts, seconds, robust=False)
    extents = np.array([estimator.layer_extent(each.shape, each.tokens, each.tensor_parallel) for each in rows])
    plain: dict[str, Any] = {
        "coefficients": list(pooled),
        "kernel": LAYER_KERNEL,
        "kernel_out": LAYER_KERNEL_OUT,
        "spread": UNKNOWN_SPREAD,
        "guard": _guard([], [], [], [], extents),
    }
    if boost:
        scaled = parts * np.array([by_device[name] for name in owners])
        table = [
            features.layer(each.device, each.shape, each.tokens, each.tensor_parallel, list(part))
            for each, part in zip(rows, scaled, strict=True)
        ]
        errors = np.log(seconds / scaled.sum(axis=1))
        plain["trees"], plain["bounds"] = fitting.boosted(np.array(table), errors, LAYER_TREES)
    return plain, {name: list(coefficients) for name, coefficients in by_device.items()}


def layer_terms(rows: Sequence[LayerSample]) -> tuple[Any, Any, Any]:
    """Terms, seconds and device names."""
    parts = [terms.layer(r.device, r.shape, tokens=r.tokens, tensor_parallel=r.tensor_parallel) for r in rows]
    return np.array(parts), np.array([r.seconds for r in rows]), np.array([r.device.name for r in rows])


def _plain(coefficients: Any, rows: Sequence[Sample]) -> dict[str, Any]:
    extents = np.array([features.extent(each.deployment, each.load) for each in rows])
    return {
        "coefficients": list(coefficients),
        "kernel": KERNEL,
        "kernel_out": KERNEL_OUT,
        "spread": UNKNOWN_SPREAD,
        "guard": _guard(
            _distinct(tuple(features.structure(each.shape)) for each in rows),
            _distinct(tuple(features.silicon(each.deployment.device)) for each in rows),
            _distinct(each.deployment.format.name for each in rows),
            _distinct(each.deployment.engine for each in rows),
            extents,
        ),
    }


def _guard(
    models: list[Any], devices: list[Any], formats: list[Any], engines: list[Any], extents: Any
) -> dict[str, Any]:
    def rounded(values: Any) -> list[float]:
        return [fitting.significant(x) for x in values]

    return {
        "models": [rounded(model) for model in models],
        "devices": [rounded(device) for device in devices],
        "formats": formats,
        "engines": engines,
        "lowest": rounded(extents.min(axis=0)),
        "highest": rounded(extents.max(axis=0)),
    }


def _distinct(values: Any) -> list[Any]:
    return sorted(set[Hashable](values))
