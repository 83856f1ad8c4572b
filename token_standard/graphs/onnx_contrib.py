"""Operations of ONNX Runtime (domain ``com.microsoft``) that exported language models use.

Shape inference does not know them, so each is replaced, in a copy that only inference sees, by standard operations of
the same shapes. What they multiply is counted from their attributes and the shapes of their inputs. An operation that
is not in these tables is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from token_standard.graphs.errors import GraphError
from token_standard.graphs.onnx_file import onnx_package

DOMAIN = "com.microsoft"
BITS_OF_BYTE = 8
SCALE_BYTES = 2  # of a block's scale, in 16 bits

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

FREE = frozenset({
    "BiasGelu", "FastGelu", "Gelu", "QuickGelu", "RotaryEmbedding", "SimplifiedLayerNormalization",
    "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
})  # fmt: skip
# ONNX Runtime also writes these two without a domain.
UNNAMED = frozenset({"SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"})


@dataclass(frozen=True)
class Product:
    """What one operation multiplies.

    ``linear`` by the input that holds the weight: FLOP. ``experts`` by the input that holds the table of experts:
    FLOP, elements of one expert, experts in the table. ``pairs`` FLOP of attention over all (new, seen) pairs, and
    ``window`` how far it reaches, None for all positions; ``kept`` the elements that it caches per token.
    """

    linear: Mapping[str, int]
    experts: Mapping[str, tuple[int, int, int]]
    pairs: int = 0
    window: int | None = None
    kept: int = 0


def is_contrib(node: Any) -> bool:
    """Whether this is an operation of the tables here."""
    if node.domain == DOMAIN:
        return node.op_type in FREE or node.op_type in _PRODUCTS
    return node.domain in {"", "ai.onnx"} and node.op_type in UNNAMED


def multiplies(node: Any) -> bool:
    """Whether it is one that multiplies."""
    return node.domain == DOMAIN and node.op_type in _PRODUCTS


def product(node: Any, shapes: Shapes) -> Product:
    """What an operation multiplies, from its attributes and the shapes of its inputs.

    :raises GraphError: an input that the count needs has no shape, or an attribute is missing.
    """
    return _PRODUCTS[node.op_type](_Node(node, shapes))


def packed_bytes(node: Any) -> int:
    """Bytes of a packed weight with its scales, as the attributes say; 0 where the operation packs nothing."""
    if node.domain != DOMAIN or node.op_type != "MatMulNBits":
        return 0
    of = _Node(node, {})
    blocks = -(-of.number("K") // of.number("block_size"))
    elements = of.number("N") * blocks * of.number("block_size")
    zeros = of.number("N") * -(-blocks * of.number("bits") // BITS_OF_BYTE) if of.name(3) else 0
    return elements * of.number("bits") // BITS_OF_BYTE + SCALE_BYTES * of.number("N") * blocks + zeros


def replaced(node: Any, known: Shapes, *, new: int) -> tuple[list[Any], list[tuple[str, Shape]]]:
    """Standard operations of the same output shapes, and inputs to add for them, with their shapes."""
    of = _Node(node, known)
    fresh: list[tuple[str, Shape]] = []
    helper = onnx_package().helper

    def alike(at: int, source: int = 0) -> list[Any]:
        return [helper.make_node("Identity", [of.name(source)], [of.output(at)])] if of.output(at) else []

    def projected(rows: int, columns: int, *, unit: int | None = None) -> list[Any]:
        """The first output: the first input's shape but for the last dimension. Sizes in heads, or in ``unit``."""
        size = of.head_size() if unit is None else unit
        name = f"{of.output(0)}.columns"
        fresh.append((name, (rows * size, columns * size)))
        return [helper.make_node("MatMul", [of.name(0), name], [of.output(0)])]

    def grown(at: int, cache: int, axis: int = 2) -> list[Any]:
        """A cache after the step: the cached tokens and the new ones."""
        if not of.output(at) or not of.name(cache):
            return []
        shape = list(of.shape(cache))
        shape[axis] += new
        fresh.append((f"{of.output(at)}.grown", tuple(shape)))
        return [helper.make_node("Identity", [f"{of.output(at)}.grown"], [of.output(at)])]

    if node.op_type == "MatMulNBits":
        fresh.append((f"{of.output(0)}.columns", (of.number("K"), of.number("N"))))
        nodes = [helper.make_node("MatMul", [of.name(0), f"{of.output(0)}.columns"], [of.output(0)])]
    elif node.op_type == "GroupQueryAttention":
        heads, kv_heads = of.number("num_heads"), of.number("kv_num_heads")
        nodes = alike(0) if of.name(1) else projected(heads + 2 * kv_heads, heads)
        for at, cache in ((1, 3), (2, 4)):
            nodes += grown(at, cache)
    elif node.op_type == "MultiHeadAttention":
        nodes = [*alike(0), *grown(1, 6), *grown(2, 7)]
    elif node.op_type == "Attention":
        rows, _ = of.shape(1)
        nodes = projected(rows, of.hidden_sizes()[2], unit=1) + grown(1, 4, axis=3)
    else:
        nodes = [each for at in range(len(node.output)) for each in alike(at)]
    return nodes, fresh


class _Node:
    """One operation with the shapes of its inputs."""

    def __init__(self, node: Any, shapes: Shapes) -> None:
        self.node, self.shapes = node, shapes
        value = onnx_package().helper.get_attribute_value
        self.attributes = {each.name: value(each) for each in node.attribute}

    def name(self, at: int) -> str:
        return str(self.node.input[at]) if at < len(self.node.input) else ""

    def output(self, at: int) -> str:
        return str(self.node.output[at]) if at < len(self.node.output) else ""

    def number(self, name: str, default: int | None = None) -> int:
        value = self.attributes.get(name, default)
        if type(value) is not int:
            raise GraphError(f"{self.node.op_type} {self.node.name!r} has no whole number {name!r}")
        return value

    def shape(self, at: int) -> Shape:
        if self.name(at) not in self.shapes:
            raise GraphError(f"the shape of {self.name(at)!r} at {self.node.op_type} {self.node.name!r} is not known")
        return self.shapes[self.name(at)]

    def last(self, at: int) -> int:
        return self.shape(at)[-1]

    def tokens(self) -> int:
        return prod(self.shape(0)[:-1])

    def past(self, at: int, axis: int = 2) -> int:
        """Cached tokens, by the shape of a cache input."""
        return self.shape(at)[axis] if self.name(at) and self.name(at) in self.shapes else 0

    def head_size(self) -> int:
        """Of grouped-query attention, by its cache, or by the query, which may hold keys and values too."""
        if self.name(3):
            return self.last(3)
        heads = self.number("num_heads")
        return self.last(0) // (heads if self.name(1) else heads + 2 * self.number("kv_num_heads"))

    def hidden_sizes(self) -> tuple[int, int, int]:
        """Of queries, keys and values of the older Attention operation."""
        sizes = self.attributes.get("qkv_hidden_sizes")
        if sizes:
            first, second, third = map(int, sizes)
            return first, second, third
        third = self.last(1) // 3
        return third, third, third


def _matmul_bits(of: _Node) -> Product:
    return Product({of.name(1): 2 * of.tokens() * of.number("K") * of.number("N")}, {})


def _grouped(of: _Node) -> Product:
    new, past = of.tokens(), of.past(3)
    window = of.number("local_window_size", -1)
    pairs = 2 * new * (new + past) * of.number("num_heads") * 2 * of.head_size()
    kept = 2 * of.number("kv_num_heads") * of.head_size()
    return Product({}, {}, pairs, window if window > 0 else None, kept)


def _multi_head(of: _Node) -> Product:
    if not of.name(2):
        raise GraphError(f"MultiHeadAttention {of.node.name!r} with packed keys and values is not counted")
    keys = of.shape(1)
    cross = len(keys) == 4  # keys and values of an encoder, already split into heads
    seen = (keys[2] if cross else keys[1]) + of.past(6)
    values = of.shape(2)
    width = values[1] * values[3] if cross else values[-1]
    return Product({}, {}, 2 * of.tokens() * seen * (of.last(0) + width))


def _older_attention(of: _Node) -> Product:
    queries, keys, values = of.hidden_sizes()
    linear = 2 * of.tokens() * of.last(0) * (queries + keys + values)
    seen = of.tokens() + of.past(4, axis=3)
    return Product({of.name(1): linear}, {}, 2 * of.tokens() * seen * (queries + values))


def _experts(of: _Node, tables: Sequence[int], packed: int) -> Product:
    chosen, found = of.number("k", 1), {}
    for at in tables:
        if of.name(at):
            count, *one = of.shape(at)
            elements = prod(one) * packed
            found[of.name(at)] = (2 * of.tokens() * chosen * elements, elements, count)
    return Product({}, found)


def _moe(of: _Node) -> Product:
    return _experts(of, (2, 4, 6), 1)


def _quantised_moe(of: _Node) -> Product:
    return _experts(of, (2, 5, 8), BITS_OF_BYTE // of.number("expert_weight_bits", 4))


_PRODUCTS: Mapping[str, Callable[[_Node], Product]] = {
    "MatMulNBits": _matmul_bits,
    "GroupQueryAttention": _grouped,
    "MultiHeadAttention": _multi_head,
    "Attention": _older_attention,
    "MoE": _moe,
    "QMoE": _quantised_moe,
}
