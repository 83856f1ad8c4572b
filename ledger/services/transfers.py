"""Posting: many transfers, one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.kernel import ids
from ledger import locks, selectors
from ledger.kernel import transfers as kernel
from ledger.kernel.columns import integers, texts, uuids
from ledger.kernel.errors import KeyConflict
from ledger.kernel.transfers import AccountFacts, TransferDraft
from ledger.services.transactions import floor_guard, transactional

# A transfer that another transaction stored first (same key) is left out together with its legs.
_INSERT = """
WITH made AS (
    INSERT INTO ledger_transfer (id, key, kind, currency, reason, content_hash, created_at)
    SELECT t.*, %s FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[]) t
    ON CONFLICT (key) DO NOTHING RETURNING id
), legs AS (
    INSERT INTO ledger_entry (transfer_id, position, account_id, direction, amount_micros)
    SELECT l.* FROM unnest(%s::uuid[], %s::smallint[], %s::uuid[], %s::text[], %s::bigint[])
        AS l (transfer_id, position, account_id, direction, amount_micros)
    WHERE l.transfer_id IN (SELECT id FROM made)
)
SELECT id FROM made
"""


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """A draft that is not stored yet."""

    id: UUID
    draft: TransferDraft
    digest: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """The ids of all drafts of a call by key, and those of them that have to be written."""

    ids: dict[str, UUID]
    new: list[NewTransfer]


@transactional
def post(drafts: Sequence[TransferDraft], *, now: datetime) -> list[UUID]:
    """Write transfers, all or none; gives their ids in the order of the drafts.

    A key that was used before, with the same content, is a replay: it changes
    nothing and gives the first id.

    :raises KeyConflict: a key was used before with other content.
    :raises InsufficientFunds: an account would pass its floor.
    :raises Unbalanced, CurrencyMismatch, UnknownAccount, BadAmount: see there.
    :raises Busy: others kept the accounts.
    """
    if not drafts:
        return []
    facts = check(drafts)
    locked = locks.accounts(facts)
    batch = prepare(drafts)
    changes = kernel.changes((new.draft for new in batch.new), facts)
    with floor_guard(locked, {account_id: -change for account_id, change in changes.items() if change < 0}):
        write(batch, now=now)
    return [batch.ids[draft.key] for draft in drafts]


def check(drafts: Sequence[TransferDraft]) -> Mapping[UUID, AccountFacts]:
    """Refuse drafts that no database state could accept; gives what is known of their accounts."""
    facts = selectors.account_facts({leg.account_id for draft in drafts for leg in draft.legs})
    for draft in drafts:
        kernel.check(draft, facts)
    return facts


def prepare(drafts: Sequence[TransferDraft]) -> Batch:
    """Tell replays from new transfers. The accounts are locked, so that the same key waits for its first use.

    :raises KeyConflict: a key was used before, or twice in this call, with other content.
    """
    earlier = selectors.transfers({draft.key for draft in drafts})
    new = []
    for draft in drafts:
        digest = kernel.content_hash(draft)
        if draft.key not in earlier:
            earlier[draft.key] = (ids.new(), digest)
            new.append(NewTransfer(earlier[draft.key][0], draft, digest))
        _same(draft, digest, earlier[draft.key][1])
    return Batch({key: transfer_id for key, (transfer_id, _) in earlier.items()}, new)


def write(batch: Batch, *, now: datetime) -> None:
    """Store the new transfers of a batch, and put right the ids of those that another transaction stored meanwhile."""
    if not batch.new:
        return
    legs = [(new.id, position, leg) for new in batch.new for position, leg in enumerate(new.draft.legs)]
    values: list[Any] = [
        now,
        uuids([new.id for new in batch.new]),
        texts([new.draft.key for new in batch.new]),
        texts([new.draft.kind for new in batch.new]),
        texts([new.draft.currency for new in batch.new]),
        texts([new.draft.reason for new in batch.new]),
        [new.digest for new in batch.new],
        uuids([transfer_id for transfer_id, _, _ in legs]),
        integers([position for _, position, _ in legs]),
        uuids([leg.account_id for _, _, leg in legs]),
        texts([leg.direction for _, _, leg in legs]),
        integers([leg.amount_micros for _, _, leg in legs]),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        made = {row[0] for row in cursor.fetchall()}
    late = [new for new in batch.new if new.id not in made]
    stored = selectors.transfers({new.draft.key for new in late}) if late else {}
    for new in late:
        batch.ids[new.draft.key], digest = stored[new.draft.key]
        _same(new.draft, new.digest, digest)


def _same(draft: TransferDraft, digest: bytes, stored: bytes) -> None:
    if digest != stored:
        raise KeyConflict("This key was used before with another transfer.", key=draft.key)
