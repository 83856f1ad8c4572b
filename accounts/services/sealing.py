"""Sealing the audit log: events get their place in the hash chain soon after their commit, by one sealer at a time.

Not in the event's own transaction: one chain would make every action of the site wait for every other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import structlog
from django.db import connection, transaction

from accounts.kernel.chain import link_hash
from accounts.selectors import chain

log = structlog.get_logger(__name__)
_LOCK = 7_220_431  # this table's advisory lock
_ONLY_OWNER = 0o600


def seal(*, limit: int = 5_000) -> int:
    """Link the events that are committed and not in the chain yet, by id; gives how many.

    Safe to run twice or at once: sealers take turns.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        head = chain.head()
        rows, position, previous = [], head.position, head.hash
        for event in chain.unsealed(limit=limit):
            position, previous = position + 1, link_hash(previous, event)
            rows.append((position, event.id, previous))
        if rows:
            cursor.execute(
                "INSERT INTO accounts_auditlink (position, event_id, hash, sealed_at) "
                "SELECT p, e, h, clock_timestamp() FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[]) AS t (p, e, h)",
                [list(column) for column in zip(*rows, strict=True)],
            )
    return len(rows)


def copy_head(path: Path) -> bool:
    """Add the chain's head to a file outside of the database; False if it stands there already.

    Who can change the database cannot take back what this file, or a copy of it elsewhere, says.
    """
    head = chain.head()
    known = chain.anchors(path)
    if head.position == 0 or (known and known[-1].position == head.position):
        return False
    line = json.dumps({"position": head.position, "hash": head.hash.hex()}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _ONLY_OWNER)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    log.info("accounts.audit.head", position=head.position, hash=head.hash.hex())
    return True
