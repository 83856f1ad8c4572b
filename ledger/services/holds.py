"""Placing, changing and capturing holds: many at once, one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from accounts.kernel import ids
from ledger import locks, selectors
from ledger.kernel import holds as kernel
from ledger.kernel import transfers as transfer_kernel
from ledger.kernel.errors import HoldNotCovered, KeyConflict, NotHoldable, UnknownAccount, UnknownTransfer
from ledger.kernel.holds import HoldChange, HoldDraft
from ledger.kernel.transfers import TransferDraft
from ledger.services import transfers
from ledger.services.hold_rows import Rows
from ledger.services.transactions import floor_guard, transactional


@transactional
def place_holds(drafts: Sequence[HoldDraft], *, now: datetime) -> list[UUID]:
    """Set money aside, all or none; gives the holds' ids in the order of the drafts.

    A key that was used before, with the same content, is a replay.

    :raises InsufficientFunds: an account has less available.
    :raises KeyConflict, UnknownAccount, NotHoldable, BadAmount, Busy: see there.
    """
    if not drafts:
        return []
    facts = selectors.account_facts({draft.account_id for draft in drafts})
    for draft in drafts:
        transfer_kernel.check_amount(draft.amount_micros)
        if draft.account_id not in facts:
            raise UnknownAccount("There is no such account.", account_id=str(draft.account_id))
        if not facts[draft.account_id].stored:
            raise NotHoldable("This kind of account has no stored total.", account_id=str(draft.account_id))
    locked = locks.accounts(facts)
    hold_ids, new = _tell_replays(drafts)
    needed: dict[UUID, int] = {}
    for draft in new:
        needed[draft.account_id] = needed.get(draft.account_id, 0) + draft.amount_micros
    rows = Rows()
    for draft in new:
        currency = facts[draft.account_id].currency
        rows.place(
            hold_ids[draft.key], draft.account_id, currency, draft.amount_micros, draft.expires_at, key=draft.key
        )
    with floor_guard(locked, needed):
        rows.write(now=now)
    return [hold_ids[draft.key] for draft in drafts]


def _tell_replays(drafts: Sequence[HoldDraft]) -> tuple[dict[str, UUID], list[HoldDraft]]:
    """Hold ids by key, and the drafts that are not stored yet."""
    earlier = selectors.placed({draft.key for draft in drafts})
    content = {key: (row.account_id, row.amount_micros, row.expires_at) for key, row in earlier.items()}
    hold_ids = {key: row.hold_id for key, row in earlier.items()}
    new = []
    for draft in drafts:
        mine = (draft.account_id, draft.amount_micros, draft.expires_at)
        if draft.key not in content:
            content[draft.key], hold_ids[draft.key] = mine, ids.new()
            new.append(draft)
        if content[draft.key] != mine:
            raise KeyConflict("This key was used before with another hold.", key=draft.key)
    return hold_ids, new


@transactional
def change_holds(changes: Sequence[HoldChange], *, now: datetime, keys_are_new: bool = False) -> list[UUID | None]:
    """Make these changes one after the other, all or none; gives the child of each split, and None for the others.

    Void, release and expire without an amount take all that is left. A key that
    was used before, with the same content, is a replay; who knows that no key can
    have been used (`keys_are_new`) need not have them looked up.

    :raises HoldClosed: the hold was resolved before, under another key.
    :raises HoldExhausted: more is taken than is left.
    :raises KeyConflict, InsufficientFunds, UnknownHold, UnknownTransfer, BadAmount, Busy: see there.
    """
    return _apply(changes, [], now, keys_are_new=keys_are_new)[0]


@transactional
def capture(*, hold_changes: Sequence[HoldChange], drafts: Sequence[TransferDraft], now: datetime) -> list[UUID]:
    """Post from holds and write the transfers that take the money, all or none; gives the transfers' ids.

    The accounts are locked once, and the holds give way before the money moves,
    so a wallet without anything else can pay.

    :raises HoldNotCovered: a transfer takes less from an account than is posted from its holds.
    :raises LedgerError: all that `change_holds` and `post` raise.
    """
    return _apply(hold_changes, drafts, now)[1]


@transactional
def expire_holds(*, now: datetime, limit: int) -> int:
    """Give back what is left of holds whose time is over, the oldest first; gives how many there were.

    Safe to run at any time, twice too.
    """
    due = selectors.due_holds(now=now, limit=limit)
    if not due:
        return 0
    locks.accounts([], of_holds=due)
    # Read again under the lock: another sweep, or a last post, may have resolved some.
    rests = selectors.hold_rests(due)
    changes = [HoldChange(f"expire:{hold_id}", hold_id, "expire", None) for hold_id in due if rests[hold_id]]
    _apply(changes, [], now)
    return len(changes)


def _apply(
    changes: Sequence[HoldChange], drafts: Sequence[TransferDraft], now: datetime, *, keys_are_new: bool = False
) -> tuple[list[UUID | None], list[UUID]]:
    facts = transfers.check(drafts)
    hold_ids = {change.hold_id for change in changes}
    locked = locks.accounts(facts, of_holds=hold_ids)
    batch = transfers.prepare(drafts)
    transfer_ids = _transfer_ids(changes, batch.ids)
    earlier = {} if keys_are_new else selectors.stepped({change.key for change in changes})
    children, new = _tell_steps(changes, transfer_ids, earlier)
    rows = selectors.holds(hold_ids)
    account_of = {hold_id: row.account_id for hold_id, row in rows.items()}
    amounts = kernel.resolve(new, {hold_id: row.rest_micros for hold_id, row in rows.items()})

    needed = kernel.held_changes(new, amounts, account_of)
    for account_id, change in transfer_kernel.changes((row.draft for row in batch.new), facts).items():
        needed[account_id] = needed.get(account_id, 0) - change
    with floor_guard(locked, needed):
        _rows(new, amounts, rows, transfer_ids, children).write(now=now)
        transfers.write(batch, now=now)
        _check_cover([_transfer_id(change, transfer_ids) for change in new])
    return [children.get(change.key) for change in changes], [batch.ids[draft.key] for draft in drafts]


def _check_cover(transfer_ids: Sequence[UUID | None]) -> None:
    posted_by = {transfer_id for transfer_id in transfer_ids if transfer_id is not None}
    if posted_by and (culprit := selectors.uncovered(posted_by)):
        raise HoldNotCovered("A transfer takes less than is posted from holds.", transfer_id=str(culprit))


def _transfer_ids(changes: Sequence[HoldChange], known: Mapping[str, UUID]) -> dict[str, UUID]:
    """The transfers that posts name: of this call, or stored before."""
    found = dict(known)
    wanted = {change.transfer_key for change in changes if change.action == "post"}
    missing = {key for key in wanted if key is not None and key not in found}
    if missing:
        found |= {key: transfer_id for key, (transfer_id, _) in selectors.transfers(missing).items()}
    for key in wanted:
        if key is None or key not in found:
            raise UnknownTransfer("A post names the transfer that takes the money.", key=key)
    return found


def _transfer_id(change: HoldChange, transfer_ids: Mapping[str, UUID]) -> UUID | None:
    return transfer_ids[change.transfer_key] if change.action == "post" and change.transfer_key else None


def _tell_steps(
    changes: Sequence[HoldChange], transfer_ids: Mapping[str, UUID], earlier: Mapping[str, selectors.Stepped]
) -> tuple[dict[str, UUID], list[HoldChange]]:
    """The child of each split by key, and the changes that are not stored (`earlier`) yet."""
    children = {key: step.child_id for key, step in earlier.items() if step.child_id is not None}
    seen: dict[str, HoldChange] = {}
    for change in changes:
        step = earlier.get(change.key)
        if step is None:
            first = seen.setdefault(change.key, change)
            same = first is change or first == change
        else:
            same = (
                (step.hold_id, step.action) == (change.hold_id, change.action)
                and step.transfer_id == _transfer_id(change, transfer_ids)
                and change.amount_micros in {None, step.amount_micros}
                and change.child_id in {None, step.child_id}
            )
        if not same:
            raise KeyConflict("This key was used before with another change.", key=change.key)
    for change in seen.values():
        if change.action == "split":
            children[change.key] = change.child_id or ids.new()
    return children, list(seen.values())


def _rows(
    changes: Sequence[HoldChange],
    amounts: Sequence[int],
    holds: Mapping[UUID, selectors.HoldRow],
    transfer_ids: Mapping[str, UUID],
    children: Mapping[str, UUID],
) -> Rows:
    """The rows of these changes: one event each, and for a split also the child and its placing."""
    rows = Rows()
    for change, amount in zip(changes, amounts, strict=True):
        if change.action == "split":
            parent, child = holds[change.hold_id], children[change.key]
            rows.step(change.hold_id, "split", amount, change.key, child_id=child)
            rows.place(
                child, parent.account_id, parent.currency, amount, change.child_expires_at, parent_id=change.hold_id
            )
        else:
            transfer_id = _transfer_id(change, transfer_ids)
            rows.step(change.hold_id, change.action, amount, change.key, transfer_id=transfer_id)
    return rows
