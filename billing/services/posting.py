"""Money of usage: from the allocation's hold into unbilled, by cumulative floor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, Sum

from accounts.kernel import ids
from billing.kernel.periods import market_date
from billing.kernel.rounding import cumulative_floor_micros
from billing.models import AllocationPosting, ContestedAmount, RatedLine
from ledger import selectors as ledger_reads
from ledger import services as ledger
from ledger.kernel.kinds import Side
from ledger.services import HoldChange, Leg, TransferDraft
from market import selectors as market
from market.selectors import AllocationView


def post_usage(allocation_ids: Collection[UUID], *, now: datetime) -> int:
    """Post what each allocation's live lines have grown by; gives the micro-yuan posted.

    The hold pays first. What it no longer covers (it was released, because the
    usage came late) is drawn on the wallet as far as that goes, and the rest is
    a receivable: usage that was delivered is never refused here.
    """
    if not allocation_ids:
        return 0
    views = market.allocations_many(set(allocation_ids))
    exact = _exact(allocation_ids)
    rows = _rows(views)
    moves: list[tuple[AllocationView, int, str]] = []
    for allocation_id in sorted(views):
        row = rows[allocation_id]
        amount = cumulative_floor_micros(exact.get(allocation_id, 0), row.posted_micros)
        if amount > 0:
            moves.append((views[allocation_id], amount, f"usage:{allocation_id}:{row.posted_micros}"))
        elif amount < 0:
            _give_back(views[allocation_id], row, -amount, now)
        row.posted_micros += amount
    for allocation_id, owed in _take(moves, now).items():
        rows[allocation_id].owed_micros += owed
    AllocationPosting.objects.bulk_update(list(rows.values()), ["posted_micros", "owed_micros"], batch_size=1_000)
    return sum(amount for _, amount, _ in moves)


def _give_back(view: AllocationView, row: AllocationPosting, amount: int, now: datetime) -> None:
    """A correction lowered the sum: what the buyer still owes of it is forgiven first, the rest goes to the wallet.

    The caller has seen that no day's close, dispute or invoice has the money.
    """
    forgiven = min(amount, row.owed_micros - row.owed_invoiced_micros)
    row.owed_micros -= forgiven
    parts: tuple[tuple[str, Side, int], ...] = (
        ("unbilled", "debit", amount),
        ("receivable", "credit", forgiven),
        ("wallet", "credit", amount - forgiven),
    )
    legs = tuple(
        Leg(ledger.open_account(organisation_id=view.buyer_id, kind=kind, currency=view.currency), side, micros)
        for kind, side, micros in parts
        if micros
    )
    key = f"usage_back:{view.id}:{row.posted_micros}:{ids.new()}"
    ledger.post([TransferDraft(key=key, kind="usage_back", legs=legs, currency=view.currency)], now=now)


def settled_for_good(allocation_ids: Collection[UUID]) -> dict[UUID, int]:
    """What of each allocation's posted micro-yuan is settled for good: closed, contested, given back or invoiced.

    Where a dispute is open or gave something back, nothing may lower the sum: a record that is taken back may be the
    very one that the dispute was about, and would be paid back twice.
    """
    disputed = set(
        ContestedAmount.objects.filter(
            Q(settled_at__isnull=True) | Q(credited_micros__gt=0), allocation_id__in=allocation_ids
        ).values_list("allocation_id", flat=True)
    )
    return {
        row.allocation_id: row.posted_micros
        if row.allocation_id in disputed
        else max(row.posted_micros - row.open_micros, row.invoiced_micros)
        for row in AllocationPosting.objects.filter(allocation_id__in=allocation_ids)
    }


def _exact(allocation_ids: Collection[UUID]) -> dict[UUID, int]:
    sums = (
        RatedLine.objects.filter(allocation_id__in=allocation_ids, live=True)
        .values_list("allocation_id")
        .annotate(total=Sum("exact"))
    )
    return {allocation_id: int(total or Decimal(0)) for allocation_id, total in sums}


def _rows(views: dict[UUID, AllocationView]) -> dict[UUID, AllocationPosting]:
    """The posting rows of these allocations, made where missing. Rating's watermark lock keeps others out."""
    AllocationPosting.objects.bulk_create(
        [
            AllocationPosting(
                allocation_id=view.id,
                organisation_id=view.buyer_id,
                seller_id=view.seller_id,
                delivery_date=market_date(view.window_start),
                currency=view.currency,
                posted_micros=0,
            )
            for view in views.values()
        ],
        ignore_conflicts=True,
    )
    return {row.allocation_id: row for row in AllocationPosting.objects.filter(allocation_id__in=list(views))}


def _take(moves: list[tuple[AllocationView, int, str]], now: datetime) -> dict[UUID, int]:
    """Move the money; gives what each allocation's buyer owes beyond hold and wallet."""
    if not moves:
        return {}
    rests = ledger_reads.hold_rests([view.hold_id for view, _, _ in moves])
    free = _free(moves)
    changes: list[HoldChange] = []
    drafts: list[TransferDraft] = []
    owed_by: dict[UUID, int] = {}
    for view, amount, key in moves:
        from_hold = min(amount, rests.get(view.hold_id, 0))
        from_wallet = min(amount - from_hold, max(free[(view.buyer_id, view.currency)], 0))
        free[(view.buyer_id, view.currency)] -= from_wallet
        owed = amount - from_hold - from_wallet
        owed_by[view.id] = owed
        if from_hold:
            changes.append(HoldChange(f"{key}:hold", view.hold_id, "post", from_hold, transfer_key=key))
        drafts.append(_draft(view, key, paid=from_hold + from_wallet, owed=owed))
    ledger.capture(hold_changes=changes, drafts=drafts, now=now)
    return owed_by


def _free(moves: list[tuple[AllocationView, int, str]]) -> dict[tuple[UUID, str], int]:
    """What each buyer's wallet has beyond its holds."""
    found: dict[tuple[UUID, str], int] = defaultdict(int)
    for buyer_id, currency in {(view.buyer_id, view.currency) for view, _, _ in moves}:
        found[(buyer_id, currency)] = ledger_reads.wallet(buyer_id, currency).available_micros
    return found


def _draft(view: AllocationView, key: str, *, paid: int, owed: int) -> TransferDraft:
    legs = []
    for kind, amount in (("wallet", paid), ("receivable", owed)):
        if amount:
            account = ledger.open_account(organisation_id=view.buyer_id, kind=kind, currency=view.currency)
            legs.append(Leg(account, "debit", amount))
    unbilled = ledger.open_account(organisation_id=view.buyer_id, kind="unbilled", currency=view.currency)
    legs.append(Leg(unbilled, "credit", paid + owed))
    return TransferDraft(key=key, kind="usage", legs=tuple(legs), currency=view.currency)
