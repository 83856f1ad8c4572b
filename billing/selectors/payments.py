"""Reads of payments: an organisation's own, and staff's comparison with Stripe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from billing.payment_models import ClearingMark, Payment, PaymentProfile, Refund, StripeEvent


class UnknownPayment(DomainError):
    """No payment that the actor may see has this id."""

    code = "unknown_payment"
    status = 404


def payments(actor: Actor) -> QuerySet[Payment]:
    """The organisation's attempts, newest first; staff see all."""
    if not actor.can("billing:read"):
        return Payment.objects.none()
    rows = Payment.objects.order_by("-id").select_related("organisation", "invoice")
    return rows if actor.is_staff else rows.filter(organisation_id=actor.organisation_id)


def payment(payment_id: UUID, actor: Actor) -> Payment:
    """One attempt.

    :raises UnknownPayment: see there; a stranger's is unknown too.
    """
    found = payments(actor).filter(id=payment_id).first()
    if found is None:
        raise UnknownPayment("There is no such payment.")
    return found


def refunds_of(payment_id: UUID) -> list[Refund]:
    """A payment's refunds, oldest first."""
    return list(Refund.objects.filter(payment_id=payment_id).order_by("id"))


def refund(refund_id: UUID) -> Refund:
    """One refund that the caller has just made."""
    return Refund.objects.get(id=refund_id)


def payment_profile(organisation_id: UUID) -> PaymentProfile:
    """The saved card and automatic top-up; an empty one where there is none yet."""
    found = PaymentProfile.objects.filter(organisation_id=organisation_id).first()
    return found or PaymentProfile(organisation_id=organisation_id)


def parked_events(limit: int = 100) -> list[StripeEvent]:
    """Webhooks that failed for good, and wait for staff; newest first."""
    rows = StripeEvent.objects.filter(state=StripeEvent.State.PARKED)
    return list(rows.order_by("-received_at", "id")[:limit])


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that Stripe and the ledger do not say alike. Amounts in fen; None: that side has nothing."""

    what: str  # stable code
    subject: str
    theirs_fen: int | None
    ours_fen: int | None


@dataclass(frozen=True, slots=True)
class Clearing:
    """Both sides' totals, in fen, up to `read_until` (None: never read), and what differs."""

    read_until: Any
    paid_in_fen: int
    sent_back_fen: int
    other_fen: int
    fees_fen: int
    ledger_fen: int
    differences: list[Difference]

    @property
    def stripe_fen(self) -> int:
        """What came and went for payments and refunds of this site."""
        return self.paid_in_fen + self.sent_back_fen


def clearing() -> Clearing:
    """Stripe's balance transactions beside the ledger's cash clearing of payments and refunds."""
    mark = ClearingMark.objects.filter(id=1).first()
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS)
        paid_in, sent_back, other, fees, in_ledger = (int(value) for value in cursor.fetchone())
        cursor.execute(_DIFFERENCES)
        differences = [Difference(*row) for row in cursor.fetchall()]
    return Clearing(mark.read_until if mark else None, paid_in, sent_back, other, fees, in_ledger, differences)


_TOTALS = """
SELECT coalesce(sum(amount_fen) FILTER (WHERE kind IN ('charge', 'payment')), 0),
       coalesce(sum(amount_fen) FILTER (WHERE kind LIKE '%refund%'), 0),
       coalesce(sum(amount_fen) FILTER (WHERE kind NOT IN ('charge', 'payment', 'payout')
                                          AND kind NOT LIKE '%refund%'), 0),
       coalesce(sum(fee_fen), 0),
       (SELECT coalesce(sum(CASE n.direction WHEN 'debit' THEN n.amount_micros ELSE -n.amount_micros END), 0) / 10000
        FROM ledger_transfer t JOIN ledger_entry n ON n.transfer_id = t.id JOIN ledger_account a ON a.id = n.account_id
        WHERE a.kind = 'cash_clearing' AND t.kind IN ('card_top_up', 'invoice_paid', 'refund', 'refund_back'))
FROM billing_clearingentry"""

# An hour's grace for what we have and Stripe's list does not show yet.
_DIFFERENCES = """
SELECT 'not_ours', c.id || ' (' || c.kind || ')', c.amount_fen, NULL::bigint FROM billing_clearingentry c
LEFT JOIN billing_payment p ON p.intent_id = c.intent_id
WHERE c.kind IN ('charge', 'payment') AND p.id IS NULL
UNION ALL
SELECT 'amount', 'payment ' || p.id, c.amount_fen, CASE p.state WHEN 'settled' THEN p.amount_fen ELSE 0 END
FROM billing_clearingentry c JOIN billing_payment p ON p.intent_id = c.intent_id
WHERE c.kind IN ('charge', 'payment') AND (p.state <> 'settled' OR p.amount_fen <> c.amount_fen)
UNION ALL
SELECT 'not_ours', c.id || ' (' || c.kind || ')', c.amount_fen, NULL FROM billing_clearingentry c
LEFT JOIN billing_refund r ON r.stripe_id = c.source_id
WHERE c.kind LIKE '%refund%' AND r.id IS NULL
UNION ALL
SELECT 'amount', 'refund ' || r.id, sum(c.amount_fen)::bigint,
       CASE r.state WHEN 'settled' THEN -r.amount_fen ELSE 0 END
FROM billing_clearingentry c JOIN billing_refund r ON r.stripe_id = c.source_id
WHERE c.kind LIKE '%refund%' GROUP BY r.id
HAVING sum(c.amount_fen) <> CASE r.state WHEN 'settled' THEN -r.amount_fen ELSE 0 END
UNION ALL
SELECT 'other', c.id || ' (' || c.kind || ')', c.amount_fen, NULL FROM billing_clearingentry c
WHERE c.kind NOT IN ('charge', 'payment', 'payout') AND c.kind NOT LIKE '%refund%'
UNION ALL
SELECT 'not_theirs', 'payment ' || p.id, NULL, p.amount_fen FROM billing_payment p, billing_clearingmark m
WHERE p.state = 'settled' AND p.amount_fen > 0 AND p.settled_at < m.read_until - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM billing_clearingentry c WHERE c.intent_id = p.intent_id
                  AND c.kind IN ('charge', 'payment'))
UNION ALL
SELECT 'not_theirs', 'refund ' || r.id, NULL, -r.amount_fen FROM billing_refund r, billing_clearingmark m
WHERE r.state = 'settled' AND r.settled_at < m.read_until - interval '1 hour'
  AND NOT EXISTS (SELECT 1 FROM billing_clearingentry c WHERE c.source_id = r.stripe_id)
ORDER BY 1, 2 LIMIT 500"""

RULES = {
    "a settled payment is in the ledger once, and no other is": """
        WITH booked AS (
            SELECT substr(t.key, 9) AS payment, sum(n.amount_micros) AS micros
            FROM ledger_transfer t JOIN ledger_entry n ON n.transfer_id = t.id
            JOIN ledger_account a ON a.id = n.account_id
            WHERE t.key LIKE 'payment:%' AND a.kind = 'cash_clearing' AND n.direction = 'debit' GROUP BY 1
        )
        SELECT 'payment ' || coalesce(p.id::text, b.payment), coalesce(p.state, 'missing') || ' over '
            || coalesce(p.amount_fen, 0) || ' fen, in the ledger ' || coalesce(b.micros, 0)
        FROM billing_payment p FULL JOIN booked b ON b.payment = p.id::text
        WHERE coalesce(b.micros, 0) <> CASE p.state WHEN 'settled' THEN p.amount_fen * 10000 ELSE 0 END
            OR p.id IS NULL LIMIT 100""",
    "a settled refund is in the ledger once, and no other is": """
        WITH booked AS (
            SELECT split_part(t.key, ':', 2) AS refund,
                   sum(CASE n.direction WHEN 'credit' THEN n.amount_micros ELSE -n.amount_micros END) AS micros
            FROM ledger_transfer t JOIN ledger_entry n ON n.transfer_id = t.id
            JOIN ledger_account a ON a.id = n.account_id
            WHERE t.key LIKE 'refund:%' AND a.kind = 'cash_clearing' GROUP BY 1
        )
        SELECT 'refund ' || coalesce(r.id::text, b.refund), coalesce(r.state, 'missing') || ' over '
            || coalesce(r.amount_fen, 0) || ' fen, in the ledger ' || coalesce(b.micros, 0)
        FROM billing_refund r FULL JOIN booked b ON b.refund = r.id::text
        WHERE coalesce(b.micros, 0) <> CASE r.state WHEN 'settled' THEN r.amount_fen * 10000 ELSE 0 END
            OR r.id IS NULL LIMIT 100""",
    "refunds <= the payment they belong to": """
        SELECT 'payment ' || p.id, 'refunds ' || sum(r.amount_fen) || ' of ' || p.amount_fen || ', ' || p.state
        FROM billing_payment p JOIN billing_refund r ON r.payment_id = p.id
        WHERE r.state <> 'failed' GROUP BY p.id
        HAVING sum(r.amount_fen) > p.amount_fen OR p.state <> 'settled' LIMIT 100""",
    "a refund on its way has its money held, and no other has": """
        SELECT 'refund ' || r.id, r.state || ' over ' || r.amount_fen || ' fen, held ' || coalesce(h.rest_micros, 0)
        FROM billing_refund r LEFT JOIN ledger_hold h ON h.id = r.hold_id
        WHERE coalesce(h.rest_micros, 0)
            <> CASE WHEN r.state IN ('created', 'pending', 'unknown') THEN r.amount_fen * 10000 ELSE 0 END LIMIT 100""",
}
