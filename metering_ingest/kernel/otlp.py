"""Token counters out of an OTLP metrics export, in protobuf or JSON; all other metrics are passed over.

Source: opentelemetry.io, "OTLP specification" and "Semantic conventions for generative AI metrics".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

MOST_POINTS = 10_000
TOKEN_USAGE, INFERENCE_USAGE = "gen_ai.client.token.usage", "gen_ai.client.inference.usage."
_KIND = "gen_ai.token.type"
_EXACT = 2**53  # up to here a double holds every whole number
_NAME = re.compile(r"gen_ai\.client\.[a-z0-9_.]{1,80}")
_WORD = re.compile(r"[a-z0-9_.]{0,40}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NANOS = 4_102_444_800 * 10**9  # the year 2100
_CUMULATIVE = 2
_NO_VALUE = 1


class MalformedExport(ValueError):
    """Not an export of metrics."""


class TooManyPoints(ValueError):
    """More token counters than one export may have."""


@dataclass(frozen=True, slots=True)
class Point:
    """One reading of a token counter: tokens from `start` to `end`, of the series that `attributes` is the digest of."""

    metric: str
    token_type: str
    attributes: UUID
    start: datetime
    end: datetime
    value: int
    cumulative: bool


@dataclass(frozen=True, slots=True)
class Export:
    """The token counters of an export; how many were wrong, and how many points were of other metrics."""

    points: list[Point]
    rejected: int
    ignored: int


class _Wrong(ValueError):
    """A point that is no count of tokens."""


def parse(raw: bytes, *, as_json: bool) -> Export:
    """Read an export.

    :raises MalformedExport, TooManyPoints: see there.
    """
    points: list[Point] = []
    rejected = ignored = 0
    for names, metric in _metrics(_message(raw, as_json).resource_metrics):
        kind = metric.WhichOneof("data")
        found = getattr(metric, kind).data_points if kind else ()
        if not _is_ours(metric.name):
            ignored += len(found)
            continue
        for one in found:
            try:
                points.append(_point(names, metric, kind, one))
            except _Wrong:
                rejected += 1
            if len(points) > MOST_POINTS:
                raise TooManyPoints(f"An export has at most {MOST_POINTS} token counters.")
    return Export(points, rejected, ignored)


def answer(export: Export, *, as_json: bool) -> bytes:
    """What the sender is told: nothing where all was taken, else a partial success with how many were refused and why."""
    response = ExportMetricsServiceResponse()
    said = []
    if export.rejected:
        said.append(f"{export.rejected} data points are no whole counts of tokens with a time.")
    if export.ignored:
        said.append(f"{export.ignored} data points of other metrics were accepted and ignored.")
    if said:
        response.partial_success.rejected_data_points = export.rejected
        response.partial_success.error_message = " ".join(said)
    if as_json:
        return bytes(json_format.MessageToJson(response, indent=None).encode())
    return bytes(response.SerializeToString())


def _message(raw: bytes, as_json: bool) -> Any:
    message = ExportMetricsServiceRequest()
    try:
        if as_json:
            json_format.Parse(raw, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(raw)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedExport("The body is no ExportMetricsServiceRequest.") from None
    return message


def _metrics(resources: Iterable[Any]) -> Iterator[tuple[list[bytes], Any]]:
    """Each metric, with what its resource and scope add to the names of its series."""
    for resource in resources:
        outer = _named(b"r", resource.resource.attributes)
        for scope in resource.scope_metrics:
            inner = _named(b"s", scope.scope.attributes)
            name = [b"n" + scope.scope.name.encode(), b"v" + scope.scope.version.encode()]
            for metric in scope.metrics:
                yield [*outer, *inner, *name], metric


def _is_ours(name: str) -> bool:
    return name == TOKEN_USAGE or (name.startswith(INFERENCE_USAGE) and _NAME.fullmatch(name) is not None)


def _point(names: list[bytes], metric: Any, kind: str, point: Any) -> Point:
    if kind not in {"sum", "histogram", "exponential_histogram"} or point.flags & _NO_VALUE:
        raise _Wrong
    if kind == "sum" and not metric.sum.is_monotonic:
        raise _Wrong
    if not 0 < point.time_unix_nano < _LAST_NANOS or point.start_time_unix_nano > point.time_unix_nano:
        raise _Wrong
    attributes = hashlib.sha256()
    for part in sorted([*names, *_named(b"p", point.attributes)]):
        attributes.update(len(part).to_bytes(8, "big") + part)
    return Point(
        metric.name, _token_type(metric.name, point), UUID(bytes=attributes.digest()[:16]),
        _instant(point.start_time_unix_nano), _instant(point.time_unix_nano), _value(kind, point),
        getattr(metric, kind).aggregation_temporality == _CUMULATIVE,
    )  # fmt: skip


def _token_type(name: str, point: Any) -> str:
    """`input`, `output` and the like: an attribute of the one metric, the end of the others' names."""
    if name != TOKEN_USAGE:
        return name.removeprefix(INFERENCE_USAGE)[:40]
    for pair in point.attributes:
        if pair.key == _KIND and _WORD.fullmatch(pair.value.string_value):
            return str(pair.value.string_value)
    raise _Wrong


def _value(kind: str, point: Any) -> int:
    if kind == "sum" and point.WhichOneof("value") == "as_int":
        value = point.as_int
    elif kind == "sum":
        value = point.as_double
    else:
        value = point.sum if point.HasField("sum") else -1
    if not 0 <= value <= _EXACT or value != int(value):
        raise _Wrong
    return int(value)


def _named(level: bytes, attributes: Iterable[Any]) -> list[bytes]:
    return [level + pair.SerializeToString(deterministic=True) for pair in attributes]


def _instant(nanos: int) -> datetime:
    """Whole microseconds, rounded down; 1970 stands for an unknown start."""
    return _EPOCH + timedelta(microseconds=nanos // 1_000)
