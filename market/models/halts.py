"""Halts of one line or one organisation, beside the market's own."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids
from market.models.catalogue import ModelLine


class Halt(models.Model):
    """While it lasts, its line or its organisation takes no new orders and no part in rounds; cancelling goes on."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    line = models.ForeignKey(ModelLine, models.PROTECT, null=True, blank=True, related_name="halts")
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=500)
    starts_at = models.DateTimeField()
    # Without an end it lasts until somebody lifts it.
    ends_at = models.DateTimeField(null=True, blank=True)
    imposed_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(line__isnull=False, organisation__isnull=True)
                | Q(line__isnull=True, organisation__isnull=False),
                name="market_halt_of_one",
                violation_error_message="Name a line or an organisation, not both.",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
                name="market_halt_span",
                violation_error_message="A halt ends after it starts.",
            ),
        ]


class ProductFault(models.Model):
    """A product that could not be cleared; the rest of the market goes on.

    After three rounds in a row it is parked: it sits rounds out until a person has looked at it.
    """

    product = models.OneToOneField("market.Product", models.PROTECT, primary_key=True, related_name="fault")
    failures = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=500)
    round_number = models.BigIntegerField()
    parked_at = models.DateTimeField(null=True)
