"""The work of a decoder in an ONNX file: shape inference, then the table of what multiplies.

The same graph is counted for a few pairs of (new, cached) tokens. Products with a weight grow with the new tokens,
products of two activations (attention) with new times seen tokens; whatever fits neither is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from token_standard import cards
from token_standard.architecture import FLOPS_PER_WEIGHT, Reach, Work
from token_standard.cards import Coefficients, Format, Scaled
from token_standard.graphs import onnx_contrib, onnx_file, onnx_ops, onnx_shapes
from token_standard.graphs.errors import GraphError
from token_standard.version import CURRENT

_POINTS = ((7, 0), (13, 0), (1, 11), (3, 17))  # (new, cached) tokens: enough to tell the kinds of growth apart
_EXPERT_TABLE_RANK = 3  # expert, rows, columns; embedding tables, gathered too, have rank 2


@dataclass(frozen=True)
class Counted:
    """A graph's work, ready to be valued like a card. ``nodes`` counts operations by type.

    ``packed_bytes`` are those of weights in blocks of few bits, scales and zero points among them, as their operations
    say; what is valued has the bytes of ``format``.
    """

    name: str
    work: Work
    format: Format
    nodes: Mapping[str, int]
    has_cache: bool
    experts: bool
    packed_bytes: int = 0

    @cached_property
    def coefficients(self) -> Coefficients:
        return cards.coefficients(self.work, self.format, CURRENT)

    @cached_property
    def scaled(self) -> Scaled:
        return cards.scaled(self.coefficients)


@dataclass
class _Tally:
    """FLOPs of one pass, by what they multiply with."""

    linear: Counter[str] = field(default_factory=Counter)  # by weight
    gathered: Counter[str] = field(default_factory=Counter)  # by table of experts
    tables: dict[str, tuple[int, int]] = field(default_factory=dict)  # experts, and elements of one
    pairs: Counter[int | None] = field(default_factory=Counter)  # by how far attention reaches, None: everywhere
    kept: Counter[int | None] = field(default_factory=Counter)  # elements cached per token, of limited reach
    heads: set[str] = field(default_factory=set)


def count_onnx(path: Path, form: Format) -> Counted:
    """Count the decoder in a file.

    :raises GraphError: the file is broken, or has an operation or a growth that is not known here.
    """
    model, sizes = onnx_file.load(path)
    for node in model.graph.node:
        _check_known(node)
    weights = frozenset(sizes)
    has_cache = any(onnx_shapes.is_past(value.name) for value in model.graph.input)
    points = [point for point in _POINTS if has_cache or not point[1]]
    if not onnx_shapes.is_dynamic(model, weights):
        points = [_fixed_point(model, weights)]
    shapes = [onnx_shapes.infer(model, weights, new=new, past=past) for new, past in points]
    passes = [_tally(model, weights, each) for each in shapes]
    return Counted(
        name=path.stem,
        work=_work(passes, points, {**shapes[0], **sizes}, _kv_elements(model, shapes[-1], points[-1][1])),
        format=form,
        nodes=Counter(node.op_type for node in model.graph.node),
        has_cache=has_cache,
        experts=bool(passes[0].gathered),
        packed_bytes=sum(map(onnx_contrib.packed_bytes, model.graph.node)),
    )


def _dims(value: Any) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _fixed_point(model: Any, weights: frozenset[str]) -> tuple[int, int]:
    new, past = 0, 0
    for value in model.graph.input:
        if value.name in weights:
            continue
        dims = _dims(value)
        if onnx_shapes.is_past(value.name) and len(dims) in {4, 5}:
            past = dims[-2]
        elif "ids" in value.name.lower() and dims:
            new = dims[-1]
    if not new:
        raise GraphError("no input with token ids, so the number of tokens is not known")
    return new, past


def _tally(model: Any, weights: frozenset[str], shapes: onnx_shapes.Shapes) -> _Tally:
    origin = {name: name for name in weights}  # tensor: the weight it is
    tables: dict[str, str] = {}  # tensor: the table of experts it was picked from
    tally = _Tally()
    last: dict[str, str] = {}  # tensor: the weight whose product it comes from
    onnx = onnx_file.onnx_package()
    for node in model.graph.node:
        if onnx_contrib.multiplies(node):
            _add_contrib(tally, node, shapes, origin, last)
            continue
        if onnx_ops.multiplies(node):
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            given = [_shape(shapes, node, node.input[i]) for i in onnx_ops.operands(node)]
            work = onnx_ops.flops(node, given, _shape(shapes, node, node.output[0]), attributes)
            weight = next((node.input[i] for i in onnx_ops.weight_inputs(node) if node.input[i] in origin), None)
            table = next((node.input[i] for i in (0, 1) if node.input[i] in tables), None)
            if node.op_type == "Attention":
                tally.pairs[None] += work
            elif weight is not None:
                tally.linear[origin[weight]] += work
                last[node.output[0]] = origin[weight]
            elif table is not None:
                tally.gathered[tables[table]] += work
            else:
                tally.pairs[None] += work
            continue
        _carry(node, shapes, origin, tables, last)
    tally.heads = {last[value.name] for value in model.graph.output if value.name in last}
    return tally


def _add_contrib(
    tally: _Tally, node: Any, shapes: onnx_shapes.Shapes, origin: Mapping[str, str], last: dict[str, str]
) -> None:
    """The work of an operation of ONNX Runtime's own."""
    found = onnx_contrib.product(node, shapes)
    for name in (*found.linear, *found.experts):
        if name not in origin:
            raise GraphError(f"{node.op_type} {node.name!r} multiplies with {name!r}, which is no weight")
    for name, work in found.linear.items():
        tally.linear[origin[name]] += work
        last[node.output[0]] = origin[name]
    for name, (work, elements, count) in found.experts.items():
        tally.gathered[origin[name]] += work
        tally.tables[origin[name]] = (count, elements)
    tally.pairs[found.window] += found.pairs
    if found.window is not None:
        tally.kept[found.window] += found.kept


def _check_known(node: Any) -> None:
    if onnx_contrib.is_contrib(node):
        return
    if not onnx_ops.multiplies(node) and (node.domain not in {"", "ai.onnx"} or node.op_type not in onnx_ops.FREE):
        called = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        raise GraphError(
            f"operation {called} ({node.name or node.output[0]!r}) is not counted, so nothing is estimated"
        )


def _carry(
    node: Any, shapes: onnx_shapes.Shapes, origin: dict[str, str], tables: dict[str, str], last: dict[str, str]
) -> None:
    """What a free operation makes of a weight, a picked expert, or the result of a product with a weight."""
    first = node.input[0] if node.input else ""
    output = node.output[0]
    if node.op_type == "Constant":
        origin[output] = output
        return
    given = [name for name in node.input if name]
    if given and all(name in origin for name in given):  # such as integers times their scales
        origin[output] = origin[max(given, key=lambda name: prod(shapes.get(name, ())))]
    elif first in origin and node.op_type in onnx_ops.KEEPING:
        origin[output] = origin[first]
    elif first in tables and node.op_type in onnx_ops.KEEPING:
        tables[output] = tables[first]
    elif node.op_type == "Gather" and first in origin and len(shapes.get(first, ())) >= _EXPERT_TABLE_RANK:
        tables[output] = origin[first]
    for name in node.input:
        if name in last:
            for each in node.output:
                last[each] = last[name]


def _shape(shapes: onnx_shapes.Shapes, node: Any, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise GraphError(
            f"the shape of {name!r} at {node.op_type} {node.name!r} cannot be inferred: it depends on data"
        )
    return shapes[name]


def _work(
    passes: list[_Tally], points: list[tuple[int, int]], sizes: Mapping[str, tuple[int, ...]], kv_elements: int
) -> Work:
    head, dense, active, total = 0, 0, Fraction(0), 0
    heads = passes[0].heads
    for name in passes[0].linear:
        per_token = _per_token(name, [tally.linear[name] for tally in passes], points, may_be_once=name in heads)
        elements, rest = divmod(per_token, FLOPS_PER_WEIGHT)  # of the product, however the weight is packed
        if not per_token:
            raise GraphError(f"the weight {name!r} is empty, so nothing is multiplied with it")
        if rest:
            raise GraphError(f"the work with weight {name!r} is not a whole number of products a token")
        if name in heads:
            head += elements
        else:
            active, dense, total = active + elements, dense + elements, total + elements
    expert_read = Fraction(0)
    for name in passes[0].gathered:
        count, elements = passes[0].tables.get(name) or (sizes[name][0], prod(sizes[name][1:]))
        per_token = _per_token(name, [tally.gathered[name] for tally in passes], points) / FLOPS_PER_WEIGHT
        chosen = per_token / elements
        if chosen.denominator != 1 or chosen > count:
            raise GraphError(f"the work with table {name!r} is not that of some of its {count} experts a token")
        touched = count * (1 - (1 - chosen / count) ** CURRENT.expert_batch)
        active, total = active + per_token, total + count * elements
        expert_read += touched * elements / CURRENT.expert_batch
    reaches, beside = _reaches(passes, points, kv_elements)
    return Work(
        active_weights=active + beside / FLOPS_PER_WEIGHT,
        total_weights=total,
        dense_weights=dense,
        head_weights=head,
        expert_read=expert_read,
        kv_elements=kv_elements,
        reaches=reaches,
    )


def _reaches(
    passes: list[_Tally], points: list[tuple[int, int]], kv_elements: int
) -> tuple[tuple[Reach, ...], Fraction]:
    """Attention by how far it reaches, the unlimited first; and FLOP per new token beside it."""
    pair, beside = _growth([tally.pairs[None] for tally in passes], points)
    windowed, kept_there = [], 0
    for width in sorted(width for width in passes[0].pairs if width is not None):
        flops, more = _growth([tally.pairs[width] for tally in passes], points)
        kept = passes[0].kept[width] if kv_elements else 0
        windowed.append(Reach(width, flops, flops, kept, kept))
        beside, kept_there = beside + more, kept_there + kept
    everywhere = kv_elements - kept_there
    return (Reach(None, pair, pair, everywhere, everywhere), *windowed), beside


def _per_token(name: str, counts: list[int], points: list[tuple[int, int]], *, may_be_once: bool = False) -> Fraction:
    """FLOP per new token. The output matrix may be applied to the last token only."""
    each = {Fraction(count, new) for count, (new, _) in zip(counts, points, strict=True)}
    if len(each) == 1:
        return each.pop()
    if may_be_once and len(set(counts)) == 1:
        return Fraction(counts[0])
    raise GraphError(f"the work with weight {name!r} does not grow with the new tokens")


def _growth(counts: list[int], points: list[tuple[int, int]]) -> tuple[int, Fraction]:
    """FLOP per (new, seen) pair of tokens, and per new token beside them."""
    pairs = [new * (new + past) for new, past in points]
    if len(points) == 1:
        if counts[0] % pairs[0]:
            raise GraphError("the work of attention is not a whole number per pair of tokens")
        return counts[0] // pairs[0], Fraction(0)
    (first, _), (second, _) = points[:2]
    per_pair = Fraction(counts[0] * second - counts[1] * first, pairs[0] * second - pairs[1] * first)
    beside = Fraction(counts[0] - per_pair * pairs[0]) / first
    for count, pair, (new, _) in zip(counts, pairs, points, strict=True):
        if count != per_pair * pair + beside * new:
            raise GraphError("products of activations grow neither with new tokens nor with new times seen ones")
    if per_pair.denominator != 1 or per_pair < 0 or beside < 0:
        raise GraphError("the work of attention is not a whole number per pair of tokens")
    return int(per_pair), beside


def _kv_elements(model: Any, shapes: onnx_shapes.Shapes, past: int) -> int:
    """Elements kept per token, from the shapes of the cache for ``past`` tokens."""
    names = [value.name for value in model.graph.input if onnx_shapes.is_past(value.name)]
    return sum(prod(shapes[name]) for name in names) // past if past else 0
