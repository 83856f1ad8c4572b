"""Shapes of pools, deployments and offers in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.http.serializers import StrictSerializer
from accounts.kernel import ids
from market.kernel.text import price_text
from providers.api.rating_shapes import StandingSerializer, standing
from providers.kernel.days import Kind
from providers.kernel.schedule import Calendar, Hours, Once, Schedule, Weekly
from providers.kernel.vocabulary import DATA_TERMS, REGIONS, VENDORS
from providers.selectors import DeploymentView, PlanView, PoolView, Standing
from providers.services.offers import OfferPreview

_SCHEDULE_FIELDS = {
    "weekly": {"weekdays", "from_hour", "to_hour"},
    "calendar": {"workday_hours", "restday_hours"},
    "once": {"window_start"},
}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class PoolInSerializer(StrictSerializer):
    """A pool to register."""

    name = serializers.CharField(max_length=80)
    vendor = serializers.ChoiceField(choices=VENDORS)
    chip = serializers.CharField(max_length=60)
    device_count = serializers.IntegerField(min_value=1, max_value=1_000_000)
    region = serializers.ChoiceField(choices=REGIONS)
    data_terms = serializers.ChoiceField(choices=DATA_TERMS, default="no-retention")


class PoolSerializer(serializers.Serializer):
    """A pool."""

    id = serializers.CharField()
    name = serializers.CharField()
    vendor = serializers.CharField()
    chip = serializers.CharField()
    device_count = serializers.IntegerField()
    region = serializers.CharField()
    data_terms = serializers.CharField()
    tier = serializers.CharField()
    created_at = serializers.DateTimeField()


class DeploymentInSerializer(StrictSerializer):
    """A deployment to register. `endpoint_url` is https and public, without `/v1`; `api_key` is never given back."""

    pool = serializers.CharField()
    line = serializers.CharField(max_length=80)
    served_format = serializers.CharField(max_length=20)
    endpoint_url = serializers.CharField(max_length=300)
    rate_st_per_second = serializers.IntegerField(min_value=1, max_value=10**9)
    share_bps = serializers.IntegerField(min_value=1, max_value=10_000, default=10_000)
    engine_model = serializers.CharField(max_length=200, default="", allow_blank=True)
    api_key = serializers.CharField(max_length=400, default="", allow_blank=True, write_only=True)


class DeploymentSerializer(serializers.Serializer):
    """A deployment. `card` is the digest of the card that counts its line's standard tokens.

    `rate_supported` is false where the declared rate lies above what its rating allows, null where none stands.
    """

    id = serializers.CharField()
    pool = serializers.CharField()
    line = serializers.CharField()
    card = serializers.CharField()
    served_format = serializers.CharField()
    engine_model = serializers.CharField()
    endpoint_url = serializers.CharField()
    rate_st_per_second = serializers.IntegerField()
    rate_supported = serializers.BooleanField(allow_null=True)
    rating = StandingSerializer()
    share_bps = serializers.IntegerField()
    state = serializers.CharField()
    created_at = serializers.DateTimeField()


class HoursInSerializer(StrictSerializer):
    """Hours of a day on the clock of UTC+08:00; where `to_hour` is not after `from_hour` they run over midnight."""

    from_hour = serializers.IntegerField(min_value=0, max_value=23)
    to_hour = serializers.IntegerField(min_value=1, max_value=24)


class OfferInSerializer(StrictSerializer):
    """An offer, on the clock of UTC+08:00.

    Weekly: `weekdays`, `from_hour`, `to_hour`. Calendar: `workday_hours` of working days, make-up days (调休)
    included, `restday_hours` of weekends and Chinese public holidays, or both. Once: `window_start`.
    """

    deployment = serializers.CharField()
    grade = serializers.CharField(max_length=12)
    kind = serializers.ChoiceField(choices=["weekly", "calendar", "once"])
    weekdays = serializers.ListField(child=serializers.ChoiceField(choices=DAYS), required=False, max_length=7)
    from_hour = serializers.IntegerField(min_value=0, max_value=23, required=False)
    to_hour = serializers.IntegerField(min_value=1, max_value=24, required=False)
    workday_hours = HoursInSerializer(required=False, allow_null=True)
    restday_hours = HoursInSerializer(required=False, allow_null=True)
    window_start = serializers.DateTimeField(required=False)
    discount_bps = serializers.IntegerField(min_value=0, max_value=9_999)
    floor_per_million = serializers.RegexField(r"\A[0-9]{1,7}(\.[0-9]{1,6})?\Z", help_text="yuan per million ST")
    share_bps = serializers.IntegerField(min_value=1, max_value=10_000, default=10_000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask for what the kind needs, and for nothing of the other."""
        kind = attrs["kind"]
        needed = set() if kind == "calendar" else _SCHEDULE_FIELDS[kind]
        foreign = set().union(*_SCHEDULE_FIELDS.values()) - _SCHEDULE_FIELDS[kind]
        wrong = {name: ["This field is required."] for name in needed if name not in attrs}
        wrong |= {name: ["This field belongs to another kind."] for name in foreign if name in attrs}
        if wrong:
            raise serializers.ValidationError(wrong)
        return attrs


class HoursSerializer(serializers.Serializer):
    """Hours of a day, on the clock of UTC+08:00."""

    from_hour = serializers.IntegerField()
    to_hour = serializers.IntegerField()


class PostedSerializer(serializers.Serializer):
    """One window of an offer that stands, or stood, in the market."""

    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    order = serializers.CharField()
    limit_per_million = serializers.CharField()
    list_price_per_million = serializers.CharField(allow_null=True)
    quantity_st = serializers.CharField()
    sold_st = serializers.CharField()
    state = serializers.CharField()


class OfferSerializer(serializers.Serializer):
    """An offer; `offered_st` and `sold_st` sum the windows of the last 7 days and those ahead, which `posted` lists."""

    id = serializers.CharField()
    deployment = serializers.CharField()
    line = serializers.CharField()
    grade = serializers.CharField()
    kind = serializers.CharField()
    weekdays = serializers.ListField(child=serializers.CharField(), allow_null=True)
    from_hour = serializers.IntegerField(allow_null=True)
    to_hour = serializers.IntegerField(allow_null=True)
    workday_hours = HoursSerializer(allow_null=True)
    restday_hours = HoursSerializer(allow_null=True)
    window_start = serializers.DateTimeField(allow_null=True)
    discount_bps = serializers.IntegerField()
    floor_per_million = serializers.CharField()
    share_bps = serializers.IntegerField()
    state = serializers.CharField()
    problem = serializers.CharField(allow_null=True)
    offered_st = serializers.CharField()
    sold_st = serializers.CharField()
    created_at = serializers.DateTimeField()
    posted = PostedSerializer(many=True)


class WindowPreviewSerializer(serializers.Serializer):
    """What would be posted in one window.

    `day` is the kind of the day it lies on; where `day_published` is false the official calendar of its year is not
    known yet, and `day` follows from the weekday alone.
    """

    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    limit_per_million = serializers.CharField()
    list_price_per_million = serializers.CharField(allow_null=True)
    quantity_st = serializers.CharField()
    capacity_st = serializers.CharField()
    day = serializers.ChoiceField(choices=[kind.value for kind in Kind])
    day_published = serializers.BooleanField()


class OfferPreviewSerializer(serializers.Serializer):
    """What an offer would post now; `least` is in yuan, if all of it sold at its limit."""

    windows = WindowPreviewSerializer(many=True)
    quantity_st = serializers.CharField()
    least = serializers.CharField()


class PoolListSerializer(serializers.Serializer):
    """All pools; there is no further page."""

    data = PoolSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class DeploymentListSerializer(serializers.Serializer):
    """All deployments; there is no further page."""

    data = DeploymentSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class OfferListSerializer(serializers.Serializer):
    """All offers; there is no further page."""

    data = OfferSerializer(many=True)
    next = serializers.CharField(allow_null=True)


def yuan(micros: int | None) -> str | None:
    """Micro-yuan as a plain decimal; None stays None."""
    return None if micros is None else price_text(micros)


def schedule(data: dict[str, Any]) -> Schedule:
    """The schedule of a checked offer."""
    if data["kind"] == "once":
        return Once(data["window_start"])
    if data["kind"] == "calendar":
        return Calendar(_hours_in(data.get("workday_hours")), _hours_in(data.get("restday_hours")))
    return Weekly(frozenset(map(DAYS.index, data["weekdays"])), data["from_hour"], data["to_hour"])


def _hours_in(data: dict[str, int] | None) -> Hours | None:
    return None if data is None else Hours(data["from_hour"], data["to_hour"])


def _hours(hours: Hours | None) -> dict[str, int] | None:
    return None if hours is None else {"from_hour": hours.from_hour, "to_hour": hours.to_hour}


def pool(view: PoolView) -> dict[str, Any]:
    """A pool as JSON."""
    fields = ("name", "vendor", "chip", "device_count", "region", "data_terms", "tier", "created_at")
    return {"id": ids.encode("pol", view.id), **{name: getattr(view, name) for name in fields}}


def deployment(view: DeploymentView, found: Standing) -> dict[str, Any]:
    """A deployment as JSON."""
    fields = (
        "line",
        "served_format",
        "engine_model",
        "endpoint_url",
        "rate_st_per_second",
        "share_bps",
        "state",
        "created_at",
    )
    return {
        "id": ids.encode("dep", view.id),
        "pool": ids.encode("pol", view.pool_id),
        "card": view.card_digest,
        "rate_supported": found.supported,
        "rating": standing(view, found),
        **{name: getattr(view, name) for name in fields},
    }


def offer(view: PlanView) -> dict[str, Any]:
    """An offer as JSON."""
    weekly = view.schedule if isinstance(view.schedule, Weekly) else None
    calendar = view.schedule if isinstance(view.schedule, Calendar) else None
    return {
        "id": ids.encode("off", view.id),
        "deployment": ids.encode("dep", view.deployment_id),
        "line": view.line,
        "grade": view.grade,
        "kind": view.kind,
        "weekdays": [DAYS[day] for day in sorted(weekly.weekdays)] if weekly else None,
        "from_hour": weekly.from_hour if weekly else None,
        "to_hour": weekly.to_hour if weekly else None,
        "workday_hours": _hours(calendar.workday) if calendar else None,
        "restday_hours": _hours(calendar.restday) if calendar else None,
        "window_start": view.schedule.window_start if isinstance(view.schedule, Once) else None,
        "discount_bps": view.discount_bps,
        "floor_per_million": yuan(view.floor_micros),
        "share_bps": view.share_bps,
        "state": view.state,
        "problem": view.problem or None,
        "offered_st": str(view.offered_st),
        "sold_st": str(view.sold_st),
        "created_at": view.created_at,
        "posted": [
            {
                "window_start": one.window_start,
                "window_end": one.window_end,
                "order": ids.encode("ord", one.order_id),
                "limit_per_million": yuan(one.limit_micros),
                "list_price_per_million": yuan(one.list_price_micros),
                "quantity_st": str(one.quantity_st),
                "sold_st": str(one.sold_st),
                "state": one.state,
            }
            for one in view.posted
        ],
    }


def preview(found: OfferPreview) -> dict[str, Any]:
    """A preview as JSON."""
    return {
        "windows": [
            {
                "window_start": one.start,
                "window_end": one.end,
                "limit_per_million": yuan(one.limit_micros),
                "list_price_per_million": yuan(one.list_price_micros),
                "quantity_st": str(one.quantity_st),
                "capacity_st": str(one.capacity_st),
                "day": one.day.kind,
                "day_published": one.day.published,
            }
            for one in found.windows
        ],
        "quantity_st": str(found.quantity_st),
        "least": yuan(found.least_micros),
    }
