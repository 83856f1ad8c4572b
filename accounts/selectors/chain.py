"""Reads of the audit log's chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from accounts.kernel.chain import START, Anchor, Event, Link, faults

# An event as text, the same for the sealer and whoever checks.
_EVENT = """
e.organisation_id::text, e.user_id::text, e.key_id::text, e.action, e.subject, e.detail::text,
to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
"""
# No transaction lives nearly as long (the roles' timeouts end it), so no event below this id can still appear.
_FLOOR = """
coalesce((SELECT max(event_id) FROM accounts_auditlink WHERE sealed_at < clock_timestamp() - interval '10 minutes'
          AND position > (SELECT max(position) FROM accounts_auditlink) - 1000000), 0)
"""
_UNSEALED = f"""
FROM accounts_auditevent e WHERE e.id > {_FLOOR}
AND NOT EXISTS (SELECT FROM accounts_auditlink l WHERE l.event_id = e.id)
"""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and the row that breaks it."""

    rule: str
    subject: str
    detail: str


def head() -> Anchor:
    """The last link."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT position, hash FROM accounts_auditlink ORDER BY position DESC LIMIT 1")
        row = cursor.fetchone()
    return Anchor(row[0], bytes(row[1])) if row else Anchor(0, START)


def unsealed(*, limit: int) -> list[Event]:
    """Committed events that are in no link, by id."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT e.id, {_EVENT} {_UNSEALED} ORDER BY e.id LIMIT %s", [limit])
        return [Event(row[0], row[1:]) for row in cursor]


def anchors(path: Path) -> list[Anchor]:
    """The heads that were copied to a file, in the order of the file."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [Anchor(int(line["position"]), bytes.fromhex(line["hash"])) for line in lines]


def verify(path: Path | None = None, *, most: int = 100) -> list[Breach]:
    """Follow the whole chain, and compare it with the heads that were copied to `path`; gives the first faults."""
    found = []
    for position, fault in faults(_links(), anchors(path) if path else ()):
        found.append(Breach("audit chain", f"link {position}", fault))
        if len(found) == most:
            return found
    return found + _left_out()


def _left_out() -> list[Breach]:
    """Events below the sealer's floor that no link names: they were written past the site."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT e.id FROM accounts_auditevent e WHERE e.id <= {_FLOOR} "
            "AND NOT EXISTS (SELECT FROM accounts_auditlink l WHERE l.event_id = e.id) ORDER BY e.id LIMIT 100"
        )
        return [Breach("audit chain", f"event {row[0]}", "no link names it") for row in cursor]


def _links() -> Iterator[Link]:
    """All links by position, as one snapshot, without holding them in memory."""
    with transaction.atomic():
        connection.ensure_connection()
        raw: Any = connection.connection
        with raw.cursor(name="audit_chain") as cursor:
            cursor.itersize = 5_000
            cursor.execute(
                f"SELECT l.position, l.hash, e.id, {_EVENT} FROM accounts_auditlink l "
                "LEFT JOIN accounts_auditevent e ON e.id = l.event_id ORDER BY l.position"
            )
            for position, digest, event_id, *texts in cursor:
                event = None if event_id is None else Event(event_id, tuple(texts))
                yield Link(position, event, bytes(digest))
