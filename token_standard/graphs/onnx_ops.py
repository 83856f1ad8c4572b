"""The table of ONNX operations: which move or change elements (free), and what the others multiply.

FLOPs are 2 per multiply-add, as in the closed form; elementwise work, norms and softmax are left out there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from token_standard.graphs.errors import GraphError

Shape = tuple[int, ...]

FREE = frozenset(
    """
    Abs Acos Add And ArgMax ArgMin Asin Atan BitwiseAnd BitwiseNot BitwiseOr Cast CastLike Ceil Clip Compress Concat
    Constant ConstantOfShape Cos CumSum DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike
    Flatten Floor Gather GatherElements GatherND Gelu Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish
    Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Max Mean Min Mish Mod Mul Neg NonZero
    Not OneHot Or Pad Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape RotaryEmbedding Round ScatterElements ScatterND Selu Shape Sigmoid
    Sign Silu Sin Size Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Swish Tan Tanh Tile TopK Transpose Trilu Unsqueeze
    Where Xor
    """.split()  # noqa: SIM905 - a block of words reads better than so many quoted ones
)
# Free operations that leave a weight a weight.
KEEPING = frozenset(
    {"Cast", "DequantizeLinear", "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)


def flops(node: Any, shapes: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """FLOP of one operation that multiplies, from the shapes of its inputs and of its first output."""
    count = _COUNTS[node.op_type]
    return count(shapes, output, attributes)


def multiplies(node: Any) -> bool:
    """Whether an operation is in the table of those that multiply."""
    return node.domain in {"", "ai.onnx"} and node.op_type in _COUNTS


def weight_inputs(node: Any) -> tuple[int, ...]:
    """Which inputs can be a weight, most likely first."""
    if node.op_type == "QLinearMatMul":
        return (3, 0)
    return (1,) if node.op_type in {"Conv", "ConvInteger"} else (1, 0)


def operands(node: Any) -> tuple[int, ...]:
    """The inputs whose shapes the count needs."""
    if node.op_type == "QLinearMatMul":
        return (0, 3)
    if node.op_type == "Attention":
        return tuple(i for i in (0, 1, 2, 4) if i < len(node.input) and node.input[i])
    return tuple(range(len(node.input))) if node.op_type == "Einsum" else (0, 1)


def _matmul(shapes: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * shapes[0][-1]


def _gemm(shapes: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * shapes[0][0 if attributes.get("transA") else 1]


def _conv(shapes: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * prod(shapes[1][1:])


def _einsum(shapes: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    equation = attributes["equation"].decode().replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if len(terms) > 2 or "." in equation:
        raise GraphError(f"Einsum {equation!r} is not counted: two operands without an ellipsis are")
    sizes = {
        label: size for term, shape in zip(terms, shapes, strict=True) for label, size in zip(term, shape, strict=True)
    }
    return 2 * prod(sizes.values()) if len(terms) == 2 else 0


def _attention(shapes: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    queries, keys, values = shapes[:3]
    past = shapes[3][2] if len(shapes) > 3 else 0
    if len(queries) == 3:
        heads, kv_heads = attributes["q_num_heads"], attributes["kv_num_heads"]
        rows, seen = queries[0] * heads * queries[1], keys[1] + past
        return int(2 * rows * seen * (queries[2] // heads + values[2] // kv_heads))
    return 2 * prod(queries[:3]) * (keys[2] + past) * (queries[3] + values[3])


_COUNTS: dict[str, Callable[[Sequence[Shape], Shape, dict[str, Any]], int]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvInteger": _conv,
    "Einsum": _einsum,
    "Attention": _attention,
}
