"""From settled buckets to finalised invoices.

Rated lines are never updated in what they say; a finalised invoice, its lines
and its files never change (triggers in the migration refuse it).
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

import billing.payment_models  # noqa: F401  (Django finds models through this module)
from accounts.kernel import ids


def exact_field() -> models.DecimalField:
    """An exact amount: an integer of 10^-18 yuan."""
    return models.DecimalField(max_digits=38, decimal_places=0)


class TaxRate(models.Model):
    """A tax rate with the days on which it holds; which rate a day has is data."""

    code = models.CharField(max_length=20)
    rate_bps = models.PositiveIntegerField()
    valid_from = models.DateField()
    valid_until = models.DateField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "valid_from"], name="tax_rate_from"),
            models.CheckConstraint(name="tax_rate_bounds", condition=Q(rate_bps__lt=10_000)),
        ]


class BillingProfile(models.Model):
    """How one organisation is billed."""

    class Period(models.TextChoices):
        DAY = "day", "Day"
        WEEK = "week", "Week"
        MONTH = "month", "Month"

    organisation = models.OneToOneField("accounts.Organisation", models.PROTECT, primary_key=True, related_name="+")
    period = models.CharField(max_length=5, choices=Period, default=Period.MONTH)
    grace_hours = models.PositiveIntegerField(default=72)
    due_days = models.PositiveIntegerField(default=15)


class RatingWatermark(models.Model):
    """The last settled bucket and the last charge that were rated; it moves in the transaction that rates."""

    id = models.SmallIntegerField(primary_key=True)
    sequence = models.BigIntegerField()
    # The last charge of the market that was rated.
    charge_id = models.BigIntegerField(db_default=0)

    class Meta:
        constraints = [models.CheckConstraint(name="rating_watermark_single", condition=Q(id=1))]


class Invoice(models.Model):
    """What one buyer owes for one period."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        PAID = "paid", "Paid"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    series = models.CharField(max_length=12)
    number = models.PositiveBigIntegerField()
    state = models.CharField(max_length=8, choices=State)
    currency = models.CharField(max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    issued_at = models.DateTimeField()
    due_date = models.DateField(null=True)
    net_fen = models.BigIntegerField()
    tax_fen = models.BigIntegerField()
    total_fen = models.BigIntegerField()
    exact = exact_field()
    rounding_exact = exact_field()
    settled_micros = models.BigIntegerField()
    due_fen = models.BigIntegerField()
    # Everything that the files say, as it was on the day of issue. No file is made from anything else.
    figures = models.JSONField()

    class Meta:
        constraints = [
            # Numbers are gapless per series: taken from the locked counter, never reused.
            models.UniqueConstraint(fields=["series", "number"], name="invoice_number"),
            models.CheckConstraint(
                name="invoice_total", condition=Q(total_fen=F("net_fen") + F("tax_fen"), total_fen__gt=0)
            ),
            models.CheckConstraint(name="invoice_period", condition=Q(period_start__lt=F("period_end"))),
        ]
        indexes = [models.Index(fields=["organisation", "-issued_at"], name="invoice_of_organisation")]


class InvoiceLine(models.Model):
    """Model line x grade x delivery day x tax rate x what is paid for."""

    class Kind(models.TextChoices):
        USAGE = "usage", "Usage"
        TAKE_OR_PAY = "take_or_pay", "Bought, not drawn"
        CANCELLATION = "cancellation", "Cancellation fee"

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="lines")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.USAGE)
    line = models.CharField(max_length=80)
    grade = models.CharField(max_length=16)
    delivery_date = models.DateField()
    tax_rate_bps = models.PositiveIntegerField()
    provider = models.CharField(max_length=200, blank=True)  # empty: several
    micro_st = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    average_price_micros = models.BigIntegerField()
    exact = exact_field()
    amount_fen = models.BigIntegerField()
    net_fen = models.BigIntegerField()
    tax_fen = models.BigIntegerField()
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "number"], name="invoice_line_number"),
            models.CheckConstraint(name="invoice_line_total", condition=Q(amount_fen=F("net_fen") + F("tax_fen"))),
        ]


class RatedLine(models.Model):
    """A part of a bucket, or of a charge of the market, at the price of the allocation that it consumed.

    `live` lines of a bucket add up to the bucket. A line is replaced, not
    changed, until an invoice has it; from then on only a difference is added.
    """

    class Source(models.TextChoices):
        OWN = "own", "Own allocation"
        SURPLUS = "surplus", "Another allocation of the same product"
        TAKE_OR_PAY = "take_or_pay", "Bought, not drawn"
        CANCELLATION = "cancellation", "Cancellation fee"

    id = models.BigAutoField(primary_key=True)
    # Either a bucket of usage or a charge.
    bucket_id = models.BigIntegerField(null=True)
    version = models.BigIntegerField()
    charge = models.ForeignKey("market.Charge", models.PROTECT, null=True, related_name="+", db_index=False)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    seller = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    # The allocation whose price and quantity the part consumes, which for surplus is not the bucket's own.
    allocation = models.ForeignKey("market.Allocation", models.PROTECT, related_name="+")
    product = models.ForeignKey("market.Product", models.PROTECT, related_name="+")
    source = models.CharField(max_length=12, choices=Source)
    line = models.CharField(max_length=80)
    grade = models.CharField(max_length=16)
    delivery_date = models.DateField()
    micro_st = models.BigIntegerField()
    price_micros = models.BigIntegerField()
    exact = exact_field()
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    live = models.BooleanField(default=True)
    invoice_line = models.ForeignKey(InvoiceLine, models.PROTECT, null=True, related_name="rated_lines")
    rated_at = models.DateTimeField()

    class Meta:
        constraints = [
            # One line waits for an invoice per part; a second would be charged twice.
            models.UniqueConstraint(
                fields=["bucket_id", "allocation"],
                condition=Q(live=True, invoice_line__isnull=True),
                name="rated_line_once",
            ),
            models.UniqueConstraint(
                fields=["charge", "allocation"],
                condition=Q(live=True, invoice_line__isnull=True),
                name="rated_charge_once",
            ),
            models.CheckConstraint(
                name="rated_line_origin",
                condition=Q(source__in=["own", "surplus"], bucket_id__isnull=False, charge__isnull=True)
                | Q(source__in=["take_or_pay", "cancellation"], bucket_id__isnull=True, charge__isnull=False),
            ),
            # A fee is rounded to the micro-yuan; everything else is quantity x price.
            models.CheckConstraint(
                name="rated_line_price",
                condition=Q(source="cancellation", exact__gte=0) | Q(exact=F("micro_st") * F("price_micros")),
            ),
            models.CheckConstraint(name="rated_line_quantity", condition=Q(micro_st__gt=0)),
            models.CheckConstraint(name="rated_line_invoiced_is_live", condition=Q(live=True) | Q(invoice_line=None)),
        ]
        indexes = [
            models.Index(fields=["organisation", "product"], name="rated_line_group", condition=Q(live=True)),
            models.Index(
                fields=["organisation", "delivery_date"],
                name="rated_line_waiting",
                condition=Q(live=True, invoice_line__isnull=True),
            ),
            models.Index(fields=["allocation"], name="rated_line_allocation", condition=Q(live=True)),
        ]


class RatingException(models.Model):
    """Usage that could not be rated; it is parked here with its reason, and the rest goes on."""

    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    product = models.ForeignKey("market.Product", models.PROTECT, related_name="+")
    reason = models.CharField(max_length=40)
    detail = models.TextField()
    noticed_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "product", "reason"],
                condition=Q(resolved_at__isnull=True),
                name="rating_exception_open",
            ),
        ]


class AllocationPosting(models.Model):
    """How much of an allocation's exact amount has gone into the ledger, to invoices and to the provider's day.

    In micro-yuan. `posted` = floor of the exact sum so far, so that splitting usage cannot change a total.
    """

    allocation = models.OneToOneField("market.Allocation", models.PROTECT, primary_key=True, related_name="+")
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    seller = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    delivery_date = models.DateField()
    currency = models.CharField(max_length=3)
    posted_micros = models.BigIntegerField()
    # The part of `posted` that neither hold nor wallet covered, and how much of it invoices have asked for.
    owed_micros = models.BigIntegerField(default=0)
    owed_invoiced_micros = models.BigIntegerField(default=0)
    invoiced_micros = models.BigIntegerField(default=0)
    closed_micros = models.BigIntegerField(default=0)
    # Of what no day's close has taken: contested and in suspense, and given back to the buyer after a dispute.
    frozen_micros = models.BigIntegerField(default=0)
    credited_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="allocation_posting_order",
                condition=Q(
                    invoiced_micros__gte=0,
                    invoiced_micros__lte=F("posted_micros"),
                    owed_invoiced_micros__gte=0,
                    owed_invoiced_micros__lte=F("owed_micros"),
                    owed_micros__lte=F("posted_micros"),
                    closed_micros__gte=0,
                    frozen_micros__gte=0,
                    credited_micros__gte=0,
                    posted_micros__gte=F("closed_micros") + F("frozen_micros") + F("credited_micros"),
                ),
            ),
        ]
        indexes = [
            models.Index(fields=["delivery_date"], name="allocation_posting_to_close",
                         condition=Q(posted_micros__gt=F("closed_micros") + F("credited_micros"))),
            models.Index(fields=["organisation"], name="allocation_posting_buyer"),
        ]  # fmt: skip

    @property
    def open_micros(self) -> int:
        """What no day's close, no dispute and no buyer has: it stands in unbilled."""
        return self.posted_micros - self.closed_micros - self.frozen_micros - self.credited_micros


class DayClose(models.Model):
    """One provider's delivery day, split into payable, fee and tax. A late record makes a further close of the day."""

    seller = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    delivery_date = models.DateField()
    part = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    gross_micros = models.BigIntegerField()
    tax_micros = models.BigIntegerField()
    fee_micros = models.BigIntegerField()
    payable_micros = models.BigIntegerField()
    closed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seller", "delivery_date", "currency", "part"], name="day_close_part"),
            models.CheckConstraint(
                name="day_close_adds_up",
                condition=Q(gross_micros=F("tax_micros") + F("fee_micros") + F("payable_micros")),
            ),
        ]


class Credit(models.Model):
    """What a seller gave back to a buyer for one charge of the market, out of what it had; less where it had less."""

    charge = models.OneToOneField("market.Charge", models.PROTECT, related_name="+")
    buyer = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    seller = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    delivery_date = models.DateField()
    currency = models.CharField(max_length=3)
    owed_micros = models.BigIntegerField()
    paid_micros = models.BigIntegerField()
    paid_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credit_within_owed", condition=Q(paid_micros__gte=0, paid_micros__lte=F("owed_micros"))
            ),
        ]


class ContestedAmount(models.Model):
    """Money of one dispute: frozen when it was opened, and given to one side or both when it was resolved.

    The parts of the gross amount are those of `kernel.contested.Parts`. Of the payable only `held` was there to be
    frozen; what the buyer is due beyond it stays owed until the seller has it.
    """

    # The dispute is metering's; no foreign key joins the two.
    dispute_id = models.UUIDField(primary_key=True)
    allocation = models.ForeignKey("market.Allocation", models.PROTECT, related_name="+")
    buyer = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    seller = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    delivery_date = models.DateField()
    currency = models.CharField(max_length=3)
    micro_st = models.BigIntegerField()
    unbilled_micros = models.BigIntegerField()
    payable_micros = models.BigIntegerField()
    fee_micros = models.BigIntegerField()
    tax_micros = models.BigIntegerField()
    held_micros = models.BigIntegerField()
    credited_micros = models.BigIntegerField(null=True)
    paid_micros = models.BigIntegerField(default=0)
    frozen_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="contested_parts",
                condition=Q(
                    micro_st__gt=0,
                    unbilled_micros__gte=0,
                    payable_micros__gte=0,
                    fee_micros__gte=0,
                    tax_micros__gte=0,
                    held_micros__gte=0,
                    held_micros__lte=F("payable_micros"),
                ),
            ),
            models.CheckConstraint(
                name="contested_credited",
                condition=Q(settled_at__isnull=True, credited_micros__isnull=True, paid_micros=0)
                | Q(
                    settled_at__isnull=False,
                    credited_micros__isnull=False,
                    paid_micros__gte=0,
                    credited_micros__gte=F("paid_micros"),
                    credited_micros__lte=F("unbilled_micros") + F("payable_micros") + F("fee_micros") + F("tax_micros"),
                ),
            ),
        ]
        indexes = [
            models.Index(fields=["allocation"], name="contested_allocation"),
            models.Index(
                fields=["frozen_at"],
                name="contested_open",
                condition=Q(settled_at__isnull=True) | Q(paid_micros__lt=F("credited_micros")),
            ),
        ]


class NumberSeries(models.Model):
    """The last invoice number of a series; the row is locked while a number is taken."""

    series = models.CharField(max_length=12, primary_key=True)
    last = models.PositiveBigIntegerField(default=0)


class InvoiceFile(models.Model):
    """A finalised invoice's document, stored when it is first asked for and the same ever after."""

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="files")
    kind = models.CharField(max_length=4)
    language = models.CharField(max_length=2)
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    made_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "kind", "language"], name="invoice_file_once")]


class CreditProposal(models.Model):
    """What one member of staff wants to give back of an invoice, until another confirms or rejects it."""

    class State(models.TextChoices):
        PROPOSED = "proposed", "Waits for a second person"
        CONFIRMED = "confirmed", "Confirmed"
        REJECTED = "rejected", "Rejected"

    id = models.UUIDField(primary_key=True, default=ids.new)
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="+")
    # Fen by the number of the line, as text: what the proposer saw and signed.
    amounts = models.JSONField()
    reason = models.CharField(max_length=300)
    state = models.CharField(max_length=9, choices=State, default=State.PROPOSED)
    proposed_by = models.UUIDField()
    proposed_at = models.DateTimeField()
    decided_by = models.UUIDField(null=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credit_two_persons",
                condition=Q(state="proposed", decided_by__isnull=True, decided_at__isnull=True)
                | Q(state="rejected", decided_by__isnull=False, decided_at__isnull=False)
                | (
                    Q(state="confirmed", decided_by__isnull=False, decided_at__isnull=False)
                    & ~Q(decided_by=F("proposed_by"))
                ),
            ),
        ]


class CreditNote(models.Model):
    """Part or all of an invoice given back, in a gapless series of its own. Never changed."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_notes")
    proposal = models.OneToOneField(CreditProposal, models.PROTECT, related_name="note")
    series = models.CharField(max_length=12)
    number = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    net_fen = models.BigIntegerField()
    tax_fen = models.BigIntegerField()
    total_fen = models.BigIntegerField()
    # Where the money went: first what the buyer still owed for the invoice, then the wallet.
    receivable_micros = models.BigIntegerField()
    wallet_micros = models.BigIntegerField()
    issued_at = models.DateTimeField()
    figures = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "number"], name="credit_note_number"),
            models.CheckConstraint(
                name="credit_note_total",
                condition=Q(
                    total_fen=F("net_fen") + F("tax_fen"),
                    total_fen__gt=0,
                    net_fen__gte=0,
                    tax_fen__gte=0,
                    receivable_micros__gte=0,
                    wallet_micros__gte=0,
                    receivable_micros=F("total_fen") * 10_000 - F("wallet_micros"),
                ),
            ),
        ]
        indexes = [models.Index(fields=["organisation", "-issued_at"], name="credit_note_of_organisation")]


class CreditNoteLine(models.Model):
    """What a note gives back of one invoice line."""

    note = models.ForeignKey(CreditNote, models.PROTECT, related_name="lines")
    line = models.ForeignKey(InvoiceLine, models.PROTECT, related_name="credits")
    amount_fen = models.BigIntegerField()
    net_fen = models.BigIntegerField()
    tax_fen = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["note", "line"], name="credit_note_line_once"),
            models.CheckConstraint(
                name="credit_note_line_total",
                condition=Q(amount_fen=F("net_fen") + F("tax_fen"), amount_fen__gt=0, net_fen__gte=0, tax_fen__gte=0),
            ),
        ]


class CreditNoteFile(models.Model):
    """A credit note's document, stored when it is first asked for and the same ever after."""

    note = models.ForeignKey(CreditNote, models.PROTECT, related_name="files")
    kind = models.CharField(max_length=4)
    language = models.CharField(max_length=2)
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    made_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["note", "kind", "language"], name="credit_note_file_once")]


class Export(models.Model):
    """A file that a task makes of many invoices. What it takes is fixed when it is asked for."""

    class Kind(models.TextChoices):
        FILES = "files", "Invoice files"
        LINES = "lines", "Invoice lines"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        READY = "ready", "Ready"
        FAILED = "failed", "Failed"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    # Who asked: a member, or a key.
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=5, choices=Kind)
    format = models.CharField(max_length=4)
    first_date = models.DateField(null=True)
    last_date = models.DateField(null=True)
    # Invoices issued later are not in it, however long it takes.
    up_to = models.UUIDField(null=True)
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    invoices = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    last_id = models.UUIDField(null=True)
    rows = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    content = models.BinaryField(null=True)
    failure = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="export_done", condition=Q(done__lte=F("invoices"))),
            models.CheckConstraint(
                name="export_ready", condition=~Q(state="ready") | Q(content__isnull=False, done=F("invoices"))
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "-created_at"], name="export_of_organisation"),
            models.Index(fields=["created_at"], name="export_waiting", condition=Q(state="waiting")),
        ]


class ExportPart(models.Model):
    """Rows of one batch of invoices, kept so that an interrupted export goes on where it stopped."""

    export = models.ForeignKey(Export, models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    rows = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="export_part_once")]


class TopUp(models.Model):
    """Money that reached a buyer's wallet by bank transfer, recorded by staff."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    amount_micros = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    # The bank's own reference: the same transfer is never credited twice.
    reference = models.CharField(max_length=80, unique=True)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="top_up_positive", condition=Q(amount_micros__gt=0))]
