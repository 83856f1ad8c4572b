"""Orders, the capacity behind sell orders, and the book of what is still open."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids
from market.models.catalogue import Cell, Market, Product

# Above these an order is a slip, and limit × quantity would not fit a ledger amount.
MAX_PRICE_MICROS = 10**12
MAX_QUANTITY_ST = 10**15


class Supply(models.Model):
    """Capacity that a provider declared for one deployment in one cell; sell orders stand on it."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    pool_id = models.UUIDField()
    exclusive_group = models.UUIDField()
    deployment_id = models.UUIDField()
    cell = models.ForeignKey(Cell, models.PROTECT, related_name="supplies")
    window_start = models.DateTimeField()
    rate_st_per_second = models.BigIntegerField()
    offered_st = models.BigIntegerField()
    sold_st = models.BigIntegerField(default=0)
    # What the sold part takes of the rate when drawn evenly until the window ends.
    due_micro_st_per_second = models.BigIntegerField(default=0)
    declared_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(sold_st__gte=0), name="market_supply_sold_positive"),
            models.CheckConstraint(condition=Q(sold_st__lte=F("offered_st")), name="market_supply_not_oversold"),
            models.CheckConstraint(
                condition=Q(offered_st__gt=0, offered_st__lte=MAX_QUANTITY_ST, rate_st_per_second__gt=0),
                name="market_supply_bounds",
            ),
        ]
        indexes = [
            # The freeze asks which deployment of a group has sold in a window.
            models.Index(fields=["exclusive_group", "window_start"], name="market_supply_group"),
        ]


class Order(models.Model):
    """What was asked, never changed (trigger). What is left of it stands in the book."""

    class Side(models.IntegerChoices):
        BUY = 0
        SELL = 1

    class TimeInForce(models.TextChoices):
        IOC = "ioc"
        GTT = "gtt"
        GTC = "gtc"

    id = models.UUIDField(primary_key=True, default=ids.new)
    market = models.ForeignKey(Market, models.PROTECT, related_name="+")
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    product = models.ForeignKey(Product, models.PROTECT, related_name="orders")
    cell = models.ForeignKey(Cell, models.PROTECT, null=True, related_name="+")
    supply = models.ForeignKey(Supply, models.PROTECT, null=True, related_name="+")
    side = models.PositiveSmallIntegerField(choices=Side)
    quantity_st = models.BigIntegerField()
    limit_micros = models.BigIntegerField()
    time_in_force = models.CharField(max_length=3, choices=TimeInForce)
    expires_at = models.DateTimeField()
    client_order_id = models.CharField(max_length=100, null=True)  # noqa: DJ001  (absent is not an empty name)
    hold = models.ForeignKey("ledger.Hold", models.PROTECT, null=True, related_name="+")
    sequence = models.BigIntegerField(
        db_default=models.Func(
            models.Value("market_order_sequence"), function="nextval", output_field=models.BigIntegerField()
        )
    )
    cohort = models.BigIntegerField()
    placed_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "client_order_id"],
                name="market_client_order_id_once",
                condition=Q(client_order_id__isnull=False),
            ),
            models.CheckConstraint(
                condition=Q(quantity_st__gt=0, quantity_st__lte=MAX_QUANTITY_ST), name="market_order_quantity"
            ),
            models.CheckConstraint(
                condition=Q(limit_micros__gt=0, limit_micros__lte=MAX_PRICE_MICROS), name="market_order_limit"
            ),
            # Money stands behind a bid, capacity behind an offer.
            models.CheckConstraint(
                condition=Q(side=0, hold__isnull=False, cell__isnull=True, supply__isnull=True)
                | Q(side=1, hold__isnull=True, cell__isnull=False, supply__isnull=False),
                name="market_order_backed",
            ),
        ]
        indexes = [models.Index(fields=["organisation", "-id"], name="market_order_by_organisation")]


class Book(models.Model):
    """What is open, one narrow row an order; emptied into `OrderEnd`.

    Ids repeated from the order keep the freeze free of joins. Their foreign keys
    are checked once, on the order itself.
    """

    order = models.OneToOneField(Order, models.PROTECT, primary_key=True, related_name="book")
    market_id = models.UUIDField()
    product = models.ForeignKey(Product, models.PROTECT, db_constraint=False, related_name="book")
    organisation_id = models.UUIDField()
    side = models.PositiveSmallIntegerField(choices=Order.Side)
    limit_micros = models.BigIntegerField()
    quantity_left_st = models.BigIntegerField()
    cohort = models.BigIntegerField()
    sequence = models.BigIntegerField()
    next_round_only = models.BooleanField()
    expires_at = models.DateTimeField()
    hold_id = models.UUIDField(null=True)
    supply_id = models.UUIDField(null=True)
    cell_id = models.UUIDField(null=True)
    # Why what the running round leaves of it ends: it was cancelled, or ran out, after that round's cut-off.
    ending = models.CharField(max_length=10, null=True)  # noqa: DJ001  (nothing was asked)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(quantity_left_st__gt=0), name="market_book_left_positive"),
            models.CheckConstraint(
                condition=Q(ending__isnull=True) | Q(ending__in=["cancelled", "expired"]), name="market_book_ending"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation_id", "product"], name="market_book_by_organisation"),
            models.Index(fields=["expires_at"], name="market_book_by_expiry"),
            models.Index(fields=["supply_id"], name="market_book_by_supply", condition=Q(supply_id__isnull=False)),
            models.Index(fields=["market_id"], name="market_book_to_end", condition=Q(ending__isnull=False)),
        ]


class Amendment(models.Model):
    """What an order asks from now on; the newest row holds. Never changed, and put into the book (triggers)."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="amendments", db_index=False)
    # The round that was open: this row holds from it on.
    round_number = models.BigIntegerField()
    quantity_st = models.BigIntegerField()
    limit_micros = models.BigIntegerField()
    expires_at = models.DateTimeField()
    cohort = models.BigIntegerField()
    amended_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(quantity_st__gt=0, quantity_st__lte=MAX_QUANTITY_ST), name="market_amendment_quantity"
            ),
            models.CheckConstraint(
                condition=Q(limit_micros__gt=0, limit_micros__lte=MAX_PRICE_MICROS), name="market_amendment_limit"
            ),
        ]
        indexes = [models.Index(fields=["order", "-id"], name="market_amendment_newest")]


class OrderEnd(models.Model):
    """How an order ended, once. Its row comes out of the book, whose key was checked; a round ends thousands."""

    class Reason(models.TextChoices):
        FILLED = "filled"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        REFUSED = "refused"

    order = models.OneToOneField(Order, models.PROTECT, primary_key=True, db_constraint=False, related_name="end")
    reason = models.CharField(max_length=10, choices=Reason)
    unfilled_st = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(reason="filled", unfilled_st=0) | (~Q(reason="filled") & Q(unfilled_st__gt=0)),
                name="market_end_says_the_rest",
            ),
        ]


class CancelAfter(models.Model):
    """A dead man's switch: when it fires, an organisation's open orders are cancelled. No row, no switch."""

    market = models.ForeignKey(Market, models.PROTECT, related_name="+", db_index=False)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    fires_at = models.DateTimeField()
    set_by = models.UUIDField(null=True)
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["market", "organisation"], name="market_cancel_after_once"),
            models.CheckConstraint(condition=Q(fires_at__gt=F("set_at")), name="market_cancel_after_later"),
        ]
