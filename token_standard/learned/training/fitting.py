"""From samples to one fit: non-negative physics, then boosted trees on what it misses, within bounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls
from sklearn.ensemble import HistGradientBoostingRegressor

from token_standard.learned.trees import LEAF

Array = np.ndarray[Any, np.dtype[np.float64]]

ROUNDS = 15
OUTLIER = 0.25  # log error from which a row begins to lose weight
FLOOR = 0.2
BOUNDS = (0.02, 0.98)  # quantiles of the training error that a correction stays within
SIGNIFICANT = 6


def physics(terms: Array, seconds: Array, *, robust: bool = True) -> Array:
    """Coefficients of at least 0 that explain ``seconds``, rows divided by their time.

    ``robust`` gives rows that the physics cannot explain less weight, round by round, since some measurements are of
    another configuration than the one that is written beside them; and it evens out errors up and down.
    """
    relative, weight = terms / seconds[:, None], np.ones(len(seconds))
    found: Array = nnls(relative, weight)[0]
    for _ in range(ROUNDS if robust else 0):
        ratio = np.maximum(relative @ found, 1e-9)
        weight = 1 / np.sqrt((1 + (np.log(ratio) / OUTLIER) ** 2) * np.maximum(ratio, FLOOR))
        found = nnls(relative * weight[:, None], weight)[0]
    return np.array([significant(x) for x in found])


def boosted(rows: Array, errors: Array, settings: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """Trees for the log errors of the physics, and the bounds of what they may say."""
    regressor = HistGradientBoostingRegressor(**settings, loss="absolute_error", early_stopping=False, random_state=0)
    regressor.fit(rows, errors)
    low, high = np.quantile(errors, BOUNDS)
    trees = [_exported(predictors[0].nodes) for predictors in regressor._predictors]
    baseline = significant(float(np.ravel(regressor._baseline_prediction)[0]))
    return {"baseline": baseline, "trees": trees}, [significant(low), significant(high)]


def significant(value: float) -> float:
    """Rounded for the file, so that it is short and the last bits of a sum do not show."""
    return float(f"{value:.{SIGNIFICANT}g}")


def _exported(nodes: Any, at: int = 0) -> list[float]:
    node = nodes[at]
    if node["is_leaf"]:
        return [LEAF, float(f"{node['value']:.4g}")]
    left, right = _exported(nodes, int(node["left"])), _exported(nodes, int(node["right"]))
    return [int(node["feature_idx"]), significant(node["num_threshold"]), len(left), *left, *right]


def conformal(errors: Sequence[float], coverage: float = 0.9) -> float:
    """The split-conformal quantile of absolute errors: a new one stays within it with at least ``coverage``."""
    ordered = sorted(abs(error) for error in errors)
    rank = min(len(ordered), int(np.ceil((len(ordered) + 1) * coverage)))
    return significant(ordered[rank - 1])
