"""A linear or mixed-integer program for HiGHS: one thread, a fixed seed, no gap, so that a result can be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field

import highspy
import numpy as np
from highspy._core import _Highs  # the public class prints a banner to standard output when it is made
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Nodes of a branch-and-bound tree, fewer in a large program, where each takes longer: a limit in work, not in seconds,
# so that a replay stops where the round did.
_NODES, _FEWEST_NODES, _NODES_BY_COLUMNS = 20_000, 100, 10_000_000


class NotSolved(Exception):
    """The solver found no optimum: the program is infeasible, or a limit was reached."""


@dataclass
class Draft:
    """Columns and rows while they are put together; `maximise` is the objective's direction."""

    cost: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    at: list[tuple[int, int, float]] = field(default_factory=list)  # column, row, coefficient

    def row(self, lower: float, upper: float) -> int:
        """A new row; gives its number."""
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        return len(self.row_lower) - 1

    def column(
        self, cost: float, upper: float, entries: list[tuple[int, float]], *, lower: float = 0.0, whole: bool = False
    ) -> int:
        """A new column with its coefficients by row; gives its number."""
        number = len(self.cost)
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.whole.append(whole)
        self.at.extend((number, row, value) for row, value in entries)
        return number


class Program:
    """A draft as the solver holds it; it is solved again from where it stands after each change."""

    def __init__(self, draft: Draft) -> None:
        if not draft.cost:
            draft.column(0.0, 0.0, [])  # the solver refuses an empty model
        self._columns = len(draft.cost)
        self._solver = _Highs()
        nodes = max(_FEWEST_NODES, min(_NODES, _NODES_BY_COLUMNS // self._columns))
        for name, value in (
            ("output_flag", False), ("threads", 1), ("random_seed", 0), ("mip_rel_gap", 0.0), ("mip_abs_gap", 0.0),
            ("mip_max_nodes", nodes), ("mip_feasibility_tolerance", 1e-9), ("parallel", "off"),
        ):  # fmt: skip
            self._solver.setOptionValue(name, value)
        self._solver.passModel(_model(draft))

    def maximise(self, cost: dict[int, float]) -> None:
        """Another objective: these columns' costs, all others 0."""
        values = np.zeros(self._columns)
        values[list(cost)] = list(cost.values())
        self._solver.changeColsCost(self._columns, np.arange(self._columns, dtype=np.int32), values)

    def fix(self, column: int, lower: int, upper: int) -> None:
        """Other bounds for a column."""
        self._solver.changeColBounds(column, float(lower), float(upper))

    def add_row(self, lower: float, upper: float, entries: dict[int, float]) -> None:
        """One more row."""
        self._solver.addRow(
            lower, upper, len(entries), np.array(list(entries), dtype=np.int32), np.array(list(entries.values()))
        )

    def solve(self) -> tuple[Floats, Floats, float]:
        """Values of the columns, duals of the rows (empty with whole columns), and the objective.

        :raises NotSolved: see there.
        """
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise NotSolved(str(self._solver.getModelStatus()))
        solution = self._solver.getSolution()
        objective: float = self._solver.getInfo().objective_function_value
        return np.array(solution.col_value), np.array(solution.row_dual), objective


def _model(draft: Draft) -> highspy.HighsLp:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(draft.cost), len(draft.row_lower)
    model.col_cost_ = np.array(draft.cost)
    model.col_lower_, model.col_upper_ = np.array(draft.lower), np.array(draft.upper)
    model.row_lower_, model.row_upper_ = np.array(draft.row_lower), np.array(draft.row_upper)
    model.sense_ = highspy.ObjSense.kMaximize
    entries = np.array(draft.at, dtype=np.float64).reshape(-1, 3)  # columns come in ascending order
    counts = np.bincount(entries[:, 0].astype(np.int64), minlength=len(draft.cost))
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    model.a_matrix_.index_ = entries[:, 1].astype(np.int32)
    model.a_matrix_.value_ = entries[:, 2]
    if any(draft.whole):
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[whole] for whole in draft.whole]
    return model
