"""ONNX Runtime's profile into operations, and these into layers. Pure: the JSON text in, figures out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from token_standard.architecture import FLOPS_PER_WEIGHT

_LAYER = re.compile(r"(?:^|[./_])(?:layers?|blocks?|h)[._/](\d+)(?:[./_]|$)")
_ENDING = "_kernel_time"
_PRODUCTS = {"MatMul", "FusedMatMul", "TransposeMatMul", "Gemm", "FusedGemm"}
_LOOK_UPS = {"Gather", "GatherElements", "GatherND"}  # read a few rows of their table, as part of their input
_ELEMENT_BYTES = {"double": 8, "float": 4, "float16": 2, "bfloat16": 2}
# Elementwise, moving and reducing: a few FLOPs an element, below 1 % of a transformer's. The same is left out of cards.
_CHEAP = {
    "Abs", "Add", "And", "ArgMax", "BiasGelu", "BiasSoftmax", "BitShift", "Cast", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Cos", "CumSum", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Equal", "Erf", "Exp",
    "Expand", "FastGelu", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Greater",
    "GreaterOrEqual", "Identity", "IsNaN", "LayerNormalization", "Less", "LessOrEqual", "Log", "Max", "MemcpyFromHost",
    "MemcpyToHost", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow", "QuantizeLinear", "QuickGelu", "RMSNormalization",
    "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "RotaryEmbedding", "Round",
    "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Silu", "SimplifiedLayerNormalization", "Sin",
    "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub",
    "Swish", "Tanh", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where",
}  # fmt: skip


class MalformedProfile(ValueError):
    """Not a profile of ONNX Runtime; names the event, counted from 0."""

    code = "malformed_profile"


@dataclass(frozen=True, slots=True)
class Operation:
    """One node's run: what it computed and moved, and for how long."""

    node: str
    kind: str
    seconds: float
    linear_flops: int  # against weights
    attention_flops: int  # between activations
    bytes_moved: int  # weights, inputs and outputs
    counted: bool  # False: its FLOPs are not known here

    @property
    def layer(self) -> str:
        """The layer by the node's name; products outside all layers are the head's."""
        found = _LAYER.search(self.node)
        if found:
            return f"layer {found.group(1)}"
        return "head" if self.linear_flops else "rest"


@dataclass
class ProfiledLayer:
    """Sums of a layer's operations over all profiled runs."""

    name: str
    seconds: float = 0.0
    linear_flops: int = 0
    attention_flops: int = 0
    bytes_moved: int = 0
    uncounted: set[str] = field(default_factory=set)  # operations whose FLOPs are missing in the sums

    @property
    def flops(self) -> int:
        return self.linear_flops + self.attention_flops


def read_profile(text: str) -> list[Operation]:
    """Every node's run, in order.

    :raises MalformedProfile: no JSON array of events, an event without its shapes, or a product whose shapes do not fit.
    """
    try:
        events = json.loads(text)
    except ValueError as error:
        raise MalformedProfile(f"no JSON, or cut short: {error}") from None
    if not isinstance(events, list):
        raise MalformedProfile("a profile is an array of events")
    operations = []
    for number, event in enumerate(events):
        if not isinstance(event, Mapping):
            raise MalformedProfile(f"event {number} is no object")
        if event.get("cat") == "Node" and str(event.get("name", "")).endswith(_ENDING):
            try:
                operations.append(_operation(event))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise MalformedProfile(f"event {number} ({event.get('name')}): {error!r}") from None
    return operations


def by_layer(operations: Iterable[Operation]) -> list[ProfiledLayer]:
    """Sums by layer, in the order in which layers first ran."""
    layers: dict[str, ProfiledLayer] = {}
    for operation in operations:
        row = layers.setdefault(operation.layer, ProfiledLayer(operation.layer))
        row.seconds += operation.seconds
        row.linear_flops += operation.linear_flops
        row.attention_flops += operation.attention_flops
        row.bytes_moved += operation.bytes_moved
        if not operation.counted:
            row.uncounted.add(operation.kind)
    return list(layers.values())


def _operation(event: Mapping[str, Any]) -> Operation:
    arguments, kind = event["args"], str(event["args"]["op_name"])
    parameters = 0 if kind in _LOOK_UPS else int(arguments["parameter_size"])
    flops = hidden = 0
    if kind in _PRODUCTS:
        operands, result = _shapes(arguments["input_type_shape"]), _shapes(arguments["output_type_shape"])[0][1]
        shared = _shared(operands[0][1], result)
        flops = FLOPS_PER_WEIGHT * prod(result) * shared
        if len(operands) == 1 and not parameters:  # weights that the runtime repacked stand in no figure of its own
            hidden = shared * result[-1] * _ELEMENT_BYTES[operands[0][0]]
    weighted = bool(parameters or hidden)
    return Operation(
        node=str(event["name"]).removesuffix(_ENDING),
        kind=kind,
        seconds=_microseconds(event["dur"]) * 1e-6,
        linear_flops=flops if weighted else 0,
        attention_flops=0 if weighted else flops,
        bytes_moved=parameters + hidden + int(arguments["activation_size"]) + int(arguments["output_size"]),
        counted=kind in _PRODUCTS or kind in _CHEAP,
    )


def _shapes(written: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[str, Sequence[int]]]:
    return [(kind, shape) for each in written for kind, shape in each.items()]


def _shared(left: Sequence[int], result: Sequence[int]) -> int:
    """The length that a product sums over: the side of the first operand that the result does not have, since
    operands may come transposed."""
    rows = result[-2] if len(result) > 1 else 1
    if len(left) == 1 or left[-2] == rows:
        return left[-1]
    if left[-1] == rows:
        return left[-2]
    raise ValueError(f"{list(left)} does not give {list(result)}")


def _microseconds(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no length of time")
    return value
