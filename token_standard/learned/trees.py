"""Regression trees as they are shipped: nested lists in JSON, read without any library.

A tree is one list in preorder: a split is ``feature, threshold, size of the left branch`` and then its branches, a
leaf is ``-1, value``. A row goes left where its feature is at most the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LEAF = -1


@dataclass(frozen=True)
class Trees:
    """A boosted sum of trees: ``baseline`` plus one leaf of each."""

    baseline: float
    trees: tuple[tuple[float, ...], ...]

    def predict(self, features: Sequence[float]) -> float:
        """The sum for one row of features."""
        return self.baseline + sum(_leaf(tree, features) for tree in self.trees)


def _leaf(tree: Sequence[float], features: Sequence[float]) -> float:
    at = 0
    while (feature := int(tree[at])) != LEAF:
        left = at + 3
        at = left if features[feature] <= tree[at + 1] else left + int(tree[at + 2])
    return tree[at + 1]
