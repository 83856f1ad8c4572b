"""The shapes of every tensor of a decoder, for so many new tokens after so many cached ones."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from token_standard.graphs import onnx_contrib
from token_standard.graphs.errors import GraphError
from token_standard.graphs.onnx_file import onnx_package

Shapes = Mapping[str, tuple[int, ...]]

_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def is_past(name: str) -> bool:
    """Whether an input is a cached key or value, by its name, as exporters call them."""
    lowered = name.lower()
    return ("past" in lowered or "cache" in lowered) and "position" not in lowered and "mask" not in lowered


def is_dynamic(model: Any, weights: frozenset[str]) -> bool:
    """Whether any input has a dimension left open."""
    inputs = [value for value in model.graph.input if value.name not in weights]
    return any(not dim.HasField("dim_value") for value in inputs for dim in value.type.tensor_type.shape.dim)


def infer(model: Any, weights: frozenset[str], *, new: int, past: int) -> Shapes:
    """Shapes with every open dimension of the inputs bound; tensors that inference cannot tell are left out.

    :raises GraphError: an input whose open dimensions mean nothing known here, or shapes that contradict.
    """
    onnx = onnx_package()
    bound = type(model)()
    bound.CopyFrom(model)
    symbols: dict[str, int] = {}
    for value in bound.graph.input:
        if value.name not in weights:
            _bind(value, symbols, new=new, past=past)
    stated = _stated(bound.graph, symbols)
    for value in bound.graph.output:  # a declared open dimension would stand in the way of the inferred one
        value.type.tensor_type.ClearField("shape")
    del bound.graph.value_info[:]
    _replace_contrib(onnx, bound.graph, new=new)
    try:
        inferred = onnx.shape_inference.infer_shapes(bound, check_type=False, strict_mode=False, data_prop=True)
    except Exception as error:
        raise GraphError(f"shape inference failed: {error}") from error
    graph = inferred.graph
    # What inference finds wins over what the file states; a file may state shapes that inference cannot follow.
    shapes = stated | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if not value.type.tensor_type.HasField("shape"):
            continue
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    for name, shape in shapes.items():
        if any(size < 0 for size in shape):
            raise GraphError(f"{name!r} has the shape {list(shape)[:8]}, which cannot be")
    return shapes


def _replace_contrib(onnx: Any, graph: Any, *, new: int) -> None:
    """Put standard operations of the same shapes where inference would stop."""
    if not any(onnx_contrib.is_contrib(node) for node in graph.node):
        return
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    known |= {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in graph.input}
    nodes: list[Any] = []
    for node in graph.node:
        if not onnx_contrib.is_contrib(node):
            nodes.append(node)
            continue
        instead, inputs = onnx_contrib.replaced(node, known, new=new)
        nodes.extend(instead)
        for name, shape in inputs:
            graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def _bind(value: Any, symbols: dict[str, int], *, new: int, past: int) -> None:
    dims = value.type.tensor_type.shape.dim
    for dim, size in zip(dims, _sizes(value.name, len(dims), new=new, past=past), strict=True):
        if not dim.HasField("dim_value"):
            if size is None:
                raise GraphError(f"input {value.name!r} has an open dimension whose meaning is not known")
            if dim.dim_param:
                symbols[dim.dim_param] = size
            dim.dim_value = size


def _sizes(name: str, rank: int, *, new: int, past: int) -> tuple[int | None, ...]:
    """What each dimension of an input stands for: batch 1, new tokens, cached ones; None where it must be fixed."""
    lowered = name.lower()
    if is_past(name) and rank == 4:
        return (1, None, past, None)
    if is_past(name) and rank == 5:  # keys and values in one
        return (None, 1, None, past, None)
    if "mask" in lowered:
        known: dict[int, tuple[int | None, ...]] = {2: (1, past + new), 4: (1, 1, new, past + new)}
        return known.get(rank, (None,) * rank)
    if "ids" in lowered or "position" in lowered or "tokens" in lowered:
        return {1: (new,), 2: (1, new)}.get(rank, (None,) * rank)
    if "embed" in lowered or "hidden" in lowered:
        return {2: (new, None), 3: (1, new, None)}.get(rank, (None,) * rank)
    return (None,) * rank


def _stated(graph: Any, symbols: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Shapes that the file states for its tensors, open dimensions worked out from those of the inputs."""
    shapes = {}
    for value in (*graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            sizes = [dim.dim_value if dim.HasField("dim_value") else _size(dim.dim_param, symbols) for dim in dims]
            known = tuple(size for size in sizes if size is not None)
            if len(known) == len(sizes):
                shapes[value.name] = known
    return shapes


def _size(text: str, symbols: Mapping[str, int]) -> int | None:
    """A dimension such as ``past + 2*new``; None when it is not made of the inputs' dimensions."""
    try:
        value = _value(ast.parse(text, mode="eval").body, symbols)
    except (SyntaxError, KeyError, ValueError, RecursionError):
        return None
    return value if value >= 0 else None


def _value(node: ast.expr, symbols: Mapping[str, int]) -> int:
    if isinstance(node, ast.Name):
        return symbols[node.id]
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, symbols), _value(node.right, symbols))
    raise ValueError("not a sum or product of dimensions")
