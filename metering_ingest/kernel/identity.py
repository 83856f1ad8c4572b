"""What makes two events the same record, and what makes them a conflict."""

from __future__ import annotations

import hashlib
from uuid import UUID

from metering_ingest.kernel.events import UsageEvent


def usage_key(tenant: UUID, source: str, event_id: str) -> UUID:
    """The identity of a record: see `key_hex`."""
    return UUID(hex=key_hex(tenant.bytes, source, event_id))


def content_hash(event: UsageEvent) -> UUID:
    """What a record says: see `content_hex`."""
    return UUID(hex=content_hex(event))


def key_hex(tenant: bytes, source: str, event_id: str) -> str:
    """The identity of a record: 16 bytes of SHA-256 over (tenant, source, id), as 32 hexadecimal digits.

    Half the digest keeps the index half as large, and 2^64 records would still
    be needed for a likely collision. Lengths stand before the texts, so that
    no two different pairs spell the same bytes.
    """
    text = source.encode()
    return hashlib.sha256(tenant + len(text).to_bytes(4) + text + event_id.encode()).hexdigest()[:32]


def content_hex(event: UsageEvent) -> str:
    """16 bytes of SHA-256 over everything the event says besides its identity, as 32 hexadecimal digits."""
    parts = [
        event.type,
        event.time.isoformat(),
        event.subject,
        event.allocation_id.hex,
        event.card_digest,
        str(event.prompt_tokens),
        str(event.cached_tokens),
        str(event.completion_tokens),
        "" if event.max_tokens is None else str(event.max_tokens),
        event.finish_reason,
        event.started_at.isoformat() if event.started_at else "",
        event.finished_at.isoformat() if event.finished_at else "",
    ]
    more = _more(event)
    if any(more):  # what came later to the format leaves the hash of a record without it as it was
        parts += more
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _more(event: UsageEvent) -> tuple[str, ...]:
    voids, aggregate = event.voids, event.aggregate
    return (
        event.served_format,
        event.counted_by,
        "" if event.gpu_micros is None else str(event.gpu_micros),
        "" if event.draft_tokens is None else str(event.draft_tokens),
        "" if event.accepted_tokens is None else str(event.accepted_tokens),
        "" if voids is None else f"{voids.source}\x1e{voids.id}",
        "" if aggregate is None else f"{aggregate.records}\x1e{aggregate.digest}",
    )
