"""An ONNX file, read and checked: nothing missing, nothing cut off. Needs the package ``onnx`` (extra ``onnx``)."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from token_standard.graphs.errors import GraphError

KEPT_VALUES = 4096  # elements: constants up to here may be shapes, which inference needs; larger ones are weights

LARGEST_TENSOR = 2**48  # elements
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def onnx_package() -> Any:
    """The package ``onnx``, loaded on first use: the core does without it.

    :raises GraphError: it is not installed.
    """
    try:
        import onnx
        import onnx.external_data_helper
        import onnx.shape_inference
    except ImportError as error:
        raise GraphError("ONNX files need the package onnx: pip install 'tokenspot[onnx]'") from error
    return onnx


def load(path: Path) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """The model in a file without its weights, and the weights' shapes.

    :raises GraphError: unreadable, cut off, or a weight's data is missing.
    """
    onnx = onnx_package()
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's DecodeError has no stable home
        raise GraphError(f"{path}: not an ONNX file, or cut off ({error})") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise GraphError(f"{path}: no graph in it; the file is empty or cut off")
    for tensor in graph.initializer:
        _check_data(onnx, tensor, path)
    known = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        if not node.output:
            raise GraphError(f"{path}: {node.op_type} {node.name!r} gives nothing; the file is cut off")
        for name in node.input:
            if name and name not in known:
                raise GraphError(f"{path}: {_called(node)} reads {name!r}, which nothing gives; the file is cut off")
        known.update(node.output)
    for value in graph.output:
        if value.name not in known:
            raise GraphError(f"{path}: nothing gives the output {value.name!r}; the file is cut off")
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    _forget_weights(onnx, graph, path)
    return model, weights


def _called(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]!r}"


def _check_data(onnx: Any, tensor: Any, path: Path) -> None:
    if any(size < 0 for size in tensor.dims) or prod(tensor.dims) > LARGEST_TENSOR:
        raise GraphError(f"{path}: {tensor.name!r} has the shape {list(tensor.dims)[:8]}, which cannot be")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, path)
    elif tensor.HasField("raw_data"):
        if tensor.data_type not in onnx.TensorProto.DataType.values():
            raise GraphError(f"{path}: {tensor.name!r} has the unknown type {tensor.data_type}")
        item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        four_bits = "INT4" in onnx.TensorProto.DataType.Name(tensor.data_type)
        expected = prod(tensor.dims) * item
        if len(tensor.raw_data) != expected and not four_bits:
            raise GraphError(f"{path}: {tensor.name!r} has {len(tensor.raw_data)} of {expected} bytes")
    elif prod(tensor.dims) and not any(len(getattr(tensor, name)) for name in _TYPED):
        raise GraphError(f"{path}: {tensor.name!r} has no data; the file is cut off")


def _check_external(tensor: Any, path: Path) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise GraphError(f"{path}: {tensor.name!r} keeps its data at {location!r}, outside the model's folder")
    try:
        size = (path.parent / location).stat().st_size
        end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
    except OSError as error:
        raise GraphError(f"{path}: the data of {tensor.name!r} is missing ({location})") from error
    except ValueError as error:
        raise GraphError(f"{path}: {tensor.name!r} has no usable offset and length") from error
    if size < end:
        raise GraphError(f"{path}: the data of {tensor.name!r} is cut off ({location} has {size} of {end} bytes)")


def _forget_weights(onnx: Any, graph: Any, path: Path) -> None:
    """Turn large constants into inputs of the same shape: inference copies the model, and has a limit of 2 GB."""
    given = {value.name for value in graph.input}
    small = [tensor for tensor in graph.initializer if prod(tensor.dims) <= KEPT_VALUES]
    for tensor in graph.initializer:
        if prod(tensor.dims) > KEPT_VALUES and tensor.name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    for tensor in small:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    del graph.initializer[:]
    graph.initializer.extend(small)
