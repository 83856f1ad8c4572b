"""Ingest: claim, store and roll up in one transaction. What is acknowledged is committed.

Both faces and the gateway come here. Any number of submissions share one
transaction and its few statements, each of which takes all rows at once:
sequences, keys, records (COPY), voids, roll-up. Rows go to their table directly
and once: which of them are new is known before they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from django.db import connection, transaction

from accounts.kernel.actor import Actor
from market import selectors as market
from metering_ingest.kernel.classify import Counted, Refused, classify
from metering_ingest.kernel.events import UsageEvent, parse
from metering_ingest.kernel.identity import content_hex, key_hex
from metering_ingest.kernel.records import Checkpoint, Rejected
from metering_ingest.services import epochs, rows, voids
from metering_ingest.services.cards import card_of
from metering_ingest.services.partitions import ensure_today
from metering_ingest.services.rows import Claim, Sender


@dataclass(frozen=True)
class IngestResult:
    """How many events of a batch were counted, seen before, contradicted or set aside; and which."""

    accepted: int = 0
    replayed: int = 0
    conflicts: tuple[str, ...] = ()
    quarantined: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """One body of one sender. Only an agent's has an epoch, sequences (one a record) and a checkpoint."""

    sender: Sender
    records: Sequence[UsageEvent | Rejected]
    sequences: Sequence[int | None] = ()
    epoch: str | None = None
    checkpoint: Checkpoint | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of one record. `record` and `content` are its receipt: identity and hash of what it says."""

    result: str  # accepted, replayed, conflict, quarantined, rejected
    id: str
    record: str | None = None
    content: str | None = None
    sequence: int | None = None
    code: str | None = None
    field: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """The answers to one submission: an outcome a record in order, and what is missing of its epoch."""

    outcomes: list[Outcome]
    gaps: list[tuple[int, int]] = field(default_factory=list)


def sender_of(actor: Actor) -> Sender:
    """An organisation that sends under a bearer key, or the platform itself."""
    return Sender(actor.organisation_id, actor.organisation_kind == "operator")


def ingest(
    raw: bytes, *, content_type: str, sender: Actor, now: datetime, headers: Mapping[str, str] | None = None
) -> IngestResult:
    """Take in one HTTP body of CloudEvents.

    :raises MalformedEvent, UnsupportedContentType: nothing of the batch is stored.
    """
    return ingest_records(parse(raw, content_type=content_type, headers=headers), sender=sender, now=now)


def ingest_records(records: Sequence[UsageEvent], *, sender: Actor, now: datetime) -> IngestResult:
    """Take in parsed events of one sender. The same event twice is counted once; other content is a conflict."""
    with transaction.atomic():
        (taken,) = take([Submission(sender_of(sender), records)], now=now)
    return summary(taken)


def summary(taken: Taken) -> IngestResult:
    """The outcomes of one submission, counted."""
    outcomes = taken.outcomes
    return IngestResult(
        accepted=sum(one.result == "accepted" for one in outcomes),
        replayed=sum(one.result == "replayed" for one in outcomes),
        conflicts=tuple(one.id for one in outcomes if one.result == "conflict"),
        quarantined=tuple((one.id, one.code or "") for one in outcomes if one.result == "quarantined"),
    )


def take(submissions: Sequence[Submission], *, now: datetime, lifted: bool = False) -> list[Taken]:
    """Take in submissions, in the caller's transaction; gives an answer for each, in order.

    `lifted` takes records however old they are: for the backfill by staff only.
    """
    assert connection.in_atomic_block, "what is stored and what is summed stand or fall together"
    claims = _claims(submissions)
    ensure_today(now)
    voids.lock(claims)
    known_epochs = epochs.note(submissions, now)
    taken_by = epochs.claim(claims, known_epochs, [one.epoch for one in submissions])
    allowed = [claim for claim in claims if claim.at not in taken_by]
    firsts: dict[str, Claim] = {}
    for claim in allowed:
        firsts.setdefault(claim.key, claim)
    known = rows.claim(firsts.values(), now)
    fresh = [claim for claim in firsts.values() if claim.key not in known]
    verdicts = judge(fresh, now=now, lifted=lifted)
    store(fresh, verdicts, now)
    clashes = [
        (claim, taken_by.get(claim.at))
        for claim in claims
        if claim.at in taken_by or claim.content != known.get(claim.key, firsts[claim.key].content)
    ]
    rows.keep_conflicts(clashes, now)
    outcomes = _outcomes(
        claims, {claim.at for claim in fresh}, verdicts, dict.fromkeys(c.at for c, _ in clashes), taken_by
    )
    return [_taken(number, one, outcomes, known_epochs) for number, one in enumerate(submissions)]


def judge(claims: Sequence[Claim], *, now: datetime, lifted: bool = False) -> dict[str, Counted | Refused]:
    """Whether each record counts, by its key. Voids are judged by their time alone."""
    allocations = market.allocations_many({claim.event.allocation_id for claim in claims if claim.event.voids is None})
    return {
        claim.key: classify(
            claim.event,
            allocations.get(claim.event.allocation_id),
            sender_id=claim.sender.tenant,
            sender_is_operator=claim.sender.is_operator,
            card=card_of(claim.event.card_digest),
            now=now,
            lifted=lifted,
        )
        for claim in claims
    }


def store(claims: Sequence[Claim], verdicts: Mapping[str, Counted | Refused], now: datetime) -> None:
    """Write records, voids and quarantine rows, and bring the buckets in line with them."""
    counted: list[tuple[Claim, Counted]] = []
    voiding: list[Claim] = []
    refused: list[tuple[Claim, Refused]] = []
    for claim in claims:
        verdict = verdicts[claim.key]
        if isinstance(verdict, Refused):
            refused.append((claim, verdict))
        elif claim.event.voids is not None:
            voiding.append(claim)
        else:
            counted.append((claim, verdict))
    rows.copy_records(counted, now)
    voids.keep(voiding, now)
    rows.roll_up(counted, voids.reverse([claim for claim, _ in counted], voiding, now), now)
    rows.set_aside(refused, now)


def _claims(submissions: Sequence[Submission]) -> list[Claim]:
    found: list[Claim] = []
    for number, one in enumerate(submissions):
        sequences = one.sequences or [None] * len(one.records)
        tenant = one.sender.tenant.bytes
        for index, (event, seq) in enumerate(zip(one.records, sequences, strict=True)):
            if not isinstance(event, Rejected):
                key = key_hex(tenant, event.source, event.id)
                found.append(Claim((number, index), key, content_hex(event), event, one.sender, seq))
    return found


def _outcomes(
    claims: Sequence[Claim], fresh: set[tuple[int, int]], verdicts: Mapping[str, Counted | Refused],
    clashes: Mapping[tuple[int, int], Any], taken_by: Mapping[tuple[int, int], str],
) -> dict[tuple[int, int], Outcome]:  # fmt: skip
    found = {}
    for claim in claims:
        code = None
        if claim.at in clashes:
            result, code = "conflict", "sequence_taken" if claim.at in taken_by else "content_differs"
        elif claim.at not in fresh:
            result = "replayed"
        else:
            verdict = verdicts[claim.key]
            result = "accepted"
            if isinstance(verdict, Refused):
                result, code = "quarantined", verdict.reason
        found[claim.at] = Outcome(result, claim.event.id, claim.key, claim.content, claim.seq, code)
    return found


def _taken(
    number: int, submission: Submission, outcomes: Mapping[tuple[int, int], Outcome], known: epochs.Known
) -> Taken:
    listed = [
        Outcome("rejected", record.id, code=record.code, field=record.field, reason=record.reason)
        if isinstance(record, Rejected)
        else outcomes[number, index]
        for index, record in enumerate(submission.records)
    ]
    found = known.get((submission.sender.agent_id, submission.epoch))
    return Taken(listed, found.gaps if found else [])
