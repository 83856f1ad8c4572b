"""The agent's own metrics, for Prometheus; and a listener that serves nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_MOST_HEAD = 8192
_FAMILIES: tuple[tuple[str, str, str], ...] = (
    ("requests_total", "counter", "Requests by outcome."),
    ("records_total", "counter", "Usage records kept."),
    ("tokens_total", "counter", "Tokens counted, by kind and owner of the traffic."),
    ("unmetered_total", "counter", "Answers whose usage is not known, by reason."),
    ("bad_lines_total", "counter", "Lines of followed logs that gave no record, by reason."),
    ("lost_records_total", "counter", "Records that could not be kept, by reason."),
    ("results_total", "counter", "What the platform said of records."),
    ("send_failures_total", "counter", "Batches that the platform did not take at once."),
    ("backlog_records", "gauge", "Records that the platform has not confirmed."),
    ("backlog_bytes", "gauge", "Bytes of the spool."),
    ("in_flight", "gauge", "Requests under way at the proxy."),
    ("last_success_timestamp_seconds", "gauge", "When the platform last confirmed a batch."),
    ("clock_offset_seconds", "gauge", "The platform's clock less this machine's, once corrected."),
    ("server_gaps", "gauge", "Ranges of confirmed records that the platform says it lacks."),
    ("engine_checks_total", "counter", "Comparisons with the engine's counters, by verdict."),
    ("engine_difference_tokens", "gauge", "Tokens counted here less those of the engine, by identity, summed."),
    ("engine_restarts_total", "counter", "Restarts of the engine that were seen."),
)


def exposition(told: Mapping[str, Any]) -> str:
    """Metrics out of what the agent says of itself."""
    samples = dict(_samples(told))
    lines = []
    for name, kind, words in _FAMILIES:
        full = f"tokenspot_agent_{name}"
        lines += [f"# HELP {full} {words}", f"# TYPE {full} {kind}"]
        lines += [f"{full}{labels} {value}" for labels, value in samples.get(name, ())]
    return "\n".join(lines) + "\n"


def _samples(told: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    platform, engine = told["platform"], told.get("engine_check") or {}
    yield "requests_total", _by("outcome", told["requests"])
    yield "records_total", [("", told["records"])]
    yield (
        "tokens_total",
        [(f'{{kind="{kind}",traffic="{of}"}}', n) for of, kinds in told["tokens"].items() for kind, n in kinds.items()],
    )
    yield "unmetered_total", _by("reason", told["unmetered"])
    yield "bad_lines_total", _by("reason", told["bad_lines"])
    yield "lost_records_total", _by("reason", {reason: counts["records"] for reason, counts in told["losses"].items()})
    yield "results_total", _by("result", platform["results"])
    yield "send_failures_total", [("", platform["failures"])]
    yield "backlog_records", [("", told["backlog"]["records"])]
    yield "backlog_bytes", [("", told["backlog"]["bytes"])]
    yield "in_flight", [("", told["in_flight"])]
    yield "last_success_timestamp_seconds", [("", platform["last_success"] or 0)]
    yield "clock_offset_seconds", [("", round(platform["clock_offset"], 3))]
    yield "server_gaps", [("", len(platform["gaps"]))]
    yield "engine_checks_total", _by("verdict", engine.get("verdicts", {}))
    yield "engine_difference_tokens", _by("identity", engine.get("differences", {}))
    yield "engine_restarts_total", [("", engine.get("restarts", 0))]


def _by(label: str, counts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(f'{{{label}="{name}"}}', count) for name, count in sorted(counts.items())]


async def serve(host: str, port: int, told: Callable[[], Mapping[str, Any]]) -> asyncio.Server:
    """Answer ``GET /metrics``.

    :raises OSError: the port is taken.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            found = head.split(b" ", 2)[:2] in ([b"GET", b"/metrics"], [b"GET", b"/metrics/"])
            body = exposition(told()).encode() if found else b"GET /metrics\n"
            status = b"200 OK" if found else b"404 Not Found"
            writer.write(
                b"HTTP/1.1 %b\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)
            )
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, host, port, limit=_MOST_HEAD)
