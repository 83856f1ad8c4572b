"""What a flexible bid accepts: several products with a limit each, some cells only, or nothing below a minimum."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from market.models.catalogue import Product
from market.models.orders import MAX_PRICE_MICROS, MAX_QUANTITY_ST, Order


class OrderChoice(models.Model):
    """One of several products that a bid accepts, and its limit there; the order's own limit is the highest of them."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="choices", db_index=False)
    product = models.ForeignKey(Product, models.PROTECT, related_name="+")
    limit_micros = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="market_choice_once"),
            models.CheckConstraint(
                condition=Q(limit_micros__gt=0, limit_micros__lte=MAX_PRICE_MICROS), name="market_choice_limit"
            ),
        ]


class OrderScope(models.Model):
    """What a bid asks beside its products. An empty list takes all, but for data terms; a minimum of 0 any quantity.

    Filters are kept as filters: which cells they let in is seen at each freeze.
    """

    order = models.OneToOneField(Order, models.PROTECT, primary_key=True, related_name="scope")
    vendors = ArrayField(models.CharField(max_length=40), default=list)
    regions = ArrayField(models.CharField(max_length=40), default=list)
    tiers = ArrayField(models.CharField(max_length=20), default=list)
    minimum_st = models.BigIntegerField(default=0)
    data_terms = ArrayField(models.CharField(max_length=100))

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(data_terms__len__gt=0), name="market_scope_data_terms"),
            models.CheckConstraint(
                condition=Q(minimum_st__gte=0, minimum_st__lte=MAX_QUANTITY_ST), name="market_scope_minimum"
            ),
        ]
