"""What the platform collects of a dispute: both streams, receipts, and the recomputation, as one JSON text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from accounts.kernel import ids
from market.selectors import AllocationView
from metering_ingest.kernel.comparing import Comparison, Joined, Minute, Sums, minute_of
from metering_ingest.reconciliation_models import Dispute, DisputeEvidence
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors.reconciliation import Record
from providers import selectors as providers

# A text of this many requests has some ten megabytes; of more, only those that differ are written.
MOST_REQUESTS = 20_000


def collect(
    dispute: Dispute, allocation: AllocationView, found: Comparison, minutes: Collection[datetime], *, now: datetime
) -> str:
    """Store what is known of the contested minutes now; gives the SHA-256. The same again is stored once.

    It names no person and holds no text of a request: counts, keys and hashes only.
    """
    wanted = set(minutes)
    requests = [one for one in found.requests if one.minute in wanted]
    whole = len(requests) <= MOST_REQUESTS
    shown = requests if whole else [one for one in requests if one.causes][:MOST_REQUESTS]
    names = {one.request_id for one in shown}
    records = [
        one for one in reads.live_records(allocation.id)
        if one.count.request_id in names or (not one.count.request_id and minute_of(one.count.at) in wanted)
    ]  # fmt: skip
    document = {
        "format": "tokenspot.dispute-evidence.v1",
        "dispute": ids.encode("dsp", dispute.id),
        "allocation": ids.encode("alc", allocation.id),
        "deployment": ids.encode("dep", allocation.deployment_id),
        "line": allocation.line,
        "card": allocation.card_digest,
        "window": [_instant(allocation.window_start), _instant(allocation.window_end)],
        "rating": _rating(allocation, now),
        "complete": whole,
        "minutes": [_minute(one) for one in found.minutes if one.minute in wanted],
        "requests": [_joined(one) for one in shown],
        "records": [_record(one) for one in records],
    }
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    DisputeEvidence.objects.bulk_create(
        [DisputeEvidence(dispute=dispute, sha256=sha256, content=content, made_at=now)], ignore_conflicts=True
    )
    return sha256


def _rating(allocation: AllocationView, now: datetime) -> dict[str, Any] | None:
    """How fast the deployment was calibrated to be; None where it never was. Rates are micro-ST a second of a device."""
    deployment = providers.deployments_many([allocation.deployment_id]).get(allocation.deployment_id)
    standing = deployment and providers.standings([deployment], now=now).get(deployment.id)
    if not standing or standing.rating is None:
        return None
    rating = standing.rating
    rates = {"compute": rating.compute, "memory": rating.memory, "blended": rating.blended}
    return {
        "id": ids.encode("rtg", rating.id),
        "state": standing.state.value,
        "devices": rating.devices,
        "setup": asdict(rating.setup),
        "measured_at": _instant(rating.measured_at),
        "expires_at": _instant(rating.expires_at),
        **{name: asdict(rate) for name, rate in rates.items()},
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _sums(sums: Sums | None) -> dict[str, int] | None:
    return None if sums is None else sums._asdict()


def _minute(one: Minute) -> dict[str, Any]:
    return {
        "minute": _instant(one.minute),
        "gateway": _sums(one.gateway),
        "agent": _sums(one.agent),
        "buyer": _sums(one.buyer),
        "state": one.state,
        "causes": list(one.causes),
        "over_micro_st": one.over_micro_st,
        "under_micro_st": one.under_micro_st,
    }


def _joined(one: Joined) -> dict[str, Any]:
    """One request, recomputed by the card from each meter's counters."""
    return {
        "request_id": one.request_id,
        "gateway": _sums(one.gateway),
        "agent": _sums(one.agent),
        "buyer": _sums(one.buyer),
        "causes": list(one.causes),
        "stored_over_micro_st": one.stored_over,
    }


def _record(one: Record) -> dict[str, Any]:
    count = one.count
    return {
        "record": one.key.hex,
        "content": one.content.hex,
        "meter": count.meter,
        "source": one.source,
        "id": one.event_id,
        "request_id": count.request_id,
        "time": _instant(count.at),
        "received_at": _instant(count.received_at),
        "prompt_tokens": count.prompt,
        "cached_tokens": count.cached,
        "completion_tokens": count.completion,
        "billable_tokens": count.billable,
        "max_tokens": count.max_tokens,
        "micro_st": count.micro_st,
        "served_format": count.served_format or None,
        "requests": count.requests,
        "signed": count.signed,
    }
