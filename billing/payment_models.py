"""Payments by Stripe: an attempt's row is committed before each call, and says afterwards what came of it.

Keys of calls derive from the rows' ids. `billing.models` takes these names in; nothing else imports them from here.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids


class PaymentProfile(models.Model):
    """One organisation at Stripe: its customer, a saved card (Stripe's id of it, never a number), automatic top-up."""

    organisation = models.OneToOneField("accounts.Organisation", models.PROTECT, primary_key=True, related_name="+")
    customer_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001  (unknown, not empty)
    method_id = models.CharField(max_length=64, blank=True)
    method_brand = models.CharField(max_length=20, blank=True)
    method_last4 = models.CharField(max_length=4, blank=True)
    method_month = models.PositiveSmallIntegerField(default=0)
    method_year = models.PositiveSmallIntegerField(default=0)
    automatic = models.BooleanField(default=False)
    threshold_micros = models.BigIntegerField(default=0)
    amount_fen = models.BigIntegerField(default=0)
    monthly_cap_fen = models.BigIntegerField(default=0)
    automatic_since = models.DateTimeField(null=True)
    # Why automatic top-up was switched off by the machine; empty where it was not.
    paused_reason = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="payment_profile_automatic",
                condition=Q(automatic=False)
                | Q(amount_fen__gt=0, threshold_micros__gt=0, monthly_cap_fen__gte=F("amount_fen")) & ~Q(method_id=""),
            )
        ]


class Payment(models.Model):
    """One attempt to be paid. The wallet moves when the object retrieved from Stripe says paid, and only then."""

    class Purpose(models.TextChoices):
        TOP_UP = "top_up", "Top-up"
        AUTOMATIC = "automatic", "Automatic top-up"
        INVOICE = "invoice", "Invoice"
        SETUP = "setup", "Save a card"

    class Way(models.TextChoices):
        CHECKOUT = "checkout", "Stripe's page"
        SAVED = "saved", "Saved card"

    class State(models.TextChoices):
        CREATED = "created", "Created"
        PENDING = "pending", "Pending"
        UNKNOWN = "unknown", "Unknown"
        SETTLED = "settled", "Settled"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    purpose = models.CharField(max_length=10, choices=Purpose)
    way = models.CharField(max_length=8, choices=Way)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, null=True, related_name="payments")
    amount_fen = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=8, choices=State, default=State.CREATED)
    reason = models.CharField(max_length=60, blank=True)
    # Stripe's ids, once we know them. An attempt whose answer was lost has none yet.
    session_id = models.CharField(max_length=80, null=True, unique=True)  # noqa: DJ001
    intent_id = models.CharField(max_length=80, null=True, unique=True)  # noqa: DJ001
    url = models.TextField(blank=True)
    # When a call was last made that may take money (saved card), and when Stripe was last asked.
    charged_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="payment_amount",
                condition=Q(purpose="setup", amount_fen=0) | ~Q(purpose="setup") & Q(amount_fen__gt=0),
            ),
            models.CheckConstraint(
                name="payment_invoice",
                condition=Q(purpose="invoice", invoice__isnull=False) | ~Q(purpose="invoice") & Q(invoice__isnull=True),
            ),
            models.CheckConstraint(
                name="payment_settled",
                condition=Q(state="settled", settled_at__isnull=False)
                | ~Q(state="settled") & Q(settled_at__isnull=True),
            ),
            # While one is open nobody is charged for the same thing again.
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(purpose="automatic", state__in=["created", "pending", "unknown"]),
                name="payment_automatic_once",
            ),
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(purpose="invoice", state__in=["created", "pending", "unknown"]),
                name="payment_invoice_once",
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "-id"], name="payment_of_organisation"),
            # The reconciler's work.
            models.Index(
                fields=["created_at"],
                condition=Q(state__in=["created", "pending", "unknown"]),
                name="payment_open",
            ),
        ]


class Refund(models.Model):
    """Paid money on its way back. It is held in the wallet from the first moment, so nobody spends it meanwhile."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount_fen = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=Payment.State, default=Payment.State.CREATED)
    reason = models.CharField(max_length=60, blank=True)
    stripe_id = models.CharField(max_length=80, null=True, unique=True)  # noqa: DJ001
    hold_id = models.UUIDField()
    asked_by = models.UUIDField(null=True)
    looked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="refund_amount", condition=Q(amount_fen__gt=0)),
            models.CheckConstraint(
                name="refund_state", condition=Q(state__in=["created", "unknown", "pending", "settled", "failed"])
            ),
        ]
        indexes = [
            models.Index(fields=["payment"], name="refund_of_payment"),
            models.Index(
                fields=["created_at"],
                condition=Q(state__in=["created", "pending", "unknown"]),
                name="refund_open",
            ),
        ]


class StripeEvent(models.Model):
    """A webhook as it came: stored first, worked afterwards. Its content is a hint to look, never a fact."""

    class State(models.TextChoices):
        RECEIVED = "received", "Received"
        DONE = "done", "Done"
        IGNORED = "ignored", "Ignored"
        PARKED = "parked", "Parked"

    # Stripe's own id: the same event is stored once.
    id = models.CharField(max_length=80, primary_key=True)
    kind = models.CharField(max_length=80)
    object_id = models.CharField(max_length=80)
    payload = models.TextField()
    state = models.CharField(max_length=8, choices=State, default=State.RECEIVED)
    tries = models.PositiveSmallIntegerField(default=0)
    reason = models.CharField(max_length=200, blank=True)
    due_at = models.DateTimeField()
    received_at = models.DateTimeField()
    worked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(state="received"), name="stripe_event_waiting")]


class ClearingEntry(models.Model):
    """One of Stripe's balance transactions, in fen, with the objects that it comes from."""

    id = models.CharField(max_length=80, primary_key=True)
    kind = models.CharField(max_length=40)
    amount_fen = models.BigIntegerField()
    fee_fen = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    source_id = models.CharField(max_length=80, blank=True)
    # Joined to our rows when they are read: an entry may be known before we know the object it comes from.
    intent_id = models.CharField(max_length=80, blank=True)
    happened_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["intent_id"], name="clearing_of_intent"),
            models.Index(fields=["source_id"], name="clearing_of_source"),
            models.Index(fields=["happened_at"], name="clearing_happened"),
        ]


class ClearingMark(models.Model):
    """Up to when balance transactions were read. One row."""

    id = models.SmallIntegerField(primary_key=True)
    read_until = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="clearing_mark_single", condition=Q(id=1))]
