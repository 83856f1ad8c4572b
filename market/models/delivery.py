"""What was bought: allocations, what is drawn of them, and reservations of running requests."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids
from market.models.catalogue import Cell, Product
from market.models.orders import Order
from market.models.rounds import Round


class Allocation(models.Model):
    """This buyer may draw so many ST from this deployment in this window at this price. Append-only.

    Its hold has the same id, so that neither needs the other to be made first.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    round = models.ForeignKey(Round, models.PROTECT, db_constraint=False, db_index=False, related_name="allocations")
    product = models.ForeignKey(Product, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    cell = models.ForeignKey(Cell, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    buyer = models.ForeignKey(
        "accounts.Organisation", models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    seller = models.ForeignKey(
        "accounts.Organisation", models.PROTECT, db_constraint=False, related_name="+", db_index=False
    )
    buy_order = models.ForeignKey(Order, models.PROTECT, db_constraint=False, db_index=False, related_name="bought")
    sell_order = models.ForeignKey(Order, models.PROTECT, db_constraint=False, db_index=False, related_name="sold")
    deployment_id = models.UUIDField()
    pool_id = models.UUIDField()
    quantity_st = models.BigIntegerField()
    price_micros = models.BigIntegerField()
    hold = models.ForeignKey("ledger.Hold", models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    round_number = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(quantity_st__gt=0, price_micros__gt=0), name="market_allocation_positive"
            ),
        ]
        indexes = [
            models.Index(fields=["buyer", "product", "round_number"], name="market_allocation_by_buyer"),
            models.Index(fields=["seller", "product"], name="market_allocation_by_seller"),
        ]


class AllocationUse(models.Model):
    """What of an allocation is drawn and reserved, and what can no longer be; made when first needed."""

    allocation = models.OneToOneField(Allocation, models.PROTECT, primary_key=True, related_name="use")
    bought_micro_st = models.BigIntegerField()
    reserved_micro_st = models.BigIntegerField(default=0)
    drawn_micro_st = models.BigIntegerField(default=0)
    # Asked for in time and not delivered.
    short_micro_st = models.BigIntegerField(default=0)
    # Given up: undrawn when the window was over, or cancelled before it opened.
    ended_micro_st = models.BigIntegerField(default=0)
    cancelled_at = models.DateTimeField(null=True)
    # Requests that were judged against the grade's promise, and those of them that kept it.
    judged = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kept__lte=F("judged")), name="market_use_kept_are_judged"),
            models.CheckConstraint(
                condition=Q(
                    reserved_micro_st__gte=0, drawn_micro_st__gte=0, short_micro_st__gte=0, ended_micro_st__gte=0
                ),
                name="market_use_positive",
            ),
            models.CheckConstraint(
                condition=Q(
                    bought_micro_st__gte=F("reserved_micro_st")
                    + F("drawn_micro_st")
                    + F("short_micro_st")
                    + F("ended_micro_st")
                ),
                name="market_use_within_bought",
            ),
        ]

    @property
    def left_micro_st(self) -> int:
        """What can still be reserved."""
        return (
            self.bought_micro_st
            - self.reserved_micro_st
            - self.drawn_micro_st
            - self.short_micro_st
            - self.ended_micro_st
        )


class Reservation(models.Model):
    """The worst case of one running request, set aside until it is counted."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=ids.new)
    request_id = models.CharField(max_length=100, unique=True)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="market_reservation_open", condition=Q(state="open"))]


class ReservationPart(models.Model):
    """What a reservation takes of one allocation, and what was used of that."""

    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="parts")
    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()
    micro_st = models.BigIntegerField()
    used_micro_st = models.BigIntegerField(default=0)
    # For the draw rate: when it was taken, what still counts of it, and whether its request runs.
    at = models.DateTimeField(null=True)
    counted_micro_st = models.BigIntegerField(default=0)
    running = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["reservation", "allocation"], name="market_reservation_part_once"),
            models.CheckConstraint(
                condition=Q(micro_st__gt=0, used_micro_st__gte=0) & Q(used_micro_st__lte=F("micro_st")),
                name="market_reservation_part_bounds",
            ),
        ]
        indexes = [
            models.Index(
                fields=["allocation", "at"], include=["counted_micro_st"], name="market_reservation_part_pace"
            ),
            models.Index(fields=["allocation"], name="market_reservation_part_runs", condition=Q(running=True)),
        ]
