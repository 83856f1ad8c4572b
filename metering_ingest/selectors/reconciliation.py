"""Reads for comparing meters: what is due, the live records behind it, and what comparing found."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.kernel.actor import Actor
from metering_ingest.kernel.comparing import CAUSES, Count, Sums
from metering_ingest.kernel.work import Work

MARK_SLACK = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Due:
    """An allocation whose comparison is older than its records, or whose differences have waited long enough."""

    allocation_id: UUID
    versions: int


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """One minute of an allocation as its meters counted it."""

    allocation_id: UUID
    minute: datetime
    gateway: Sums
    agent: Sums
    buyer: Sums
    state: str
    causes: tuple[str, ...]
    over_micro_st: int
    under_micro_st: int
    due_at: datetime
    compared_at: datetime
    dispute_id: UUID | None
    buyer_id: UUID
    seller_id: UUID


@dataclass(frozen=True, slots=True)
class AllocationComparison:
    """An allocation with its minutes added up, and how many minutes stand in each state."""

    allocation_id: UUID
    line: str
    grade: str
    window_start: datetime
    window_end: datetime
    buyer_id: UUID
    seller_id: UUID
    gateway: Sums
    agent: Sums
    buyer: Sums
    over_micro_st: int
    under_micro_st: int
    minutes: dict[str, int]
    causes: tuple[str, ...]
    open_disputes: int
    uncontested: int


def due(now: datetime, *, quiet_since: datetime, waited_since: datetime, limit: int) -> list[Due]:
    """Allocations to compare, those that changed first, first.

    Changed and quiet since, or changed and waited for long enough, or with a difference whose time is up.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "quiet_since": quiet_since, "waited_since": waited_since, "limit": limit})
        return [Due(*row) for row in cursor.fetchall()]


_DUE = """
WITH mark AS (
    SELECT coalesce((SELECT since FROM metering_compare_mark WHERE id = 1), '-infinity'::timestamptz) AS since
),
named AS (
    SELECT DISTINCT allocation_id FROM metering_bucket WHERE changed_at >= (SELECT since FROM mark)
    UNION
    SELECT allocation_id FROM metering_compared WHERE due_at <= %(now)s
)
SELECT n.allocation_id, b.versions
FROM named n
CROSS JOIN LATERAL (
    SELECT sum(version)::bigint AS versions, max(changed_at) AS changed_at FROM metering_bucket
    WHERE allocation_id = n.allocation_id
) b
LEFT JOIN metering_compared c ON c.allocation_id = n.allocation_id
WHERE c.due_at <= %(now)s OR b.versions <> coalesce(c.versions, 0) AND (
    b.changed_at <= %(quiet_since)s OR coalesce(c.compared_at, '-infinity') <= %(waited_since)s)
ORDER BY b.changed_at, n.allocation_id LIMIT %(limit)s
"""


def versions_of(allocation_ids: Collection[UUID]) -> dict[UUID, int]:
    """The versions of each allocation's buckets, added up: they grow with every record."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT allocation_id, sum(version)::bigint FROM metering_bucket WHERE allocation_id = ANY(%s) GROUP BY 1",
            [list(allocation_ids)],
        )
        return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Record:
    """A live record with its names, for evidence."""

    key: UUID
    content: UUID
    source: str
    event_id: str
    count: Count


def live_counts(allocation_ids: Collection[UUID]) -> dict[UUID, list[Count]]:
    """All records of these allocations that were not taken back."""
    found: defaultdict[UUID, list[Count]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT r.allocation_id, {_COUNT} {_LIVE}", [list(allocation_ids)])
        for allocation_id, *count in cursor.fetchall():
            found[allocation_id].append(Count(*count))
    return found


def live_records(allocation_id: UUID) -> list[Record]:
    """The same of one allocation with keys and content hashes, in the order of their keys."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.key, k.content, r.source, r.event_id, {_COUNT} {_LIVE} ORDER BY r.key", [[allocation_id]]
        )
        return [
            Record(key, content, source, event_id, Count(*count)) for key, content, source, event_id, *count in cursor
        ]


_COUNT = """r.meter, r.request_id, r.occurred_at, r.prompt_tokens, r.cached_tokens, r.completion_tokens,
    r.billable_tokens, r.micro_st, r.max_tokens, r.received_at, r.served_format, coalesce(r.aggregate_records, 1),
    r.evidence = 'signed'"""
_LIVE = """FROM metering_usage_record r JOIN metering_usage_key k ON k.key = r.key
    WHERE r.allocation_id = ANY(%s) AND NOT EXISTS (SELECT 1 FROM metering_reversal v WHERE v.key = r.key)"""


def allocations_of_requests(
    organisation_id: UUID, request_ids: Collection[str], *, between: tuple[datetime, datetime]
) -> dict[str, tuple[UUID, str]]:
    """The allocation and card of those of a party's requests that the gateway counted."""
    first, last = between
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.request_id, r.allocation_id, r.card_digest FROM market_allocation a "
            "JOIN market_product p ON p.id = a.product_id "
            "JOIN metering_usage_record r ON r.allocation_id = a.id AND r.meter = 'gateway' "
            "WHERE (a.buyer_id = %s OR a.seller_id = %s) AND r.request_id = ANY(%s) AND p.window_end > %s AND p.window_start < %s",
            [organisation_id, organisation_id, list(request_ids), first - _AROUND, last + _AROUND],
        )
        return {request_id: (allocation_id, digest) for request_id, allocation_id, digest in cursor.fetchall()}


# A party's clock may be wrong by as much and its receipt still finds its request.
_AROUND = timedelta(hours=1)


def comparisons(
    actor: Actor, *, allocation_id: UUID | None = None, states: Sequence[str] = (), limit: int = 200,
    before: tuple[datetime, UUID] | None = None,
) -> list[ComparisonView]:  # fmt: skip
    """Minutes of the actor's own allocations, newest first; the operator sees all."""
    where, values = _mine(actor)
    if allocation_id is not None:
        where, values = f"{where} AND c.allocation_id = %s", [*values, allocation_id]
    if states:
        where, values = f"{where} AND c.state = ANY(%s)", [*values, list(states)]
    if before is not None:
        where, values = f"{where} AND (c.minute, c.allocation_id) < (%s, %s)", [*values, *before]
    return _comparisons(f"WHERE {where} ORDER BY c.minute DESC, c.allocation_id DESC LIMIT %s", [*values, limit])


def minutes_of(allocation_id: UUID) -> list[ComparisonView]:
    """All minutes of one allocation in order. The caller has the right to it."""
    return _comparisons("WHERE c.allocation_id = %s ORDER BY c.minute", [allocation_id])


def _comparisons(tail: str, values: list[Any]) -> list[ComparisonView]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_SELECT} {tail}", values)
        return [
            ComparisonView(
                row[0], row[1], Sums(*row[2:7]), Sums(*row[7:12]), Sums(*row[12:17]), row[17],
                tuple(row[18].split()), *row[19:],
            )
            for row in cursor.fetchall()
        ]  # fmt: skip


_SUMS = ", ".join(
    f"c.{meter}_{name}"
    for meter in ("gateway", "agent", "buyer")
    for name in ("records", "prompt", "cached", "completion", "micro_st")
)
_SELECT = f"""
SELECT c.allocation_id, c.minute, {_SUMS}, c.state, c.causes, c.over_micro_st, c.under_micro_st, c.due_at,
    c.compared_at, d.dispute_id, a.buyer_id, a.seller_id
FROM metering_comparison c JOIN market_allocation a ON a.id = c.allocation_id
LEFT JOIN LATERAL (
    SELECT m.dispute_id FROM metering_dispute_minute m
    WHERE m.allocation_id = c.allocation_id AND m.minute = c.minute ORDER BY m.id DESC LIMIT 1
) d ON true
"""


def _mine(actor: Actor) -> tuple[str, list[Any]]:
    if actor.organisation_kind == "operator":
        return "true", []
    return "(a.buyer_id = %s OR a.seller_id = %s)", [actor.organisation_id, actor.organisation_id]


def compared_allocations(
    actor: Actor, *, since: datetime, as_seller: bool = False, limit: int = 100, allocation_id: UUID | None = None
) -> list[AllocationComparison]:
    """The actor's allocations that were compared, newest window first."""
    where, values = _mine(actor)
    if as_seller:
        where, values = "a.seller_id = %s", [actor.organisation_id]
    if allocation_id is not None:
        where, values = f"{where} AND a.id = %s", [*values, allocation_id]
    with connection.cursor() as cursor:
        cursor.execute(_BY_ALLOCATION.format(where=where, sums=_SUMS_ADDED), [*values, since, limit])
        return [_allocation(row) for row in cursor.fetchall()]


def _allocation(row: tuple[Any, ...]) -> AllocationComparison:
    id_, line, grade, start, end, buyer_id, seller_id, *sums, over, under, states, causes, disputes, free = row
    gateway, agent, buyer = (Sums(*sums[first : first + 5]) for first in (0, 5, 10))
    return AllocationComparison(
        id_, line, grade, start, end, buyer_id, seller_id, gateway, agent, buyer, over, under, json.loads(states),
        _in_order(causes), disputes, free,
    )  # fmt: skip


_SUMS_ADDED = ", ".join(f"sum({name})::bigint" for name in _SUMS.split(", "))
_BY_ALLOCATION = """
SELECT a.id, l.slug, p.grade, p.window_start, p.window_end, a.buyer_id, a.seller_id, {sums},
    sum(c.over_micro_st)::bigint, sum(c.under_micro_st)::bigint,
    (SELECT jsonb_object_agg(state, n) FROM (
        SELECT state, count(*) AS n FROM metering_comparison s WHERE s.allocation_id = a.id GROUP BY 1) t),
    string_agg(DISTINCT nullif(c.causes, ''), ' '),
    (SELECT count(*) FROM metering_dispute d WHERE d.allocation_id = a.id AND d.state <> 'resolved'),
    count(*) FILTER (WHERE m.id IS NULL)
FROM market_allocation a
JOIN market_product p ON p.id = a.product_id
JOIN market_modelline l ON l.id = p.line_id
JOIN metering_comparison c ON c.allocation_id = a.id
LEFT JOIN metering_dispute_minute m ON m.allocation_id = c.allocation_id AND m.minute = c.minute AND m.side = 'buyer'
WHERE {where} AND p.window_end > %s
GROUP BY a.id, l.slug, p.grade, p.window_start, p.window_end
ORDER BY p.window_start DESC, a.id DESC LIMIT %s
"""


def _in_order(words: str | None) -> tuple[str, ...]:
    said = set((words or "").split())
    return tuple(cause for cause in CAUSES if cause in said)


@dataclass(frozen=True, slots=True)
class DayOfMeter:
    """One delivery day of a seller: what was compared of it, and what the two meters counted."""

    day: date
    requests: int
    compared_micro_st: int
    matched_micro_st: int
    gateway_tokens: int
    agent_tokens: int
    value_micros: int
    lost: int


def days_of(seller_id: UUID, *, since: datetime) -> list[DayOfMeter]:
    """The days on which a seller's agent and the gateway were compared, in order; days are the market's."""
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, {"seller": seller_id, "since": since})
        return [DayOfMeter(*row) for row in cursor.fetchall()]


_DAYS = """
WITH compared AS (
    SELECT (c.minute AT TIME ZONE 'Asia/Shanghai')::date AS day, c.*, a.price_micros
    FROM market_allocation a JOIN metering_comparison c ON c.allocation_id = a.id
    WHERE a.seller_id = %(seller)s AND c.minute >= %(since)s AND c.state IN ('matched', 'soft', 'hard')
), lost AS (
    SELECT (resolved_at AT TIME ZONE 'Asia/Shanghai')::date AS day, count(*) AS n FROM metering_dispute
    WHERE seller_id = %(seller)s AND credited_micro_st > 0 AND resolved_at >= %(since)s GROUP BY 1
), days AS (
    SELECT day, sum(gateway_records)::bigint AS requests, sum(gateway_micro_st)::bigint AS compared,
        coalesce(sum(gateway_micro_st) FILTER (WHERE state = 'matched'), 0)::bigint AS matched,
        sum(gateway_prompt + gateway_completion)::bigint AS gateway,
        sum(agent_prompt + agent_completion)::bigint AS agent,
        (sum(gateway_micro_st::numeric * price_micros) / 1e12)::bigint AS value
    FROM compared GROUP BY 1
)
SELECT day, coalesce(d.requests, 0), coalesce(d.compared, 0), coalesce(d.matched, 0), coalesce(d.gateway, 0),
    coalesce(d.agent, 0), coalesce(d.value, 0), coalesce(l.n, 0)
FROM days d FULL JOIN lost l USING (day) ORDER BY day
"""


def measured_work(deployment_id: UUID, window_start: datetime) -> list[tuple[str, Work]]:
    """Requests of a deployment's window whose device time its agent measured, added up by shape."""
    with connection.cursor() as cursor:
        cursor.execute(_WORK, [deployment_id, window_start])
        return [(f"p{prompt}-g{completion}", Work(*sums)) for prompt, completion, *sums in cursor.fetchall()]


# The shapes are those of `kernel.work.shape_bucket`: powers of two by the position of the highest bit.
_POWER = "CASE WHEN {0} = 0 THEN 0 ELSE 1::bigint << (length(ltrim({0}::bit(40)::text, '0')) - 1) END"
_WORK = f"""
SELECT {_POWER.format("r.prompt_tokens")}, {_POWER.format("r.completion_tokens")}, count(*), sum(r.micro_st)::bigint,
    sum(r.gpu_micros)::bigint
FROM market_allocation a JOIN market_product p ON p.id = a.product_id
JOIN metering_usage_record r ON r.allocation_id = a.id AND r.meter = 'agent'
WHERE a.deployment_id = %s AND p.window_start = %s AND r.gpu_micros IS NOT NULL AND r.aggregate_records IS NULL
    AND NOT EXISTS (SELECT 1 FROM metering_reversal v WHERE v.key = r.key)
GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class WorkView:
    """Measured work of a deployment and shape in one window; billed ÷ measured as an interval, in hundredths of a %."""

    deployment_id: UUID
    shape: str
    window_start: datetime
    requests: int
    micro_st: int
    gpu_micros: int
    state: str
    low_bps: int | None
    high_bps: int | None


def work_of(seller_id: UUID, *, since: datetime, limit: int = 100) -> list[WorkView]:
    """What was judged of a seller's measured work, newest first, what is off first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT deployment_id, shape, window_start, requests, micro_st, gpu_micros, state, low_bps, high_bps "
            "FROM metering_work_window WHERE seller_id = %s AND window_start >= %s AND state <> 'too_few' "
            "ORDER BY state = 'within', window_start DESC, shape LIMIT %s",
            [seller_id, since, limit],
        )
        return [WorkView(*row) for row in cursor.fetchall()]
