"""The only home of billing's row locks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from billing.models import (
    AllocationPosting,
    BillingProfile,
    Credit,
    CreditProposal,
    Export,
    Invoice,
    NumberSeries,
    RatedLine,
    RatingWatermark,
)
from billing.payment_models import Payment, PaymentProfile, Refund, StripeEvent


def rating_watermark() -> RatingWatermark:
    """The one watermark row, locked: raters take turns."""
    return RatingWatermark.objects.select_for_update().get(id=1)


def billing_profile(organisation_id: UUID) -> BillingProfile:
    """The organisation's profile, made if missing and locked: its invoices are made one at a time."""
    BillingProfile.objects.bulk_create([BillingProfile(organisation_id=organisation_id)], ignore_conflicts=True)
    return BillingProfile.objects.select_for_update().get(organisation_id=organisation_id)


def live_lines(organisation_id: UUID, product_id: UUID) -> list[RatedLine]:
    """All live lines of one buyer and product, locked in order, so that no invoice takes one meanwhile."""
    rows = RatedLine.objects.select_for_update().filter(
        organisation_id=organisation_id, product_id=product_id, live=True
    )
    return list(rows.order_by("id"))


def waiting_lines(organisation_id: UUID, *, until: date) -> list[RatedLine]:
    """Live lines without an invoice, of delivery days up to and including `until`, locked in order."""
    return list(
        RatedLine.objects.select_for_update()
        .filter(organisation_id=organisation_id, live=True, invoice_line__isnull=True, delivery_date__lte=until)
        .order_by("id")
    )


def postings(allocation_ids: Iterable[UUID]) -> list[AllocationPosting]:
    """The posting rows of these allocations, locked in order."""
    rows = AllocationPosting.objects.select_for_update().filter(allocation_id__in=list(allocation_ids))
    return list(rows.order_by("allocation_id"))


def postings_to_close(seller_id: UUID, delivery_date: date) -> list[AllocationPosting]:
    """One provider's posting rows of one delivery day, locked in order."""
    rows = AllocationPosting.objects.select_for_update().filter(seller_id=seller_id, delivery_date=delivery_date)
    return list(rows.order_by("allocation_id"))


def number_series(series: str) -> NumberSeries:
    """The series' counter, locked: held only for the last short step of an invoice."""
    NumberSeries.objects.bulk_create([NumberSeries(series=series)], ignore_conflicts=True)
    return NumberSeries.objects.select_for_update().get(series=series)


def credit(charge_id: int) -> Credit:
    """What a seller owes for one charge."""
    return Credit.objects.select_for_update(of=("self",)).get(charge_id=charge_id)


def payment(payment_id: UUID) -> Payment:
    """One attempt: who applies an answer of Stripe's to it goes alone."""
    return Payment.objects.select_for_update(of=("self",)).get(id=payment_id)


def refund(refund_id: UUID) -> Refund:
    """One refund. Its payment comes first where both are locked."""
    return Refund.objects.select_for_update(of=("self",)).select_related("payment").get(id=refund_id)


def payment_profile(organisation_id: UUID) -> PaymentProfile:
    """The organisation's profile at Stripe, made if missing and locked."""
    PaymentProfile.objects.bulk_create([PaymentProfile(organisation_id=organisation_id)], ignore_conflicts=True)
    return PaymentProfile.objects.select_for_update(of=("self",)).get(organisation_id=organisation_id)


def invoice(invoice_id: UUID) -> Invoice:
    """One invoice, while its payment is booked."""
    return Invoice.objects.select_for_update(of=("self",)).get(id=invoice_id)


def stripe_event(event_id: str) -> StripeEvent | None:
    """One webhook that waits; None while somebody else works it, or once it is done."""
    rows = StripeEvent.objects.select_for_update(skip_locked=True).filter(id=event_id)
    return rows.filter(state=StripeEvent.State.RECEIVED).first()


def credit_proposal(proposal_id: UUID) -> CreditProposal | None:
    """A proposal, locked: it is decided once; None where there is none."""
    return CreditProposal.objects.select_for_update(of=("self",)).filter(id=proposal_id).first()


def waiting_export(export_id: UUID) -> Export | None:
    """An export that waits, locked; None where another worker has it, or it is done."""
    rows = Export.objects.select_for_update(skip_locked=True).filter(id=export_id, state=Export.State.WAITING)
    return rows.first()
