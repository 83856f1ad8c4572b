"""What is traded: markets, model lines, grades, products and cells."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Mod
from django.db.models.lookups import Exact

from accounts.kernel import ids

MILLION = 10**6


class Grade(models.TextChoices):
    REALTIME = "realtime"
    INTERACTIVE = "interactive"
    BATCH = "batch"


class Market(models.Model):
    """One operator, one currency, one rule set; its rounds are numbered without gaps."""

    class State(models.TextChoices):
        OPEN = "open"
        HALTED = "halted"
        PARKED = "parked"

    class Settlement(models.TextChoices):
        PRINCIPAL = "principal"
        AGENT = "agent"

    id = models.UUIDField(primary_key=True, default=ids.new)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    operator = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    tick_seconds = models.PositiveSmallIntegerField(default=5)
    fee_bps = models.PositiveIntegerField(default=0)
    # Of price × quantity, to the seller, for an allocation that is given up before its window opens.
    cancel_fee_bps = models.PositiveIntegerField(default=2_000)
    # Of the price, from the seller to the buyer, for what was asked for at the due rate and not delivered.
    shortfall_bps = models.PositiveIntegerField(default=10_000)
    settlement_mode = models.CharField(max_length=10, choices=Settlement, default=Settlement.PRINCIPAL)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    state_reason = models.CharField(max_length=500, blank=True, default="")
    failures = models.PositiveSmallIntegerField(default=0)
    # Number of the next round to be cleared; its seed stays secret until then.
    round_number = models.BigIntegerField(default=1)
    seed = models.BinaryField(max_length=32)
    # While a round is being cleared: its number, and the seed of the next one, which collects orders by then.
    frozen_round = models.BigIntegerField(null=True)
    next_seed = models.BinaryField(max_length=32, null=True)
    next_close_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            # One market a currency: money of two markets never meets, and an order need not name its market.
            models.UniqueConstraint(fields=["currency"], name="market_currency_once"),
            models.CheckConstraint(condition=Q(tick_seconds__gte=1), name="market_tick_positive"),
            models.CheckConstraint(condition=Q(fee_bps__lt=10_000), name="market_fee_below_all"),
            models.CheckConstraint(condition=Q(cancel_fee_bps__lte=10_000), name="market_cancel_fee_at_most_all"),
            models.CheckConstraint(
                condition=Q(frozen_round__isnull=True, next_seed__isnull=True)
                | Q(frozen_round=F("round_number"), next_seed__isnull=False),
                name="market_frozen_round_is_next",
            ),
        ]


class GradeTerms(models.Model):
    """Tick and lot of one grade of service."""

    market = models.ForeignKey(Market, models.PROTECT, related_name="terms")
    grade = models.CharField(max_length=12, choices=Grade)
    tick_micros = models.BigIntegerField(default=10_000)
    lot_st = models.BigIntegerField(default=1_000)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["market", "grade"], name="market_terms_once"),
            models.CheckConstraint(condition=Q(tick_micros__gt=0, lot_st__gt=0), name="market_terms_positive"),
            # Then limit × quantity is always whole micro-yuan, and holds need no rounding.
            models.CheckConstraint(
                condition=Exact(Mod(F("tick_micros") * F("lot_st"), MILLION, output_field=models.BigIntegerField()), 0),
                name="market_terms_whole_holds",
            ),
        ]


class ModelLine(models.Model):
    """A model that can be bought, with the card that counts its standard tokens."""

    class State(models.TextChoices):
        ACTIVE = "active"
        RETIRED = "retired"

    id = models.UUIDField(primary_key=True, default=ids.new)
    slug = models.SlugField(unique=True, max_length=80)
    publisher = models.CharField(max_length=100)
    model = models.CharField(max_length=200)
    display_name = models.CharField(max_length=200)
    card_name = models.CharField(max_length=100)
    card_format = models.CharField(max_length=20)
    card_digest = models.CharField(max_length=64)
    context_limit = models.PositiveIntegerField()
    reference_context = models.PositiveIntegerField()
    tokenizer = models.CharField(max_length=100)
    provisional = models.BooleanField(default=False)
    # A private line is seen by its owner only.
    owner = models.ForeignKey("accounts.Organisation", models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(reference_context__gt=0) & Q(reference_context__lte=F("context_limit")),
                name="market_line_reference_fits",
            ),
        ]


class ListPrice(models.Model):
    """A published price of a line and grade, with the day it counts from and where it is published."""

    line = models.ForeignKey(ModelLine, models.PROTECT, related_name="list_prices")
    grade = models.CharField(max_length=12, choices=Grade)
    price_micros = models.BigIntegerField()
    valid_from = models.DateField()
    source = models.CharField(max_length=300)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line", "grade", "valid_from"], name="market_list_price_once"),
            models.CheckConstraint(condition=Q(price_micros__gt=0), name="market_list_price_positive"),
        ]


class Product(models.Model):
    """Line × grade × one clock hour: what has a price."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    market = models.ForeignKey(Market, models.PROTECT, related_name="products")
    line = models.ForeignKey(ModelLine, models.PROTECT, related_name="products")
    grade = models.CharField(max_length=12, choices=Grade)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["market", "line", "grade", "window_start"], name="market_product_once"),
            models.CheckConstraint(condition=Q(window_end__gt=F("window_start")), name="market_product_window"),
        ]
        # Windows are closed in order of their end.
        indexes = [models.Index(fields=["market", "window_end"], name="market_product_by_end")]


class Cell(models.Model):
    """Product × region × tier × vendor × data terms: where an offer stands. Made by its first offer."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    product = models.ForeignKey(Product, models.PROTECT, related_name="cells")
    region = models.CharField(max_length=40)
    tier = models.CharField(max_length=20)
    vendor = models.CharField(max_length=40)
    data_terms = models.CharField(max_length=100)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["product", "region", "tier", "vendor", "data_terms"], name="market_cell_once"
            ),
        ]
