"""Read-only pages of the staff; keys of engines are on none of them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from providers.models import Deployment, OfferPlan, Pool, PostedOffer, Rating, RatingObservation


class _ReadOnly(ModelAdmin):
    """Rows change by services only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Pool)
class PoolAdmin(_ReadOnly):
    list_display = ["name", "organisation_id", "vendor", "chip", "device_count", "region", "tier"]
    list_filter = ["vendor", "region", "tier"]
    search_fields = ["name", "id"]


@admin.register(Deployment)
class DeploymentAdmin(_ReadOnly):
    list_display = [
        "id",
        "pool",
        "line",
        "served_format",
        "rate_st_per_second",
        "share_bps",
        "private_endpoint",
        "state",
    ]
    list_filter = ["state", "private_endpoint"]


@admin.register(OfferPlan)
class OfferPlanAdmin(_ReadOnly):
    list_display = [
        "id",
        "organisation_id",
        "deployment",
        "grade",
        "kind",
        "discount_bps",
        "floor_micros",
        "state",
        "problem",
    ]
    list_filter = ["state", "kind", "grade"]


@admin.register(PostedOffer)
class PostedOfferAdmin(_ReadOnly):
    list_display = ["id", "plan", "window_start", "quantity_st", "limit_micros", "state", "posted_at"]
    list_filter = ["state"]
    date_hierarchy = "window_start"


@admin.register(Rating)
class RatingAdmin(_ReadOnly):
    list_display = [
        "id",
        "deployment",
        "engine",
        "engine_version",
        "blended_micro",
        "reduced",
        "how",
        "measured_at",
        "expires_at",
    ]
    list_filter = ["engine", "reduced", "how"]
    date_hierarchy = "measured_at"


@admin.register(RatingObservation)
class RatingObservationAdmin(_ReadOnly):
    list_display = ["id", "rating", "requests", "gpu_micro_seconds", "changed", "observed_at"]
    list_filter = ["changed"]
    date_hierarchy = "observed_at"
