"""Thinning out: when too much waits, the oldest files become one record a minute, allocation and finish reason.

The raw file is kept compressed for disputes while there is room; its SHA-256 stands in every record made of it.
Only files that no checkpoint promised are touched, so no number that the platform knows changes its meaning.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from tokenspot_client.agent import files
from tokenspot_client.agent.lines import Line, Segment, read, spell
from tokenspot_client.agent.records import Record, record_id, seconds
from tokenspot_client.agent.spool import Spool
from tokenspot_client.engines.usage import MOST_TOKENS

log = logging.getLogger("tokenspot.agent")


def thin_out(spool: Spool, *, raw_limit: int) -> int:
    """Aggregate the oldest files while more than half of the spool's limit is taken; how many files.

    :raises OSError: the disk refused; nothing is lost.
    """
    done = 0
    while spool.backlog()["bytes"] > spool.limit // 2:
        segment = _next(spool)
        if segment is None:
            break
        _aggregate(spool, segment, raw_limit)
        done += 1
    return done


def _next(spool: Spool) -> Segment | None:
    with spool.lock:
        first = max(spool.cursor.segment, spool.cursor.promised_segment)
        return next((s for s in spool.segments[:-1] if s.number > first and not _done_mark(s).exists()), None)


def _done_mark(segment: Segment) -> Path:
    return segment.path.with_suffix(".thinned")


def _aggregate(spool: Spool, segment: Segment, raw_limit: int) -> None:
    raw = segment.path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    with segment.path.open("rb") as file:
        whole = [line for line in read(file) if isinstance(line, Line)]
    content, thinned = _content(whole, digest)
    _keep_raw(spool.folder.parent / "raw", digest, raw, raw_limit)
    with spool.lock:
        if segment not in spool.segments or segment.number <= spool.cursor.promised_segment:
            return  # it was sent meanwhile
        files.replace(segment.path, content)
        _done_mark(segment).touch()
        spool.rewritten(segment, records=thinned, size=len(content))
    log.warning("%d records became %d: too much waits for the platform", len(whole), thinned)


def _content(whole: list[Line], digest: str) -> tuple[bytes, int]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    sums: Counter[tuple[tuple[Any, ...], int]] = Counter()
    kept, position = [], None
    for line in whole:
        plain = json.loads(line.record)
        position = line.position or position
        if plain.get("aggregate"):
            kept.append(spell(line.record, line.prompt, line.completion))
            continue
        names = ("source", "allocation", "card", "served_format", "counted_by", "finish_reason")
        key = (*(plain[name] for name in names), plain["time"][:16])
        part = 0
        while (sums[key, part] + plain["prompt_tokens"] + plain["completion_tokens"]) > MOST_TOKENS:
            part += 1
        sums[key, part] += plain["prompt_tokens"] + plain["completion_tokens"]
        groups.setdefault((*key, part), []).append(plain)
    spelled = kept
    for key, group in groups.items():
        record = _record(key, group, digest)
        spelled.append(spell(record.json(), record.prompt, record.generated))
    if position is not None and spelled:
        last = spelled.pop()
        record_bytes, _, told = last[9:-1].rpartition(b"\t")
        prompt, completion = told.split(b" ")
        spelled.append(spell(record_bytes, int(prompt), int(completion), position))
    return b"".join(spelled), len(spelled)


def _record(key: tuple[Any, ...], group: list[dict[str, Any]], digest: str) -> Record:
    source, allocation, card, served_format, counted_by, finish_reason, *_ = key
    name = f"aggregate:{digest[:16]}:{record_id('|'.join(map(str, key)), '')[:16]}"
    started = [seconds(plain["started_at"]) for plain in group if plain["started_at"]]
    finished = [seconds(plain["finished_at"]) for plain in group if plain["finished_at"]]
    told = {
        field: sum(plain[field] for plain in group) for field in ("prompt_tokens", "cached_tokens", "completion_tokens")
    }
    return Record(
        source=source,
        id=record_id(source, name),
        request_id=name,
        allocation=allocation,
        card=card,
        prompt=told["prompt_tokens"],
        cached=told["cached_tokens"],
        generated=told["completion_tokens"],
        time=min(seconds(plain["time"]) for plain in group),
        finish_reason=finish_reason,
        served_format=served_format,
        counted_by=counted_by,
        started_at=min(started, default=None),
        finished_at=max(finished, default=None),
        aggregate=(len(group), digest),
    )


def _keep_raw(folder: Path, digest: str, raw: bytes, limit: int) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    content = gzip.compress(raw, compresslevel=6, mtime=0)
    kept = sorted(folder.glob("*.jsonl.gz"), key=lambda path: path.stat().st_mtime_ns)
    total = sum(path.stat().st_size for path in kept)
    while kept and total + len(content) > limit:
        oldest = kept.pop(0)
        total -= oldest.stat().st_size
        oldest.unlink()
    if len(content) <= limit:
        files.replace(folder / f"{digest}.jsonl.gz", content)
