"""What one or more measurements of a deployment say about its other loads.

The error of an estimate, as a logarithm, is taken as a Gaussian process over the load: a part that the whole
deployment shares, a part that near loads share, and noise. Measured loads then correct the others by as much as they
are near, and never by more than they measured. Source: kriging; docs/cost-model.md, "Calibration".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt

MOST_POINTS = 64  # more are thinned evenly: the cost grows with the cube

Position = Sequence[float]  # logarithms of what the load is made of


@dataclass(frozen=True)
class Kernel:
    """Standard deviations of the three parts of the log error, and how far the second reaches, per coordinate."""

    shared: float
    near: float
    noise: float
    reach: tuple[float, ...]

    def covariance(self, one: Position, other: Position) -> float:
        distance = sum(((a - b) / reach) ** 2 for a, b, reach in zip(one, other, self.reach, strict=True))
        return self.shared**2 + self.near**2 * exp(-distance / 2)

    @property
    def variance(self) -> float:
        """Of the log error of one load before any measurement, without noise."""
        return self.shared**2 + self.near**2


class Calibration:
    """Measured log errors at some loads of a deployment."""

    def __init__(self, kernel: Kernel, points: Sequence[tuple[Position, float]]) -> None:
        step = -(-len(points) // MOST_POINTS)
        self._kernel, self._points = kernel, [position for position, _ in points[::step]]
        matrix = [
            [
                kernel.covariance(one, other) + (kernel.noise**2 if i == j else 0.0)
                for j, other in enumerate(self._points)
            ]
            for i, one in enumerate(self._points)
        ]
        self._factor = _cholesky(matrix)
        self._weights = _solve(self._factor, [error for _, error in points[::step]])

    def correct(self, position: Position) -> tuple[float, float]:
        """Expected log error at this load, and the standard deviation of a measurement there."""
        near = [self._kernel.covariance(position, point) for point in self._points]
        mean = sum(weight * each for weight, each in zip(self._weights, near, strict=True))
        explained = sum(a * b for a, b in zip(near, _solve(self._factor, near), strict=True))
        return mean, sqrt(max(self._kernel.variance - explained, 0.0) + self._kernel.noise**2)


def _cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        line: list[float] = []
        for j in range(i + 1):
            rest = row[j] - sum(a * b for a, b in zip(line, lower[j] if j < i else line, strict=False))
            line.append(sqrt(rest) if j == i else rest / lower[j][j])
        lower.append(line)
    return lower


def _solve(lower: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    forward: list[float] = []
    for i, value in enumerate(right):
        forward.append((value - sum(lower[i][j] * forward[j] for j in range(i))) / lower[i][i])
    back = [0.0] * len(forward)
    for i in reversed(range(len(forward))):
        rest = forward[i] - sum(lower[k][i] * back[k] for k in range(i + 1, len(forward)))
        back[i] = rest / lower[i][i]
    return back
