"""Model files and traces that somebody sent: bounded, read and counted, never run.

Graphs are counted by a process of their own with limits on time and memory, so that a file made to hurt hurts nobody
else. External weights need not come along: only their shapes count.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from token_standard import traces
from token_standard.architecture import Reach, Work
from token_standard.errors import TokenStandardError
from token_standard.graphs import Counted, GraphError, Program, count_onnx, count_stablehlo
from token_standard.graphs.onnx_file import KEPT_VALUES, onnx_package
from token_standard.huggingface import InvalidConfig, Reading, read_json
from token_standard.huggingface.quantised import UNQUANTISED, named_format
from token_standard.huggingface.reading import read

KIB = 1024
LARGEST_CONFIG = 256 * KIB
LARGEST_GRAPH = 64 * KIB * KIB
LARGEST_TRACE = 8 * KIB * KIB
MOST_ROWS = 100_000
SECONDS = 30
MEMORY = 2 * KIB * KIB * KIB
_MOST_FILES = 4_096
_LONGEST_NAME = 200
_LARGEST_WEIGHTS = 2**42  # bytes of one file of weights; it is never written, only its end is looked at

GraphKind = Literal["onnx", "stablehlo"]
KINDS: tuple[GraphKind, ...] = ("onnx", "stablehlo")
_SUFFIX = {"onnx": ".onnx", "stablehlo": ".mlir"}
Found = TypeVar("Found")


class TooLarge(TokenStandardError):
    """More bytes or rows than are taken."""

    code = "too_large"


class TakesTooLong(TokenStandardError):
    """The graph could not be counted within the limits of time and memory."""

    code = "takes_too_long"


def read_config(raw: bytes, name: str) -> Reading:
    """A ``config.json`` that was sent; ``name`` is the file's, for messages.

    :raises TooLarge, InvalidConfig: the message names the field.
    """
    if len(raw) > LARGEST_CONFIG:
        raise TooLarge(f"{name} is larger than {LARGEST_CONFIG // KIB} KiB, so no configuration")
    plain = _with_file(raw, name, read_json)
    return from_config(plain)


def from_config(plain: dict[str, Any]) -> Reading:
    """The same from the object in it.

    :raises InvalidConfig: see :func:`read_config`.
    """
    given = plain.get("_name_or_path")
    called = given.rstrip("/").rpartition("/")[2][:80] if isinstance(given, str) else ""
    return read(plain, name=called or "model")


def read_trace(raw: bytes, name: str) -> list[tuple[int, int, int]]:
    """The requests of a trace that was sent, as (n, c, g): an Azure CSV or Mooncake's JSON lines, nothing cached.

    :raises TooLarge, TraceError: the message names the line.
    """
    if len(raw) > LARGEST_TRACE:
        raise TooLarge(f"{name} is larger than {LARGEST_TRACE // KIB // KIB} MiB")
    if raw[:2] == b"\x1f\x8b":
        raise TooLarge(f"{name} is compressed: send it as plain text")
    return _with_file(raw, name, lambda path: list(_bounded(traces.read_trace(path), name)))


def _bounded(rows: Iterable[traces.TraceRow], name: str) -> Iterator[tuple[int, int, int]]:
    for number, row in enumerate(rows, start=1):
        if number > MOST_ROWS:
            raise TooLarge(f"{name} has more than {MOST_ROWS} requests")
        yield row.prompt, 0, row.generated


def count(chunks: Iterable[bytes], kind: GraphKind, *, name: str, form: str = UNQUANTISED) -> Counted | Program:
    """Count a graph that is sent piece by piece, in a process of its own.

    :raises TooLarge: more than 64 MiB.
    :raises InvalidConfig: no such format.
    :raises GraphError: broken, cut off, or with an operation that is not known.
    :raises TakesTooLong: beyond the limits of the process.
    """
    named_format(form)
    with tempfile.TemporaryDirectory(prefix="estimate-") as folder:
        path = Path(folder) / f"model{_SUFFIX[kind]}"
        with path.open("wb") as file:
            size = 0
            for chunk in chunks:
                size += len(chunk)
                if size > LARGEST_GRAPH:
                    raise TooLarge(
                        f"{name} is larger than {LARGEST_GRAPH // KIB // KIB} MiB: leave the weights outside"
                    )
                file.write(chunk)
        plain = _in_child(kind, path, form)
    if "error" in plain:
        raise GraphError(str(plain["error"]).replace(str(path), name).replace(folder, "")[:600])
    return _program(plain, name) if kind == "stablehlo" else _counted(plain, name)


def _in_child(kind: GraphKind, path: Path, form: str) -> dict[str, Any]:
    command = [sys.executable, "-I", "-m", __name__, kind, str(path), form]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, cwd=path.parent)
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise TakesTooLong(f"counting this file takes longer than {SECONDS} s") from None
    except ValueError:  # it was stopped by its limits, or broke
        raise TakesTooLong("counting this file needs more time or memory than is given to one estimate") from None
    return found


def main(arguments: list[str]) -> int:
    """The child: print what was counted, or the refusal, as JSON."""
    _limit()
    kind, path, form = arguments[0], Path(arguments[1]), arguments[2]
    try:
        if kind == "onnx":
            hollow_weights(path)
            print(json.dumps(_of_counted(count_onnx(path, named_format(form)))))
        else:
            print(json.dumps({**vars(count_stablehlo(path)), "form": form}, default=str))
    except TokenStandardError as error:
        print(json.dumps({"error": str(error)}))
    except (
        OSError,
        ValueError,
        ArithmeticError,
        LookupError,
        RecursionError,
    ):  # made to hurt: no trace of it, a refusal
        print(json.dumps({"error": "the file is malformed: what is in it cannot be counted"}))
    return 0


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on this system; the time-out of the parent stays
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def hollow_weights(path: Path) -> None:
    """Stand in for the external weights of an ONNX file with files that have their size and no content.

    Small whole numbers kept outside are refused: they may be shapes, which zeros would change without a word.

    :raises GraphError: such a constant, or a place that is no file beside the model.
    """
    onnx = onnx_package()
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no stable home
        raise GraphError(f"{path}: not an ONNX file, or cut off") from error
    ends: dict[str, int] = {}
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        elements = 1
        for size in tensor.dims:
            elements *= size
        known = tensor.data_type in onnx.TensorProto.DataType.values()
        kind = onnx.TensorProto.DataType.Name(tensor.data_type) if known else "BOOL"
        if elements <= KEPT_VALUES and ("INT" in kind or kind == "BOOL"):
            raise GraphError(f"{path}: the constant {tensor.name!r} is kept outside; save small constants in the model")
        location = entries.get("location", "")
        unusable = "\0" in location or len(location.encode("utf-8", "replace")) > _LONGEST_NAME
        if not location or unusable or location != Path(location).name or location in {".", "..", path.name}:
            raise GraphError(
                f"{path}: {tensor.name!r} keeps its data at {location[:80]!r}, not in a file beside the model"
            )
        try:
            end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        except ValueError:
            raise GraphError(f"{path}: {tensor.name!r} has no usable offset and length") from None
        if not 0 <= end <= _LARGEST_WEIGHTS:
            raise GraphError(f"{path}: {tensor.name!r} has no usable offset and length")
        ends[location] = max(end, ends.get(location, 0))
        if len(ends) > _MOST_FILES:
            raise GraphError(f"{path}: its weights are in more than {_MOST_FILES} files")
    for location, end in ends.items():
        with (path.parent / location).open("xb") as file:
            file.truncate(end)


def _of_counted(counted: Counted) -> dict[str, Any]:
    work = {name: str(value) for name, value in vars(counted.work).items() if name != "reaches"}
    return {
        "work": work,
        "reaches": [vars(reach) for reach in counted.work.reaches],
        "form": counted.format.name,
        "nodes": dict(counted.nodes),
        "has_cache": counted.has_cache,
        "experts": counted.experts,
    }


def _counted(plain: dict[str, Any], name: str) -> Counted:
    work = plain["work"]
    return Counted(
        name=name,
        work=Work(
            active_weights=Fraction(work["active_weights"]),
            total_weights=int(Fraction(work["total_weights"])),
            dense_weights=int(Fraction(work["dense_weights"])),
            head_weights=int(Fraction(work["head_weights"])),
            expert_read=Fraction(work["expert_read"]),
            kv_elements=int(Fraction(work["kv_elements"])),
            reaches=tuple(Reach(**reach) for reach in plain["reaches"]),
        ),
        format=named_format(plain["form"]),
        nodes=plain["nodes"],
        has_cache=plain["has_cache"],
        experts=plain["experts"],
    )


def _program(plain: dict[str, Any], name: str) -> Program:
    return Program(
        name, plain["linear_flops"], plain["attention_flops"], Fraction(plain["argument_bytes"]),
        Fraction(plain["result_bytes"]), plain["products"],
    )  # fmt: skip


def _with_file(raw: bytes, name: str, use: Callable[[Path], Found]) -> Found:
    """What ``use`` makes of a file with this content; its refusals name the file as it was sent."""
    with tempfile.TemporaryDirectory(prefix="estimate-") as folder:
        path = Path(folder) / "file"
        path.write_bytes(raw)
        try:
            return use(path)
        except InvalidConfig as error:
            raise InvalidConfig(error.problem.replace(str(path), name), field=error.field) from error
        except traces.TraceError as error:
            raise traces.TraceError(Path(name), error.line, error.problem.replace(str(path), name)) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
