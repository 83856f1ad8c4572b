"""The statements of ingest, each for all rows at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from django.db import connection

from metering_ingest.kernel.classify import Counted, Refused
from metering_ingest.kernel.events import UsageEvent

Bucket = tuple[UUID, str, str]  # allocation, card digest, meter
Sums = dict[Bucket, list[int]]  # records, prompt, cached, completion, micro-ST


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: an organisation, and the agent that signed, if one did."""

    tenant: UUID
    is_operator: bool
    agent_id: UUID | None = None

    @property
    def evidence(self) -> str:
        """How strongly the sender is known."""
        return "unsigned" if self.agent_id is None else "signed"


class Claim(msgspec.Struct, frozen=True):
    """A record on its way in. `at` is its submission and its index there; key and content are hexadecimal."""

    at: tuple[int, int]
    key: str
    content: str
    event: UsageEvent
    sender: Sender
    seq: int | None = None


def array(values: Iterable[str]) -> str:
    """Hexadecimal keys or whole numbers as one text for an array: a list costs ten times as much on its way."""
    return "{" + ",".join(values) + "}"


def claim(claims: Collection[Claim], now: datetime) -> dict[str, str]:
    """Claim all keys; gives the content of those that were claimed before.

    The insert waits for a concurrent claim of the same key, so that exactly one wins.
    """
    if not claims:
        return {}
    ordered = sorted((one.key, one.content) for one in claims)  # one order everywhere: two batches cannot deadlock
    keys = [key for key, _ in ordered]
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [now.astimezone(UTC).date(), array(keys), array(content for _, content in ordered)])
        mine = set(_split(cursor.fetchone()[0]))
        others = [key for key in keys if key not in mine]
        if not others:
            return {}
        cursor.execute("SELECT key, content FROM metering_usage_key WHERE key = ANY(%s::uuid[])", [array(others)])
        return {key.hex: content.hex for key, content in cursor.fetchall()}


_CLAIM = """
WITH mine AS (
    INSERT INTO metering_usage_key (key, content, arrived_on)
    SELECT k, c, day FROM (SELECT %s::date AS day) d, unnest(%s::uuid[], %s::uuid[]) AS t (k, c)
    ON CONFLICT DO NOTHING RETURNING key
)
SELECT string_agg(replace(key::text, '-', ''), ',') FROM mine
"""


def _split(text: str | None) -> list[str]:
    return text.split(",") if text else []


_NULL = "\x01"  # stands for NULL in COPY; no text of an event can hold it
_RECORD_COLUMNS = (
    "arrived_on, key, tenant, meter, evidence, source, event_id, request_id, allocation_id, card_digest, "
    "prompt_tokens, cached_tokens, completion_tokens, billable_tokens, micro_st, max_tokens, finish_reason, "
    "occurred_at, started_at, finished_at, received_at, agent_id, served_format, counted_by, gpu_micros, draft_tokens, "
    "accepted_tokens, aggregate_records, aggregate_digest"
)
_COPY_RECORDS = f"COPY metering_usage_record ({_RECORD_COLUMNS}) FROM STDIN WITH (NULL E'\\x01')"


def copy_records(
    counted: Sequence[tuple[Claim, Counted]], received_at: datetime, *, arrived_on: str | None = None
) -> None:
    """Write records. The lines are put together here: psycopg's rows cost three times as much."""
    if not counted:
        return
    day = arrived_on or str(received_at.astimezone(UTC).date())
    with connection.cursor() as cursor, cursor.copy(_COPY_RECORDS) as copy:
        copy.write("".join(_lines(counted, day, str(received_at))))


def _lines(counted: Sequence[tuple[Claim, Counted]], day: str, received_at: str) -> Iterator[str]:
    """One line a record. What its neighbour shares, sender and allocation, is not written out again."""
    sender, allocation_id, tenant, agent, allocation = None, None, "", "", ""
    for one, verdict in counted:
        event = one.event
        if one.sender is not sender:
            sender = one.sender
            tenant, agent = sender.tenant.hex, sender.agent_id.hex if sender.agent_id else _NULL
        if event.allocation_id is not allocation_id:
            allocation_id = event.allocation_id
            allocation = allocation_id.hex
        line = (
            f"{day}\t{one.key}\t{tenant}\t{verdict.meter}\t{one.sender.evidence}\t{event.source}\t{event.id}\t"
            f"{event.subject}\t{allocation}\t{event.card_digest}\t{event.prompt_tokens}\t{event.cached_tokens}\t"
            f"{event.completion_tokens}\t{verdict.billable_tokens}\t{verdict.micro_st}\t"
            f"{_NULL if event.max_tokens is None else event.max_tokens}\t{event.finish_reason}\t{event.time}\t"
            f"{event.started_at or _NULL}\t{event.finished_at or _NULL}\t{received_at}\t{agent}\t"
            f"{event.served_format}\t{event.counted_by}\t{_measured(event)}\n"
        )
        yield line.replace("\\", "\\\\") if "\\" in line else line


def _measured(event: UsageEvent) -> str:
    """What few records have: device time, drafts, and what an aggregate stands for."""
    counts = (event.gpu_micros, event.draft_tokens, event.accepted_tokens)
    aggregate = event.aggregate
    if aggregate is None and counts == (None, None, None):
        return _NOT_MEASURED
    numbers = (*counts, None if aggregate is None else aggregate.records)
    return "\t".join(_NULL if number is None else str(number) for number in numbers) + (
        f"\t{aggregate.digest if aggregate else ''}"
    )


_NOT_MEASURED = f"{_NULL}\t{_NULL}\t{_NULL}\t{_NULL}\t"


_ROLL_UP = """
INSERT INTO metering_bucket AS b (allocation_id, card_digest, meter, records, prompt_tokens, cached_tokens,
    completion_tokens, micro_st, version, settled_version, changed_at, waiting_since)
SELECT a, d, m, r, p, c, g, s, 1, 0, %s, %s
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS t (a, d, m, r, p, c, g, s)
ON CONFLICT (allocation_id, card_digest, meter) DO UPDATE SET
    records = b.records + excluded.records,
    prompt_tokens = b.prompt_tokens + excluded.prompt_tokens,
    cached_tokens = b.cached_tokens + excluded.cached_tokens,
    completion_tokens = b.completion_tokens + excluded.completion_tokens,
    micro_st = b.micro_st + excluded.micro_st,
    version = b.version + 1,
    changed_at = greatest(b.changed_at, excluded.changed_at),
    waiting_since = CASE WHEN b.settled_version = b.version THEN excluded.waiting_since ELSE b.waiting_since END
"""


def roll_up(counted: Sequence[tuple[Claim, Counted]], reversed_: Mapping[Bucket, Sequence[int]], now: datetime) -> None:
    """Add what was counted to its buckets, less what was taken back; completion tokens are the billable ones."""
    sums: Sums = {}
    for one, verdict in counted:
        event = one.event
        total = sums.setdefault((event.allocation_id, event.card_digest, verdict.meter), [0] * 5)
        total[0] += 1
        total[1] += event.prompt_tokens
        total[2] += event.cached_tokens
        total[3] += verdict.billable_tokens
        total[4] += verdict.micro_st
    for bucket, amounts in reversed_.items():
        total = sums.setdefault(bucket, [0] * 5)
        for position, amount in enumerate(amounts):
            total[position] -= amount
    if not sums:
        return
    ordered = sorted(sums.items())  # buckets are locked in one order
    columns = [[key[i] for key, _ in ordered] for i in range(3)] + [[t[i] for _, t in ordered] for i in range(5)]
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP, [now, now, *columns])


def set_aside(refused: Sequence[tuple[Claim, Refused]], now: datetime) -> None:
    """Keep what does not count, with the reason."""
    if not refused:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_quarantine (key, tenant, reason, event, received_at, evidence, agent_id) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                (c.key, c.sender.tenant, v.reason, _json(c.event), now, c.sender.evidence, c.sender.agent_id)
                for c, v in refused
            ],
        )


def keep_conflicts(clashes: Sequence[tuple[Claim, str | None]], now: datetime) -> None:
    """Keep records that contradict one that was there first; the other key says which one has their sequence."""
    if not clashes:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_conflict (key, tenant, content, event, received_at, kind, agent_id, other_key) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                (c.key, c.sender.tenant, c.content, _json(c.event), now, "sequence" if other else "content",
                 c.sender.agent_id, other or c.key)
                for c, other in clashes
            ],
        )  # fmt: skip


def _json(event: UsageEvent) -> str:
    return msgspec.json.encode(event).decode()
