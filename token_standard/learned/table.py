"""A table of loads, row by row: read, checked, and every mistake named by row and column."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TypeVar

from token_standard import huggingface
from token_standard.architecture import Architecture, Experts, GroupedAttention
from token_standard.errors import TokenStandardError
from token_standard.learned import columns, devices, features, formats, shapes
from token_standard.learned.columns import InvalidTable
from token_standard.learned.devices import DEFAULT_LINK_GBPS, Device
from token_standard.learned.terms import PLAIN_ENGINE, Deployment, Load

T = TypeVar("T")

SERVED, STATIC, LAYER = "served", "static", "layer"
KINDS = (SERVED, STATIC, LAYER)
LARGEST = 1e12  # of any number of a table; its inverse is the smallest
_ENGINES = {
    "tensorrt-llm": "trtllm",
    "tensorrtllm": "trtllm",
    "trt-llm": "trtllm",
    "trt": "trtllm",
    "tensorrt_llm": "trtllm",
}
_YES, _NO = {"1", "true", "yes", "y", "t"}, {"", "0", "false", "no", "n", "f"}
_OWN_DEVICE = ("tflops", "gbps", "memory_gb")
_SHAPE = ("layers", "hidden", "heads", "intermediate", "vocabulary")


@dataclass(frozen=True)
class Row:
    """One load. ``load`` is None for a layer, ``tokens`` 0 for anything else; measured values are in seconds."""

    number: int  # line of the file, the header is line 1
    kind: str
    model: str
    deployment: Deployment
    shape: Architecture
    load: Load | None
    tokens: int
    calibration: bool
    per_token: float | None
    first_token: float | None
    layer: float | None


@dataclass(frozen=True)
class Table:
    """What a file holds: its rows, the columns that mean nothing here, and, where asked for, the rows left out."""

    rows: list[Row]
    ignored: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def read(path: Path, *, skip: bool = False) -> Table:
    """The rows of a CSV file; with ``skip`` those that cannot be read are left out, and their mistakes given.

    :raises InvalidTable: the file cannot be read, or none of its rows, or without ``skip`` some; ten are named.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            lines = list(csv.reader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidTable(f"cannot read {path}: {error}") from error
    if not lines:
        raise InvalidTable(f"{path} is empty")
    head = columns.header(lines[0])
    rows, mistakes = [], []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            if len(cells) != len(lines[0]):
                raise InvalidTable(f"{len(cells)} cells, the header has {len(lines[0])}")
            rows.append(_Cells(number, {name: cells[at].strip() for name, at in head.index.items()}, path.parent).row())
        except TokenStandardError as error:
            mistakes.append(f"row {number}: {error}")
    if mistakes and not (skip and rows):
        hint = f"\n{len(rows)} other rows can be read: --skip leaves these out" if rows else ""
        raise InvalidTable(f"{path}: {_listed(mistakes)}{hint}")
    if not rows:
        raise InvalidTable(f"{path} has no rows")
    return Table(rows, head.ignored, tuple(mistakes))


def _listed(mistakes: list[str]) -> str:
    more = f"\nand {len(mistakes) - 10} more rows" if len(mistakes) > 10 else ""
    return "\n".join(mistakes[:10]) + more


@dataclass(frozen=True)
class _Cells:
    number: int
    cells: Mapping[str, str]
    folder: Path

    def row(self) -> Row:
        if (self.text("mode") or "agg").lower() not in {"agg", "aggregated"}:
            raise InvalidTable(f"column mode: {self.text('mode')!r} is not supported, only one pool ('agg') is")
        if self.text("pipeline_parallel") not in {"", "0", "1"}:
            raise InvalidTable("column pipeline_parallel: stages one after another are not supported, only 1 is")
        kind = self.kind()
        shape, calibration = self.shape(kind), self.flag("calibration", default=False)
        row = Row(
            number=self.number,
            kind=kind,
            model=self.model(),
            deployment=self.deployment(),
            shape=shape,
            load=None if kind == LAYER else self.load(kind),
            tokens=self.count("tokens") if kind == LAYER else 0,
            calibration=calibration,
            per_token=self.per_token(kind),
            first_token=self.measured("measured_ttft_ms", 1e-3),
            layer=self.layer(kind),
        )
        if calibration and (row.layer if kind == LAYER else row.per_token or row.first_token) is None:
            raise InvalidTable("column calibration: the row is flagged but has no measured value")
        return row

    def kind(self) -> str:
        said = self.text("kind").lower()
        if said and said not in KINDS:
            raise InvalidTable(f"column kind: {said!r} is none of {', '.join(KINDS)}")
        if said:
            return said
        if self.text("tokens") or self.text("layer_us"):
            return LAYER
        continuous = "concurrency" in self.cells or self.engine() in features.ENGINES
        return SERVED if continuous else STATIC

    def engine(self) -> str:
        said = self.text("engine").lower()
        return _ENGINES.get(said, said) or PLAIN_ENGINE

    def load(self, kind: str) -> Load:
        sequences = "concurrency" if self.text("concurrency") else "batch"
        if not self.text(sequences):
            raise InvalidTable("column concurrency: empty, and so is batch; one of them is needed")
        return Load(self.number_in(sequences), self.number_in("input"), self.number_in("output"), static=kind == STATIC)

    def deployment(self) -> Deployment:
        tp = self.count("tensor_parallel", default=0)
        copies = self.count("data_parallel", default=0) if self.text("data_parallel") != "0" else 0  # 0: not used
        total = self.count("devices", default=0)
        if not tp:
            tp = total // (copies or 1) if total else 1
        total = total or tp * (copies or 1)
        if total % tp:
            raise InvalidTable(f"column devices: {total} is not a multiple of tensor_parallel {tp}")
        form = self.checked("format", lambda: formats.served_format(self.text("format") or "fp16"))
        return Deployment(self.device(), form, tp, total, self.engine())

    def device(self) -> Device:
        if not any(self.text(name) for name in _OWN_DEVICE):
            if not self.text("device"):
                raise InvalidTable(f"column device: empty, and so are {', '.join(_OWN_DEVICE)}")
            return self.checked("device", lambda: devices.device(self.text("device")))
        flops, gbps, memory = (self.number_in(name) for name in _OWN_DEVICE)
        return Device(
            name=self.text("device") or "unnamed",
            fp16=flops,
            gbps=gbps,
            memory_gb=memory,
            fp8=self.number_in("fp8_tflops", default=0.0),
            fp4=self.number_in("fp4_tflops", default=0.0),
            link_gbps=self.number_in("link_gbps", default=DEFAULT_LINK_GBPS),
        )

    def model(self) -> str:
        return self.text("model") or "inline"

    def shape(self, kind: str) -> Architecture:
        if self.text("hidden"):
            return self.inline(kind)
        name = self.text("model")
        if not name:
            raise InvalidTable("column model: empty, and there are no columns of its shape (hidden, layers, …)")
        if name.endswith(".json"):
            beside = self.folder / name
            path = beside if beside.exists() else Path(name)
            return self.checked("model", lambda: huggingface.read_config(path).architecture)
        return self.checked("model", lambda: shapes.shape(name))

    def inline(self, kind: str) -> Architecture:
        hidden, heads = self.count("hidden"), self.count("heads")
        count = self.count("experts", default=0)
        layers = self.count("layers", default=1 if kind == LAYER else None)
        intermediate = self.count("intermediate", default=0)
        size = self.count("expert_intermediate", default=intermediate)
        head_dim = self.count("head_dim", default=max(1, hidden // heads))
        experts = None
        if count:
            experts = Experts(
                layers, count, self.count("experts_per_token"), size, self.count("shared_experts", default=0)
            )
        return Architecture(
            layers=layers,
            hidden=hidden,
            vocabulary=self.count("vocabulary", default=1 if kind == LAYER else None),
            attention=GroupedAttention(heads, self.count("kv_heads", default=heads), head_dim),
            intermediate=0 if experts else intermediate,
            gated=self.flag("gated", default=True),
            experts=experts,
        )

    def text(self, name: str) -> str:
        return self.cells.get(name, "")

    def number_in(self, name: str, default: float | None = None) -> float:
        text = self.text(name)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            raise InvalidTable(f"column {name}: {text!r} is not a number") from None
        if not (isfinite(value) and value > 0):
            raise InvalidTable(f"column {name}: {text[:40]} must be above zero")
        if not 1 / LARGEST <= value <= LARGEST:
            raise InvalidTable(
                f"column {name}: {text[:40]} is nothing real, it must be from {1 / LARGEST} to {LARGEST:g}"
            )
        return value

    def count(self, name: str, default: int | None = None) -> int:
        if not self.text(name) and default is not None:
            return default
        value = self.number_in(name)
        if value != int(value):
            raise InvalidTable(f"column {name}: {self.text(name)} must be a whole number")
        return int(value)

    def per_token(self, kind: str) -> float | None:
        found = self.measured("measured_tpot_ms", 1e-3) or self.measured("measured_tpot_s", 1.0)
        return found or (None if kind == LAYER else self.measured("measured", 1e-3))

    def layer(self, kind: str) -> float | None:
        return self.measured("layer_us", 1e-6) or (self.measured("measured", 1e-6) if kind == LAYER else None)

    def measured(self, name: str, scale: float) -> float | None:
        return self.number_in(name) * scale if self.text(name) else None

    def flag(self, name: str, *, default: bool) -> bool:
        if name not in self.cells:
            return default
        text = self.text(name).lower()
        if text not in _YES | _NO:
            raise InvalidTable(f"column {name}: {text!r} is neither yes nor no")
        return text in _YES

    def checked(self, name: str, make: Callable[[], T]) -> T:
        try:
            return make()
        except TokenStandardError as error:
            raise InvalidTable(f"column {name}: {error}") from error
