"""Receipts of a party: taken in like every record, so that each is counted once and only as a witness."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from market import selectors as market
from metering_ingest.kernel.events import TYPE, UsageEvent
from metering_ingest.kernel.receipts import BadReceipts, Receipt, parse
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.services.ingest import ingest_records

SOURCE = "receipts"


class RefusedReceipts(DomainError):
    """The file is wrong; nothing of it was stored."""

    code = "bad_receipts"
    status = 400


class NotParty(DomainError):
    """Receipts are of who bought or sold; the operator has the gateway."""

    code = "forbidden"
    status = 403


@dataclass(frozen=True, slots=True)
class ReceiptsTaken:
    """How many receipts were counted, seen before, contradicted or set aside; and whose request nobody knows."""

    accepted: int
    replayed: int
    conflicts: tuple[str, ...]
    quarantined: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]


def upload(raw: bytes, *, actor: Actor, now: datetime, allocation_id: UUID | None = None) -> ReceiptsTaken:
    """Take in a CSV of the actor's own requests.

    A receipt goes to the allocation that its request drew on; one of a request
    that the gateway does not know goes to the allocation named, else it is
    given back as unknown and not stored.

    :raises RefusedReceipts: with `line` and `field`.
    :raises NotParty: the operator.
    """
    if not (actor.is_buyer or actor.is_provider):
        raise NotParty("Receipts are sent by the organisation that bought or sold.")
    try:
        receipts = parse(raw)
    except BadReceipts as error:
        raise RefusedReceipts(f"Line {error.line}: {error}", line=error.line, field=error.field) from None
    homes = reads.allocations_of_requests(
        actor.organisation_id, {one.request_id for one in receipts},
        between=(min((r.time for r in receipts), default=now), max((r.time for r in receipts), default=now)),
    )  # fmt: skip
    named = _named(allocation_id, actor)
    known = [(one, homes.get(one.request_id, named)) for one in receipts]
    taken = ingest_records([_event(one, home) for one, home in known if home], sender=actor, now=now)
    return ReceiptsTaken(
        taken.accepted, taken.replayed, taken.conflicts, taken.quarantined,
        tuple(one.request_id for one, home in known if not home),
    )  # fmt: skip


def _named(allocation_id: UUID | None, actor: Actor) -> tuple[UUID, str] | None:
    """An own allocation with its card; a foreign one is as unknown as none."""
    found = market.allocations_many([allocation_id]).get(allocation_id) if allocation_id else None
    return (
        (found.id, found.card_digest) if found and actor.organisation_id in {found.buyer_id, found.seller_id} else None
    )


def _event(receipt: Receipt, home: tuple[UUID, str]) -> UsageEvent:
    return UsageEvent(
        source=SOURCE,
        id=receipt.request_id,
        type=TYPE,
        time=receipt.time,
        subject=receipt.request_id,
        allocation_id=home[0],
        card_digest=home[1],
        prompt_tokens=receipt.prompt,
        cached_tokens=receipt.cached,
        completion_tokens=receipt.completion,
        max_tokens=None,
        finish_reason="",
        started_at=None,
        finished_at=None,
    )
