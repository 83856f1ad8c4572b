"""A dispute decided for the seller changes the gateway's count: its records are voided and counted anew.

Both go through the ordinary ingest, so that bucket, settling and bill follow by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.kernel import ids
from accounts.selectors import organisations
from market import selectors as market
from market.selectors import AllocationView
from metering_ingest.kernel import comparing
from metering_ingest.kernel.comparing import Sums
from metering_ingest.kernel.events import TYPE, UsageEvent, Voided
from metering_ingest.kernel.records import NO_ALLOCATION
from metering_ingest.reconciliation_models import Dispute
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors.reconciliation import Record
from metering_ingest.services.ingest import Submission, take
from metering_ingest.services.recomputing import recomputed
from metering_ingest.services.rows import Sender

SOURCE = "dispute"


def of_agent(dispute: Dispute, *, now: datetime) -> list[list[Any]]:
    """The contested requests of which the agent counted more than the gateway, as the agent counted them."""
    allocation = market.allocation(dispute.allocation_id)
    minutes = set(dispute.minutes.values_list("minute", flat=True))
    return [
        [one.request_id, one.agent.prompt, one.agent.cached, one.agent.completion]
        for one in recomputed(allocation, now=now).requests
        if one.minute in minutes
        and one.agent
        and one.agent.records == 1  # several as one would cost more than the agent claimed
        and one.agent.micro_st > (one.gateway or Sums()).micro_st
    ]


def amend(dispute: Dispute, amendments: Sequence[Sequence[Any]], *, now: datetime) -> None:
    """Let the gateway's count of these requests become what is decided, in the caller's transaction."""
    if not amendments:
        return
    allocation = market.allocation(dispute.allocation_id)
    records = reads.live_records(allocation.id)
    events: list[UsageEvent] = []
    for number, (request_id, *counts) in enumerate(amendments, 1):
        ours = [one for one in records if one.count.request_id == request_id]
        if not ours:  # who claimed it has taken its record back since, and with it the claim
            continue
        replaced = [one for one in ours if one.count.meter == comparing.GATEWAY]
        name = f"{ids.encode('dsp', dispute.id)}-{number}"
        events += [_void(one, f"{name}-void-{part}") for part, one in enumerate(replaced, 1)]
        at = min(one.count.at for one in replaced or ours)
        events.append(_count(allocation, request_id, counts, name=name, at=at))
    sender = Sender(organisations.operator_id(), is_operator=True)
    (taken,) = take([Submission(sender, events)], now=now, lifted=True)
    wrong = [one for one in taken.outcomes if one.result != "accepted"]
    # The agent's own record passed the same judgement, and the names are the dispute's own.
    assert not wrong, f"an amendment was not counted: {wrong}"


def _void(record: Record, name: str) -> UsageEvent:
    return _event(name, at=record.count.at, voids=Voided(record.source, record.event_id))


def _count(
    allocation: AllocationView, request_id: str, counts: Sequence[int], *, name: str, at: datetime
) -> UsageEvent:
    prompt, cached, completion = counts
    return _event(
        name, at=at, subject=request_id, allocation_id=allocation.id, card=allocation.card_digest, prompt=prompt,
        cached=cached, completion=completion,
    )  # fmt: skip


def _event(
    name: str, *, at: datetime, subject: str = "", allocation_id: UUID = NO_ALLOCATION, card: str = "", prompt: int = 0,
    cached: int = 0, completion: int = 0, voids: Voided | None = None,
) -> UsageEvent:  # fmt: skip
    return UsageEvent(
        source=SOURCE, id=name, type=TYPE, time=at, subject=subject, allocation_id=allocation_id, card_digest=card,
        prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, max_tokens=None, finish_reason="",
        started_at=None, finished_at=None, voids=voids,
    )  # fmt: skip
