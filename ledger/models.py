"""Accounts, transfers with their entries, and holds with their events.

The triggers in `migrations/0001_initial.py` belong to these tables: they keep
history unchanged, transfers balanced, and the stored totals right.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids
from ledger.kernel.kinds import MOST_MICROS, NORMAL_SIDES, STORED

_CURRENCY = r"^[A-Z]{3}$"
_DEBITS = [kind for kind, side in NORMAL_SIDES.items() if side == "debit"]
_CREDITS = [kind for kind, side in NORMAL_SIDES.items() if side == "credit"]


def _amount(name: str) -> models.CheckConstraint:
    # A direction or a kind gives the sign, so no amount is ever negative or zero.
    return models.CheckConstraint(condition=Q(amount_micros__gt=0, amount_micros__lt=MOST_MICROS), name=name)


class Account(models.Model):
    """One party's money of one kind and currency; no party means the platform.

    `posted_micros` and `held_micros` are kept by triggers, and only where `stored`.
    """

    class Side(models.TextChoices):
        DEBIT = "debit", "Debit"
        CREDIT = "credit", "Credit"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, null=True, related_name="+")
    kind = models.CharField(max_length=20, choices=[(kind, kind) for kind in NORMAL_SIDES])
    currency = models.CharField(max_length=3)
    normal_side = models.CharField(max_length=6, choices=Side)
    stored = models.BooleanField()
    posted_micros = models.BigIntegerField(default=0)
    held_micros = models.BigIntegerField(default=0)
    floor_micros = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "kind", "currency"], nulls_distinct=False, name="ledger_account_once"
            ),
            # No wallet is overdrawn, however many transactions try at once.
            models.CheckConstraint(
                condition=Q(stored=False) | Q(posted_micros__gte=F("floor_micros") + F("held_micros")),
                name="ledger_account_floor",
            ),
            models.CheckConstraint(condition=Q(held_micros__gte=0), name="ledger_account_held"),
            models.CheckConstraint(
                condition=Q(floor_micros__lte=0, floor_micros__gt=-MOST_MICROS), name="ledger_account_credit_limit"
            ),
            models.CheckConstraint(
                condition=Q(posted_micros__gt=-MOST_MICROS, posted_micros__lt=MOST_MICROS, held_micros__lt=MOST_MICROS),
                name="ledger_account_bounds",
            ),
            # The total of any other account is the sum of its entries.
            models.CheckConstraint(
                condition=Q(stored=True) | Q(posted_micros=0, held_micros=0, floor_micros=0),
                name="ledger_account_not_stored",
            ),
            models.CheckConstraint(
                condition=Q(stored=True, kind__in=sorted(STORED))
                | Q(stored=False, kind__in=sorted(NORMAL_SIDES.keys() - STORED)),
                name="ledger_account_kind",
            ),
            models.CheckConstraint(
                condition=Q(normal_side="debit", kind__in=_DEBITS) | Q(normal_side="credit", kind__in=_CREDITS),
                name="ledger_account_side",
            ),
            models.CheckConstraint(condition=Q(currency__regex=_CURRENCY), name="ledger_account_currency"),
        ]


class Transfer(models.Model):
    """Money that moved. Written once, together with its entries, and never changed."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=40)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=500, blank=True)
    content_hash = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key"], name="ledger_transfer_key"),
            models.CheckConstraint(condition=Q(currency__regex=_CURRENCY), name="ledger_transfer_currency"),
            # The hash is taken of lines; a kind with a line break could read as another transfer.
            models.CheckConstraint(condition=Q(kind__regex=r"^[a-z][a-z_]*$"), name="ledger_transfer_kind"),
        ]


class Entry(models.Model):
    """One leg of a transfer. The statement trigger, not a key check for each row, knows its transfer and account."""

    id = models.BigAutoField(primary_key=True)
    transfer = models.ForeignKey(Transfer, models.PROTECT, db_constraint=False, db_index=False, related_name="entries")
    position = models.SmallIntegerField()
    account = models.ForeignKey(Account, models.PROTECT, db_constraint=False, db_index=False, related_name="entries")
    direction = models.CharField(max_length=6, choices=Account.Side)
    amount_micros = models.BigIntegerField()

    class Meta:
        constraints = [
            # Positions run from 0 without gap in each statement, so nobody can add to an old transfer.
            models.UniqueConstraint(fields=["transfer", "position"], name="ledger_entry_position"),
            _amount("ledger_entry_amount"),
            models.CheckConstraint(condition=Q(direction__in=["debit", "credit"]), name="ledger_entry_direction"),
        ]
        # An account's movements in order, and its sum.
        indexes = [models.Index(fields=["account", "id"], name="ledger_entry_of_account")]


class Hold(models.Model):
    """Money set aside in an account. Its rest is kept by the events' trigger; at 0 it is resolved, for good."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    account = models.ForeignKey(Account, models.PROTECT, db_constraint=False, db_index=False, related_name="holds")
    currency = models.CharField(max_length=3)
    parent = models.ForeignKey("self", models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+")
    rest_micros = models.BigIntegerField()
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(rest_micros__gte=0, rest_micros__lt=MOST_MICROS), name="ledger_hold_rest"
            ),
        ]
        # The sweeper's work, oldest first.
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(rest_micros__gt=0, expires_at__isnull=False), name="ledger_hold_due"
            )
        ]


class HoldEvent(models.Model):
    """What happened to a hold. `place` and `increase` add to its rest, all others take from it."""

    class Kind(models.TextChoices):
        PLACE = "place", "Placed"
        INCREASE = "increase", "Increased"
        DECREASE = "decrease", "Decreased"
        SPLIT = "split", "Split"
        POST = "post", "Posted"
        RELEASE = "release", "Released"
        VOID = "void", "Voided"
        EXPIRE = "expire", "Expired"

    id = models.BigAutoField(primary_key=True)
    hold = models.ForeignKey(Hold, models.PROTECT, db_constraint=False, db_index=False, related_name="events")
    kind = models.CharField(max_length=8, choices=Kind)
    amount_micros = models.BigIntegerField()
    # A real foreign key, checked at commit: a hold is posted just before its transfer is written.
    transfer = models.ForeignKey(Transfer, models.PROTECT, null=True, db_index=False, related_name="posted_holds")
    child = models.ForeignKey(Hold, models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+")
    key = models.CharField(max_length=200, null=True)  # noqa: DJ001  (a child's placing is known by its parent's split)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key"], name="ledger_holdevent_key"),
            models.UniqueConstraint(fields=["hold"], condition=Q(kind="place"), name="ledger_holdevent_placed_once"),
            _amount("ledger_holdevent_amount"),
            models.CheckConstraint(
                condition=Q(kind="post", transfer__isnull=False)
                | Q(kind__in=["place", "increase", "decrease", "split", "release", "void", "expire"])
                & Q(transfer__isnull=True),
                name="ledger_holdevent_transfer",
            ),
            models.CheckConstraint(
                condition=Q(kind="split", child__isnull=False) | ~Q(kind="split") & Q(child__isnull=True),
                name="ledger_holdevent_child",
            ),
            models.CheckConstraint(condition=Q(key__isnull=False) | Q(kind="place"), name="ledger_holdevent_has_key"),
        ]
        indexes = [
            # With `placed_once` each event stands in exactly one index of its hold.
            models.Index(fields=["hold"], condition=~Q(kind="place"), name="ledger_holdevent_of_hold"),
            models.Index(fields=["transfer"], condition=Q(kind="post"), name="ledger_holdevent_of_transfer"),
        ]
