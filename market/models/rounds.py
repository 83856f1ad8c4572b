"""Rounds, their prices and fills, and the frames of the live feed."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids
from market.models.catalogue import Cell, Market, Product
from market.models.orders import Order


class Round(models.Model):
    """One auction of a whole market: open, frozen, cleared; after that nothing of it changes (trigger).

    The seed is shown only once the root of the frozen orders stands, and must match its commitment (trigger). A round
    whose clearer was lost, or that a halt sent back, is frozen again under a higher `fence`, and only who froze it last
    may write what it came to.
    """

    class State(models.TextChoices):
        OPEN = "open"
        FROZEN = "frozen"
        CLEARED = "cleared"

    id = models.UUIDField(primary_key=True, default=ids.new)
    market = models.ForeignKey(Market, models.PROTECT, related_name="rounds")
    number = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    seed_commitment = models.BinaryField(max_length=32)
    seed = models.BinaryField(max_length=32, null=True)
    root = models.BinaryField(max_length=32, null=True)
    cutoff_sequence = models.BigIntegerField(null=True)
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    cleared_at = models.DateTimeField(null=True)
    orders = models.PositiveIntegerField(default=0)
    products = models.PositiveIntegerField(default=0)
    fills = models.PositiveIntegerField(default=0)
    volume_st = models.BigIntegerField(default=0)
    engine_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            # The fence: two workers cannot both write round n.
            models.UniqueConstraint(fields=["market", "number"], name="market_round_once"),
            models.CheckConstraint(
                condition=Q(state="open", seed__isnull=True, root__isnull=True, closed_at__isnull=True)
                | Q(state="frozen", seed__isnull=True, root__isnull=False, closed_at__isnull=False)
                | Q(state="cleared", seed__isnull=False, root__isnull=False, closed_at__isnull=False),
                name="market_round_seed_after_root",
            ),
        ]


class ComponentTask(models.Model):
    """A large component of a round that is being cleared, for whichever worker takes it; gone once the round stands."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="+")
    fence = models.PositiveIntegerField()
    # The products, hashed: a component that ended its worker is known again when its round is frozen anew.
    subject = models.BinaryField(max_length=32)
    orders = models.PositiveIntegerField()
    component = models.BinaryField()
    outcome = models.BinaryField(null=True)
    failure = models.CharField(max_length=500, blank=True, default="")
    tries = models.PositiveSmallIntegerField(default=0)
    taken_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["round", "fence", "subject"], name="market_component_once"),
        ]


class RoundPrice(models.Model):
    """What a round said of a product that had orders on both sides; no trade, no price."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="prices")
    number = models.BigIntegerField()
    product = models.ForeignKey(Product, models.PROTECT, related_name="prices")
    price_micros = models.BigIntegerField(null=True)
    low_micros = models.BigIntegerField(null=True)
    high_micros = models.BigIntegerField(null=True)
    volume_st = models.BigIntegerField()
    # micro-yuan × 10⁶: sum of (bid limit − offer limit) × fill, on the clipped book.
    welfare = models.DecimalField(max_digits=38, decimal_places=0)
    indicative_micros = models.BigIntegerField(null=True)
    collar_low_micros = models.BigIntegerField(null=True)
    collar_high_micros = models.BigIntegerField(null=True)
    collar_hit = models.BooleanField(default=False)
    collar_bps = models.PositiveIntegerField()
    collar_hits = models.PositiveSmallIntegerField()
    bids = models.PositiveIntegerField()
    offers = models.PositiveIntegerField()
    curve = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["round", "product"], name="market_round_price_once"),
            models.CheckConstraint(
                condition=Q(volume_st=0, price_micros__isnull=True) | Q(volume_st__gt=0, price_micros__isnull=False),
                name="market_no_trade_no_price",
            ),
        ]
        indexes = [
            # The reference price reads the last rounds that traded.
            models.Index(fields=["product", "-number"], name="market_price_traded", condition=Q(volume_st__gt=0)),
            models.Index(fields=["product", "-number"], name="market_price_latest"),
        ]


class CellPrice(models.Model):
    """What one cell traded at in a round in which bids told the cells of its product apart."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="cell_prices")
    product = models.ForeignKey(Product, models.PROTECT, related_name="+", db_index=False)
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="+", db_index=False)
    price_micros = models.BigIntegerField()
    low_micros = models.BigIntegerField()
    high_micros = models.BigIntegerField()
    volume_st = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["round", "cell"], name="market_cell_price_once"),
            models.CheckConstraint(
                condition=Q(volume_st__gt=0, price_micros__gte=F("low_micros"), price_micros__lte=F("high_micros")),
                name="market_cell_price_inside",
            ),
        ]


class Certificate(models.Model):
    """What a round that traded prints for strangers to check, as compressed JSON; see docs/market-rules.md."""

    round = models.OneToOneField(Round, models.PROTECT, primary_key=True, related_name="certificate")
    body = models.BinaryField()


class Fill(models.Model):
    """One side of a trade: this much of an order, in this cell, at the round's price. Append-only.

    Ids are checked by the statement trigger, all rows at once, instead of row by
    row: a round writes many thousands in one COPY.
    """

    id = models.BigAutoField(primary_key=True)
    round = models.ForeignKey(Round, models.PROTECT, db_constraint=False, db_index=False, related_name="filled")
    order = models.ForeignKey(Order, models.PROTECT, db_constraint=False, db_index=False, related_name="fills")
    cell = models.ForeignKey(Cell, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    side = models.PositiveSmallIntegerField(choices=Order.Side)
    quantity_st = models.BigIntegerField()
    price_micros = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "round", "cell"], name="market_fill_once"),
            models.CheckConstraint(condition=Q(quantity_st__gt=0, price_micros__gt=0), name="market_fill_positive"),
        ]


class FeedFrame(models.Model):
    """One message of the live feed, written in the transaction of its round and pruned after an hour."""

    market = models.ForeignKey(Market, models.PROTECT, related_name="+", db_index=False)
    sequence = models.BigIntegerField()
    previous = models.BigIntegerField()
    payload = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["market", "sequence"], name="market_frame_once")]
