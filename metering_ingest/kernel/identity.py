"""What makes two events the same record, and what makes them a conflict."""

from __future__ import annotations

import hashlib
from uuid import UUID

from metering_ingest.kernel.events import UsageEvent


def usage_key(tenant: UUID, source: str, event_id: str) -> UUID:
    """The identity of a record: 16 bytes of SHA-256 over (tenant, source, id).

    Half the digest keeps the index half as large, and 2^64 records would still
    be needed for a likely collision. Lengths stand before the texts, so that
    no two different pairs spell the same bytes.
    """
    text = source.encode()
    digest = hashlib.sha256(tenant.bytes + len(text).to_bytes(4) + text + event_id.encode()).digest()
    return UUID(bytes=digest[:16])


def content_hash(event: UsageEvent) -> UUID:
    """16 bytes of SHA-256 over everything the event says besides its identity."""
    parts = (
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
    )
    return UUID(bytes=hashlib.sha256("\x1f".join(parts).encode()).digest()[:16])
