"""``predict`` and ``train`` of ``python -m token_standard``."""

import argparse
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

from token_standard.learned import columns, estimator, table
from token_standard.learned.calibration import Calibration, Kernel
from token_standard.learned.estimator import Estimate
from token_standard.learned.predict import request_st
from token_standard.learned.table import LAYER, Row

MILLI, MICRO = 1e3, 1e6  # from seconds
DATA = Path("tests/data/tokens")
HEAD = (
    "row", "model", "device", "devices", "kind", "unit", "predicted", "low", "high", "method", "outside",
    "seconds_per_token", "ttft_ms", "ttft_low_ms", "ttft_high_ms", "st_per_second",
    "measured", "error_percent", "measured_ttft_ms", "ttft_error_percent", "calibration",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A row with its estimates; ``first_token`` and ``st_per_second`` are None for a layer."""

    row: Row
    main: Estimate
    first_token: Estimate | None
    st_per_second: float | None

    @property
    def measured(self) -> float | None:
        return self.row.layer if self.row.kind == LAYER else self.row.per_token

    @property
    def error(self) -> float | None:
        return self.main.seconds / self.measured - 1 if self.measured else None

    @property
    def first_token_error(self) -> float | None:
        if self.first_token is None or not self.row.first_token:
            return None
        return self.first_token.seconds / self.row.first_token - 1


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add both."""
    _add_predict(subparsers)
    _add_train(subparsers)


def _add_predict(commands: "argparse._SubParsersAction[Any]") -> None:
    """The sub-command ``predict FILE.csv``."""
    spellings = "\n".join(
        f"  {name}{' = ' if others else ''}{', '.join(others)}" for name, others in columns.ALIASES.items()
    )
    parser = commands.add_parser(
        "predict",
        help="estimate loads of deployments",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Estimate what deployments do: a CSV in, a CSV out, one row each. Times per token and per layer are in\n"
            "'unit' (ms, us), ttft in ms; low and high hold 90 % of measurements. Rows with 'calibration' correct the\n"
            "other rows of their deployment (a layer's: of their device). Where a row has a measured value, the mean\n"
            "error (MAPE) and its 90th percentile follow on standard error; calibration rows do not count."
        ),
        epilog=f"""columns, and other names they may have (only letters and digits matter, not case or signs):
{spellings}

one of concurrency (continuous batching) or batch (all start together; with engine vllm, sglang or trtllm it is read
as concurrency) is needed, or tokens for one layer. kind (served, static, layer) settles it. model is a name, a
config.json (its path, from the table's folder or this one, ends in .json), or comes from the shape's columns. device
is a name, or comes from tflops, gbps and memory_gb. measured is ms per token, or us of a layer. format is fp16
where empty, tensor_parallel 1. Columns not listed are ignored, and named on standard error.""",
    )
    parser.add_argument("table", metavar="FILE.csv", type=Path)
    parser.add_argument("--skip", action="store_true", help="leave out rows that cannot be read, and name them")
    parser.set_defaults(run=predict)


def _add_train(commands: "argparse._SubParsersAction[Any]") -> None:
    """The sub-command ``train``."""
    parser = commands.add_parser(
        "train",
        help="fit the cost model again (needs scikit-learn)",
        description="Fit the cost model to the public measurements; the same data give the same bytes.",
    )
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="measurements (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: the package's model.json)")
    parser.add_argument("--document", type=Path, metavar="FILE", help="Markdown file whose figures to write anew")
    parser.set_defaults(run=train)


def train(options: argparse.Namespace) -> Iterator[str]:
    """Fit, write the model, and say how good it is."""
    from token_standard.learned.training import report  # only here: needs scikit-learn
    from token_standard.learned.training import train as training

    out = options.out or training.MODEL
    plain = training.train(options.data, say=lambda line: print(line, file=sys.stderr, flush=True))
    out.write_text(training.text(plain), encoding="utf-8")
    yield f"wrote {out}"
    if options.document:
        options.document.write_text(
            report.inserted(options.document.read_text("utf-8"), plain["card"]), encoding="utf-8"
        )
        yield f"wrote the figures of {options.document}"


def predict(options: argparse.Namespace) -> Iterator[str]:
    """Estimate the rows of a table: the lines of a CSV. Notes and error figures go to standard error.

    :raises InvalidTable: the table cannot be read.
    """
    found = table.read(options.table, skip=options.skip)
    if found.ignored:
        print(f"token_standard: columns ignored: {', '.join(found.ignored)}", file=sys.stderr)
    for mistake in found.skipped:
        print(f"token_standard: left out: {mistake}", file=sys.stderr)
    answers = estimates(found.rows)
    yield _line(HEAD)
    for answer in answers:
        yield _line(_cells(answer))
    for line in summary(answers):
        print(line, file=sys.stderr)


def estimates(rows: Sequence[Row]) -> list[Answer]:
    """Estimates of all rows, in their order; flagged rows calibrate the others of their deployment."""
    flagged: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        if row.calibration:
            flagged[_group(row)].append(row)
    known = {group: _calibrations(mine) for group, mine in flagged.items()}
    nothing = (None, None)
    return [_answer(row, *(nothing if row.calibration else known.get(_group(row), nothing))) for row in rows]


def summary(answers: Iterable[Answer]) -> list[str]:
    """Error figures by kind of quantity, over rows that were measured and calibrated nothing."""
    errors: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        if answer.row.calibration:
            continue
        name = "layer" if answer.row.kind == LAYER else "per token"
        if answer.error is not None:
            errors[name].append(abs(answer.error))
        if answer.first_token_error is not None:
            errors["first token"].append(abs(answer.first_token_error))
    return [
        f"{name}: MAPE {sum(found) / len(found):.1%}, p90 {_quantile(found, 0.9):.1%}, {len(found)} rows"
        for name, found in errors.items()
    ]


def _answer(row: Row, main: Calibration | None, first_token: Calibration | None) -> Answer:
    model = estimator.shipped()
    if row.load is None:
        tp = row.deployment.tensor_parallel
        layer = model.layer(row.deployment.device, row.shape, tokens=row.tokens, tensor_parallel=tp, known=main)
        return Answer(row, layer, None, None)
    token = model.decode(row.deployment, row.shape, row.load, main)
    first = model.prefill(row.deployment, row.shape, row.load, first_token)
    seconds = first.seconds + row.load.output * token.seconds
    rate = row.load.concurrency * request_st(row.deployment, row.shape, row.load) / seconds
    return Answer(row, token, first, rate)


def _calibrations(rows: Sequence[Row]) -> tuple[Calibration | None, Calibration | None]:
    """What flagged rows of one deployment say about time per token (or layer), and to the first token."""
    model, main, first = estimator.shipped(), [], []
    answers = [_answer(row, None, None) for row in rows]
    for answer in answers:
        at = _position(answer.row)
        if answer.error is not None:
            main.append((at, -log(1 + answer.error)))
        if answer.first_token_error is not None:
            first.append((at, -log(1 + answer.first_token_error)))
    deployment, load, outside = rows[0].deployment, rows[0].load, answers[0].main.outside
    if load is None:
        return _calibration(model.fits["layer"].kernel_for(outside), main), None
    return (
        _calibration(model.fit("decode", deployment, load).kernel_for(outside), main),
        _calibration(model.fit("prefill", deployment, load).kernel_for(outside), first),
    )


def _calibration(kernel: Kernel, points: list[tuple[tuple[float, float, float], float]]) -> Calibration | None:
    return Calibration(kernel, points) if points else None


def _position(row: Row) -> tuple[float, float, float]:
    if row.load is None:
        return estimator.layer_position(row.shape, row.tokens, row.deployment.tensor_parallel)
    return estimator.position(row.load)


def _group(row: Row) -> Hashable:
    return (LAYER, row.deployment.device) if row.kind == LAYER else (row.kind, row.deployment, row.shape)


def _cells(answer: Answer) -> Iterator[str]:
    row, first = answer.row, answer.first_token
    scale = MICRO if row.kind == LAYER else MILLI
    yield str(row.number)
    yield row.model
    yield row.deployment.device.name
    yield str(row.deployment.devices)
    yield row.kind
    yield "us" if row.kind == LAYER else "ms"
    for value in (answer.main.seconds, answer.main.low, answer.main.high):
        yield _number(value * scale)
    yield "calibration" if row.calibration else answer.main.method
    yield "+".join(answer.main.outside)
    yield "" if row.kind == LAYER else _number(answer.main.seconds)
    for value in (first.seconds, first.low, first.high) if first else ():
        yield _number(value * MILLI)
    if first is None:
        yield from ("", "", "")
    yield _number(answer.st_per_second)
    yield _number(answer.measured * scale if answer.measured else None)
    yield _percent(answer.error)
    yield _number(row.first_token * MILLI if row.first_token else None)
    yield _percent(answer.first_token_error)
    yield "yes" if row.calibration else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value * 100:.1f}"


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_neutral(cell) for cell in cells])
    return text.getvalue()


def _neutral(cell: str) -> str:
    """Text of the input that a spreadsheet would compute is written as text; numbers keep their sign."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@"} and not cell[1:2].isdigit() else cell


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])
