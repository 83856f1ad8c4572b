"""Transfers before they are stored: what is balanced, and what makes two of them the same."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from ledger.kernel.errors import BadAmount, CurrencyMismatch, Unbalanced, UnknownAccount
from ledger.kernel.kinds import DEBIT, MOST_MICROS, Side


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a transfer: a positive amount in micro-yuan and its direction."""

    account_id: UUID
    direction: Side
    amount_micros: int


@dataclass(frozen=True, slots=True)
class TransferDraft:
    """Money to be moved. `key` names the event that it follows from: the same key is the same transfer."""

    key: str
    kind: str
    legs: tuple[Leg, ...]
    currency: str = "CNY"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What never changes about an account."""

    id: UUID
    currency: str
    normal_side: Side
    stored: bool


def check_amount(amount_micros: int) -> None:
    """Refuse what is no positive whole number of micro-yuan.

    :raises BadAmount: see there. A bool is no amount either.
    """
    if type(amount_micros) is not int or not 0 < amount_micros < MOST_MICROS:
        raise BadAmount("An amount is a positive whole number of micro-yuan.")


def check(draft: TransferDraft, accounts: Mapping[UUID, AccountFacts]) -> None:
    """Refuse a draft that the database would refuse too.

    :raises BadAmount, UnknownAccount, CurrencyMismatch, Unbalanced: see there.
    """
    difference = 0
    for leg in draft.legs:
        check_amount(leg.amount_micros)
        account = accounts.get(leg.account_id)
        if account is None:
            raise UnknownAccount("There is no such account.", account_id=str(leg.account_id))
        if account.currency != draft.currency:
            raise CurrencyMismatch(f"An account in {account.currency} takes no part in a transfer in {draft.currency}.")
        difference += leg.amount_micros if leg.direction == DEBIT else -leg.amount_micros
    if len(draft.legs) < 2 or difference:
        raise Unbalanced("A transfer needs two legs or more, and debits equal to its credits.", key=draft.key)


def content_hash(draft: TransferDraft) -> bytes:
    """SHA-256 of all but the key: kind, currency, one line a leg in the order given, then the reason.

    `selectors.verify` takes the same hash in SQL.
    """
    lines = [f"{leg.direction} {leg.account_id} {leg.amount_micros}" for leg in draft.legs]
    text = "\n".join([draft.kind, draft.currency, *lines, draft.reason])
    return hashlib.sha256(text.encode()).digest()


def changes(drafts: Iterable[TransferDraft], accounts: Mapping[UUID, AccountFacts]) -> dict[UUID, int]:
    """By how many micro-yuan each account with a stored total grows (or shrinks, below 0)."""
    found: dict[UUID, int] = defaultdict(int)
    for draft in drafts:
        for leg in draft.legs:
            account = accounts[leg.account_id]
            if account.stored:
                grows = leg.direction == account.normal_side
                found[leg.account_id] += leg.amount_micros if grows else -leg.amount_micros
    return dict(found)
