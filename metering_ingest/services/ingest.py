"""Ingest: claim, store and roll up in one transaction. What is acknowledged is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from uuid import UUID

import msgspec
from django.db import connection, transaction

from accounts.kernel.actor import Actor
from market import selectors as market
from metering_ingest.kernel.classify import Counted, Refused, classify
from metering_ingest.kernel.events import UsageEvent, parse
from metering_ingest.kernel.identity import content_hash, usage_key
from metering_ingest.services.partitions import ensure_partition
from token_standard.cards import Card
from token_standard.catalogue import UnknownCard, card_by_digest


@dataclass(frozen=True)
class IngestResult:
    """How many events of a batch were counted, seen before, contradicted or set aside; and which."""

    accepted: int = 0
    replayed: int = 0
    conflicts: tuple[str, ...] = ()
    quarantined: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Claim:
    key: UUID
    content: UUID
    event: UsageEvent


def ingest(
    raw: bytes, *, content_type: str, sender: Actor, now: datetime, headers: Mapping[str, str] | None = None
) -> IngestResult:
    """Take in one HTTP body of CloudEvents.

    :raises MalformedEvent, UnsupportedContentType: nothing of the batch is stored.
    """
    return ingest_records(parse(raw, content_type=content_type, headers=headers), sender=sender, now=now)


def ingest_records(records: Sequence[UsageEvent], *, sender: Actor, now: datetime) -> IngestResult:
    """Take in parsed events of one sender. The same event twice is counted once; other content is a conflict."""
    claims = [
        _Claim(usage_key(sender.organisation_id, event.source, event.id), content_hash(event), event)
        for event in records
    ]
    firsts: dict[UUID, _Claim] = {}
    for claim in claims:
        firsts.setdefault(claim.key, claim)
    allocations = market.allocations_many({claim.event.allocation_id for claim in claims})
    ensure_partition(_day(now))
    with transaction.atomic():
        known = _claim(list(firsts.values()), now)
        fresh = [claim for claim in firsts.values() if claim.key not in known]
        verdicts = [(claim, _judge(claim.event, allocations, sender, now)) for claim in fresh]
        counted = [(claim, verdict) for claim, verdict in verdicts if isinstance(verdict, Counted)]
        refused = [(claim, verdict) for claim, verdict in verdicts if isinstance(verdict, Refused)]
        _store(counted, sender, now)
        _roll_up([(claim.event, verdict) for claim, verdict in counted], now)
        _set_aside(refused, sender, now)
        conflicts = _conflicts(claims, firsts, known, sender, now)
    return IngestResult(
        accepted=len(counted),
        replayed=len(claims) - len(fresh) - len(conflicts),
        conflicts=tuple(claim.event.id for claim in conflicts),
        quarantined=tuple((claim.event.id, verdict.reason) for claim, verdict in refused),
    )


def _judge(
    event: UsageEvent, allocations: Mapping[UUID, market.AllocationView], sender: Actor, now: datetime
) -> Counted | Refused:
    return classify(
        event,
        allocations.get(event.allocation_id),
        sender_id=sender.organisation_id,
        sender_is_operator=sender.organisation_kind == "operator",
        card=_card(event.card_digest),
        now=now,
    )


@lru_cache(maxsize=1024)  # senders choose the digest, so the memory is bounded
def _card(digest: str) -> Card | None:
    try:
        return card_by_digest(digest)
    except UnknownCard:
        return None


def _claim(claims: Sequence[_Claim], now: datetime) -> dict[UUID, UUID]:
    """Claim all keys; gives the content of those that were claimed before.

    The insert waits for a concurrent claim of the same key, so that exactly one wins.
    """
    ordered = sorted(claims, key=lambda claim: claim.key)  # one order everywhere: two batches cannot deadlock
    keys = [claim.key for claim in ordered]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metering_usage_key (key, content, arrived_on) "
            "SELECT k, c, %s FROM unnest(%s::uuid[], %s::uuid[]) AS t (k, c) ON CONFLICT DO NOTHING RETURNING key",
            [_day(now), keys, [claim.content for claim in ordered]],
        )
        mine = {row[0] for row in cursor.fetchall()}
        others = [key for key in keys if key not in mine]
        if not others:
            return {}
        cursor.execute("SELECT key, content FROM metering_usage_key WHERE key = ANY(%s)", [others])
        return dict(cursor.fetchall())


def _store(counted: Sequence[tuple[_Claim, Counted]], sender: Actor, now: datetime) -> None:
    if not counted:
        return
    day = _day(now)
    with connection.cursor() as cursor, cursor.copy(_COPY_RECORDS) as copy:
        for claim, verdict in counted:
            event = claim.event
            copy.write_row(
                (day, claim.key, sender.organisation_id, verdict.meter, "unsigned", event.source, event.id,
                 event.subject, event.allocation_id, event.card_digest, event.prompt_tokens, event.cached_tokens,
                 event.completion_tokens, verdict.billable_tokens, verdict.micro_st, event.max_tokens,
                 event.finish_reason, event.time, event.started_at, event.finished_at, now)
            )  # fmt: skip


_COPY_RECORDS = (
    "COPY metering_usage_record (arrived_on, key, tenant, meter, evidence, source, event_id, request_id, "
    "allocation_id, card_digest, prompt_tokens, cached_tokens, completion_tokens, billable_tokens, micro_st, "
    "max_tokens, finish_reason, occurred_at, started_at, finished_at, received_at) FROM STDIN"
)

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


def _roll_up(counted: Sequence[tuple[UsageEvent, Counted]], now: datetime) -> None:
    """Add the batch to its buckets; completion tokens are the billable ones."""
    sums: dict[tuple[UUID, str, str], list[int]] = {}
    for event, verdict in counted:
        total = sums.setdefault((event.allocation_id, event.card_digest, verdict.meter), [0] * 5)
        amounts = (1, event.prompt_tokens, event.cached_tokens, verdict.billable_tokens, verdict.micro_st)
        for position, amount in enumerate(amounts):
            total[position] += amount
    if not sums:
        return
    ordered = sorted(sums.items())  # buckets are locked in one order
    columns = [[key[i] for key, _ in ordered] for i in range(3)] + [[t[i] for _, t in ordered] for i in range(5)]
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP, [now, now, *columns])


def _set_aside(refused: Sequence[tuple[_Claim, Refused]], sender: Actor, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_quarantine (key, tenant, reason, event, received_at) VALUES (%s, %s, %s, %s, %s)",
            [(c.key, sender.organisation_id, v.reason, _json(c.event), now) for c, v in refused],
        )


def _conflicts(
    claims: Sequence[_Claim], firsts: Mapping[UUID, _Claim], known: Mapping[UUID, UUID], sender: Actor, now: datetime
) -> list[_Claim]:
    """Store the events whose identity already has other content, here or in the tables."""
    found = [claim for claim in claims if claim.content != known.get(claim.key, firsts[claim.key].content)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metering_conflict (key, tenant, content, event, received_at) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [(c.key, sender.organisation_id, c.content, _json(c.event), now) for c in found],
        )
    return found


def _json(event: UsageEvent) -> str:
    return msgspec.json.encode(event).decode()


def _day(now: datetime) -> date:
    return now.astimezone(UTC).date()
