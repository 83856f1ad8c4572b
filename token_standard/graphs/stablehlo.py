"""The work of one run of a StableHLO program, from its text (``.mlir``): dot products and convolutions.

2 · M · N · K for every product. A product with batch dimensions multiplies activations with each other (attention),
which no number format discounts; one without multiplies with a weight. Shapes must be fixed, and what might hide work
(custom calls, loops around products) is refused.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from pathlib import Path

from token_standard.cards import Format
from token_standard.graphs.errors import GraphError
from token_standard.version import CURRENT

LARGEST_FILE = 256 * 2**20  # bytes; constants are cut short in the text, so real ones stay far below

DEEPEST_CALL = 200
LARGEST_FLOPS = 10**30  # of one run; far above any, and below it every figure can be printed

_BYTES = {
    **dict.fromkeys(("f64", "i64", "ui64"), 8),
    **dict.fromkeys(("f32", "i32", "ui32"), 4),
    **dict.fromkeys(("f16", "bf16", "i16", "ui16"), 2),
    **dict.fromkeys(("i8", "ui8", "i1"), 1),
}
# Every pattern is linear in the length of a line: files come from strangers.
_TENSOR = re.compile(r"tensor<((?:\d{1,15}x){0,16})([a-zA-Z]\w*)>")
_ANY_TENSOR = re.compile(r"tensor<[^>]{0,300}+>+")
_FUNCTION = re.compile(r"func\.func\s+(?:public |private )?@([\w.$-]+)\s*\((.*)")
_CALL = re.compile(r"(?<![\w])(?:func\.)?call\s+@([\w.$-]+)")
_PRODUCT = re.compile(r"\"?stablehlo\.(dot_general|dot|convolution)\"?\b")
_OPERATION = re.compile(r"(?:^|=)\s*\"?(\w+)\.([\w.]+)\"?")
_CONTRACTING = re.compile(
    r"(?:contracting_dims\s*=\s*\[([\d, ]*)\]\s*x|lhs_contracting_dimensions\s*=\s*\[([\d, ]*)\])"
)
_BATCHING = re.compile(r"(?:batching_dims\s*=\s*\[([\d, ]*)\]\s*x|lhs_batching_dimensions\s*=\s*\[([\d, ]*)\])")
_KERNEL = re.compile(r"x\[([\w, ]*)\]->")
_CUSTOM_CALL = re.compile(r"stablehlo\.custom_call\"?\s*(?:@([\w.$-]+))?")
_TARGET = re.compile(r"call_target_name\s*=\s*\"([^\"]*)\"")
_FREE_CALLS = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "LayoutConstraint"}
_REGIONS = ("while", "case", "if")
_OTHER_WORK = {"triangular_solve", "cholesky", "fft", "dynamic_conv", "composite", "rng_bit_generator"}
_DIALECTS = {"stablehlo", "func", "module", "chlo", "sdy"}


@dataclass(frozen=True)
class Program:
    """One run: FLOPs with weights, FLOPs between activations, bytes of arguments and results (each moved once)."""

    name: str
    linear_flops: int
    attention_flops: int
    argument_bytes: Fraction
    result_bytes: Fraction
    products: int

    def st(self, form: Format) -> Fraction:
        """ST of one run in a number format: compute and memory added, no batch shared with anybody."""
        flops = self.linear_flops / form.pi + self.attention_flops
        return flops / CURRENT.flops_per_st + (self.argument_bytes + self.result_bytes) / CURRENT.bytes_per_st


@dataclass
class _Function:
    linear: int = 0
    attention: int = 0
    products: int = 0
    signature: str = ""
    calls: list[tuple[str, bool]] = field(default_factory=list)  # name, inside a loop or branch
    in_region: int = 0  # line of a product in a loop or branch; 0: none


def count_stablehlo(path: Path) -> Program:
    """Count the program in a file.

    :raises GraphError: unreadable or cut off, open shapes, or work that the text does not tell.
    """
    functions = _functions(path, _lines(path))
    if "main" not in functions:
        raise GraphError(f"{path}: no function @main")
    linear, attention, products = _sum(path, functions, "main", (), {})
    if not products:
        raise GraphError(f"{path}: no product in it: a model multiplies, and this would cost next to nothing")
    arguments, _, results = functions["main"].signature.partition("->")
    return Program(path.stem, linear, attention, _bytes(path, arguments), _bytes(path, results), products)


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise GraphError(f"{path}: larger than {LARGEST_FILE} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: not text; StableHLO's bytecode must be turned into text first") from error
    return [re.sub(r'"(?:0x)?[0-9A-Fa-f]{32,}"', '""', line.partition(" loc(")[0]) for line in text.splitlines()]


def _functions(path: Path, lines: list[str]) -> dict[str, _Function]:
    functions: dict[str, _Function] = {}
    current: _Function | None = None
    depth, regions = 0, list[int]()  # depths at which a loop or branch was entered
    for number, line in enumerate(lines, start=1):
        if match := _FUNCTION.search(line):
            current = functions.setdefault(match[1], _Function(signature=match[2]))
            regions.clear()
        elif current is not None:
            _read(path, number, line, current, inside=bool(regions))
        if any(f"stablehlo.{name}" in line for name in _REGIONS):
            regions.append(depth)
        depth += _braces(line)
        while regions and depth <= regions[-1] and "stablehlo." not in line:
            regions.pop()
    if depth != 0 or not functions:
        raise GraphError(f"{path}: not a whole StableHLO module; the file is cut off")
    return functions


def _braces(line: str) -> int:
    plain = re.sub(r'"[^"]*"', "", line)
    return plain.count("{") - plain.count("}")


def _read(path: Path, number: int, line: str, function: _Function, *, inside: bool) -> None:
    where = f"{path}, line {number}"
    if match := _CUSTOM_CALL.search(line):
        named = _TARGET.search(line)
        target = match[1] or (named[1] if named else "")
        if target not in _FREE_CALLS:
            raise GraphError(f"{where}: custom call {target!r} is not counted, so nothing is estimated")
    if call := _CALL.search(line):
        function.calls.append((call[1], inside))
    if operation := _OPERATION.search(line):
        dialect, name = operation[1], operation[2]
        if dialect not in _DIALECTS or name in _OTHER_WORK:
            raise GraphError(f"{where}: operation {dialect}.{name} is not counted, so nothing is estimated")
    if product := _PRODUCT.search(line):
        if inside:
            function.in_region = function.in_region or number
        flops, batched = _product(where, line, product[1])
        function.products += 1
        if batched:
            function.attention += flops
        else:
            function.linear += flops


def _product(where: str, line: str, kind: str) -> tuple[int, bool]:
    """FLOP of a product, and whether it has batch dimensions."""
    tensors = _tensors(where, line.rpartition(" : ")[2])
    if len(tensors) < 3:
        raise GraphError(f"{where}: a product without its three shapes; the file is cut off")
    left, right, result = tensors[0][0], tensors[1][0], tensors[-1][0]
    if 0 in (*left, *right, *result) or not left:
        raise GraphError(f"{where}: a product of nothing")
    if kind == "dot":
        return 2 * prod(result) * left[-1], False
    if kind == "convolution":
        kernel = _KERNEL.search(line)
        labels = [label.strip() for label in kernel[1].split(",")] if kernel else []
        if "o" not in labels or len(labels) != len(right):
            raise GraphError(f"{where}: a convolution whose kernel is not described")
        return 2 * prod(result) * prod(right) // right[labels.index("o")], False
    contracting, batching = _indices(_CONTRACTING, line), _indices(_BATCHING, line)
    if contracting is None or any(i >= len(left) for i in contracting):
        raise GraphError(f"{where}: a product without its contracting dimensions")
    return 2 * prod(result) * prod(left[i] for i in contracting), bool(batching)


def _indices(pattern: re.Pattern[str], line: str) -> list[int] | None:
    match = pattern.search(line)
    if match is None:
        return None
    return [int(each) for each in (match[1] or match[2] or "").split(",") if each.strip()]


def _tensors(where: str, text: str) -> list[tuple[tuple[int, ...], str]]:
    found, tensors = _ANY_TENSOR.findall(text), []
    if len(found) != text.count("tensor<"):
        raise GraphError(f"{where}: a tensor that does not end; the file is cut off")
    for whole in found:
        match = _TENSOR.fullmatch(whole)
        if match is None:
            raise GraphError(f"{where}: {whole[:80]} is no tensor of fixed shape and plain type")
        tensors.append((tuple(int(each) for each in match[1].split("x") if each), match[2]))
    return tensors


def _bytes(path: Path, text: str) -> Fraction:
    total = Fraction(0)
    for shape, kind in _tensors(f"{path}, @main", text):
        size = 1 if kind.startswith("f8") else _BYTES.get(kind)
        if kind in {"i4", "ui4", "f4E2M1FN"}:
            total += Fraction(prod(shape), 2)
        elif size is None:
            raise GraphError(f"{path}: element type {kind} is not known")
        else:
            total += prod(shape) * size
    return total


def _sum(
    path: Path,
    functions: dict[str, _Function],
    name: str,
    above: tuple[str, ...],
    known: dict[str, tuple[int, int, int]],
) -> tuple[int, int, int]:
    """Linear FLOP, attention FLOP and products of a function with all it calls; each function is summed once."""
    if name in known:
        return known[name]
    if len(above) > DEEPEST_CALL:
        raise GraphError(f"{path}: calls nest deeper than {DEEPEST_CALL}")
    if name in above:
        raise GraphError(f"{path}: @{name} calls itself")
    if name not in functions:
        raise GraphError(f"{path}: @{name} is called, but not there; the file is cut off")
    function = functions[name]
    if function.in_region:
        raise GraphError(
            f"{path}, line {function.in_region}: a product inside a loop or branch; how often is not known"
        )
    linear, attention, products = function.linear, function.attention, function.products
    for called, inside in function.calls:
        more = _sum(path, functions, called, (*above, name), known)
        if inside and more[2]:
            raise GraphError(
                f"{path}: @{called} has products and is called in a loop or branch; how often is not known"
            )
        linear, attention, products = linear + more[0], attention + more[1], products + more[2]
    if linear + attention > LARGEST_FLOPS:
        raise GraphError(f"{path}: @{name} has more work than any program")
    known[name] = linear, attention, products
    return known[name]
