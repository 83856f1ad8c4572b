"""What follows a window: charges and credits of allocations, and how each allocation ended. Append-only."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from market.models.catalogue import Market
from market.models.delivery import Allocation


class Charge(models.Model):
    """What a buyer pays, or is given back, beside what was drawn. Billing deals with each once.

    `exact` is in 10⁻¹⁸ yuan and never below zero: whether it is paid (take_or_pay, cancellation) or given back by the
    seller (promise, shortfall) is said by its kind.
    """

    class Kind(models.TextChoices):
        TAKE_OR_PAY = "take_or_pay", "Bought, not drawn"
        CANCELLATION = "cancellation", "Cancellation fee"
        PROMISE = "promise", "Promise not kept"
        SHORTFALL = "shortfall", "Not delivered"

    id = models.BigAutoField(primary_key=True)
    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="charges")
    kind = models.CharField(max_length=12, choices=Kind)
    # Of a shortfall: the request that was not served. Empty for what an allocation has once.
    request_id = models.CharField(max_length=100, default="", blank=True)
    micro_st = models.BigIntegerField()
    price_micros = models.BigIntegerField()
    exact = models.DecimalField(max_digits=38, decimal_places=0)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["allocation", "kind", "request_id"], name="market_charge_once"),
            models.CheckConstraint(
                condition=Q(micro_st__gt=0, price_micros__gte=0, exact__gte=0), name="market_charge_positive"
            ),
            # A fee is rounded to the micro-yuan; everything else is quantity × price.
            models.CheckConstraint(
                condition=Q(kind="cancellation") | Q(exact=F("micro_st") * F("price_micros")),
                name="market_charge_price",
            ),
        ]


class AllocationClose(models.Model):
    """How an allocation ended: from here on it is not drawn, and what it comes to is known."""

    allocation = models.OneToOneField(Allocation, models.PROTECT, primary_key=True, related_name="close")
    # Bought before its window opened: then what was not drawn is paid all the same.
    ahead = models.BooleanField()
    bought_micro_st = models.BigIntegerField()
    drawn_micro_st = models.BigIntegerField()
    short_micro_st = models.BigIntegerField()
    cancelled_micro_st = models.BigIntegerField()
    undrawn_micro_st = models.BigIntegerField()
    closed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    bought_micro_st=F("drawn_micro_st")
                    + F("short_micro_st")
                    + F("cancelled_micro_st")
                    + F("undrawn_micro_st"),
                    drawn_micro_st__gte=0,
                    short_micro_st__gte=0,
                    cancelled_micro_st__gte=0,
                    undrawn_micro_st__gte=0,
                ),
                name="market_close_adds_up",
            ),
        ]


class BuyBack(models.Model):
    """A shortfall whose tokens were looked for once more, in the round after it; without an order none could be placed."""

    charge = models.OneToOneField(Charge, models.PROTECT, primary_key=True, related_name="buy_back")
    order = models.ForeignKey("market.Order", models.PROTECT, null=True, related_name="+", db_index=False)
    created_at = models.DateTimeField()


class Closing(models.Model):
    """How far the windows of a market are closed; who closes holds the row."""

    market = models.OneToOneField(Market, models.PROTECT, primary_key=True, related_name="+")
    # Windows that ended by then were over before this rule held.
    since = models.DateTimeField()
    closed_until = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(closed_until__gte=F("since")), name="market_closing_order")]
