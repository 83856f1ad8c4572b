"""Devices over REST: figures with their sources, portability, and the support matrix."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.views import ApiView
from providers.kernel.errors import NotFound
from token_standard import catalogue, support
from token_standard import devices as device_list
from token_standard.devices import Device, Figure
from token_standard.figures import decimal
from token_standard.learned import reference
from token_standard.support import Entry

_FORMS = ("fp16", "fp8")


class FigureSerializer(serializers.Serializer):
    """A number as text. `name` is a format (10^12 operations a second), gb_per_second, memory_gb, …"""

    name = serializers.CharField()
    value = serializers.CharField()
    state = serializers.CharField(help_text="data sheet, declared, measured or unsourced")
    source = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    read_on = serializers.DateField(allow_null=True)


class PortabilitySerializer(serializers.Serializer):
    """Models of the catalogue by state, each structure once and of equal weight."""

    percent = serializers.CharField(help_text="proved or declared")
    proved = serializers.IntegerField()
    declared = serializers.IntegerField()
    unsupported = serializers.IntegerField()
    unknown = serializers.IntegerField()
    total = serializers.IntegerField()
    fitting = serializers.IntegerField(help_text="of those proved or declared, how many have room on at most 8")


class ExpectedSerializer(serializers.Serializer):
    """ST/s of a reference load by the cost model; null where `outside` says what was never measured."""

    model = serializers.CharField()
    format = serializers.CharField()
    devices = serializers.IntegerField()
    concurrency = serializers.IntegerField()
    input = serializers.IntegerField()
    output = serializers.IntegerField()
    st_per_second = serializers.CharField(allow_null=True)
    low = serializers.CharField(allow_null=True)
    high = serializers.CharField(allow_null=True)
    outside = serializers.ListField(child=serializers.CharField())


class DeviceSerializer(serializers.Serializer):
    """A device; `figures` holds what is known and nothing else."""

    slug = serializers.CharField()
    title = serializers.CharField()
    maker = serializers.CharField()
    country = serializers.CharField()
    stack = serializers.CharField()
    states = serializers.ListField(child=serializers.CharField())
    note = serializers.CharField()
    figures = FigureSerializer(many=True)
    ridge_points = serializers.DictField(child=serializers.CharField(), help_text="operations per byte, by format")
    portability = PortabilitySerializer()


class DeviceDetailSerializer(DeviceSerializer):
    """The same with what the cost model expects."""

    expected = ExpectedSerializer(many=True)


class DeviceListSerializer(serializers.Serializer):
    """All of them; there is no second page."""

    data = DeviceSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class SupportEntrySerializer(serializers.Serializer):
    """One model on one device, by one piece of evidence."""

    device = serializers.CharField()
    model = serializers.CharField()
    state = serializers.CharField(help_text="proved, declared or unsupported; a pair that is not listed is unknown")
    formats = serializers.ListField(child=serializers.CharField(), help_text="empty: not said")
    engine = serializers.CharField()
    versions = serializers.ListField(child=serializers.CharField())
    by = serializers.CharField(help_text="benchmark, vendor, engine or operator")
    evidence = serializers.CharField()
    url = serializers.CharField()
    file = serializers.CharField(allow_null=True)
    rows = serializers.IntegerField()
    read_on = serializers.DateField()
    note = serializers.CharField()
    fits_on = serializers.DictField(child=serializers.IntegerField(allow_null=True), help_text="fewest devices")


class SupportMatrixSerializer(serializers.Serializer):
    """All entries; there is no second page."""

    data = SupportEntrySerializer(many=True)
    next = serializers.CharField(allow_null=True)


class Devices(ApiView):
    """The catalogue of devices."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[OpenApiParameter("maker", str), OpenApiParameter("stack", str), OpenApiParameter("state", str)],
        responses=DeviceListSerializer,
        operation_id="devices_list",
    )
    def get(self, request: Request) -> Response:
        """All devices; maker, stack and state of a figure narrow them down."""
        asked = request.query_params
        data = [
            _device(each)
            for each in device_list.devices()
            if asked.get("maker", each.vendor) == each.vendor
            and asked.get("stack", each.stack) == each.stack
            and ("state" not in asked or asked["state"] in each.states)
        ]
        return Response(DeviceListSerializer({"data": data, "next": None}).data)


class DeviceDetail(ApiView):
    """One device."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(responses=DeviceDetailSerializer, operation_id="devices_retrieve")
    def get(self, request: Request, slug: str) -> Response:
        """Figures with sources, ridge points, portability, and what the cost model expects."""
        try:
            found = device_list.device(slug)
        except device_list.UnknownDevice:
            raise NotFound("There is no such device.") from None
        expected = [_expected(each) for each in reference.expected(found)]
        return Response(DeviceDetailSerializer({**_device(found), "expected": expected}).data)


class SupportMatrix(ApiView):
    """Which models run on which devices."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[OpenApiParameter("device", str), OpenApiParameter("model", str), OpenApiParameter("state", str)],
        responses=SupportMatrixSerializer,
        operation_id="support_matrix",
    )
    def get(self, request: Request) -> Response:
        """All entries with their evidence; device, model and state narrow them down."""
        asked = request.query_params
        data = [
            _entry(each)
            for each in support.entries()
            if asked.get("device", each.device) == each.device
            and asked.get("model", each.model) == each.model
            and asked.get("state", each.state) == each.state
        ]
        return Response(SupportMatrixSerializer({"data": data, "next": None}).data)


def _device(each: Device) -> dict[str, Any]:
    share = support.portability(each.name)
    ridges = {form: each.ridge(form) for form in each.tera_ops}
    return {
        "slug": each.name,
        "title": each.title,
        "maker": each.vendor,
        "country": each.country,
        "stack": each.stack,
        "states": each.states,
        "note": each.note,
        "figures": [_figure(name, figure) for group in (each.figures, each.measured) for name, figure in group.items()],
        "ridge_points": {form: decimal(value, 1) for form, value in ridges.items() if value is not None},
        "portability": {
            "percent": decimal(share.percent, 1),
            "proved": share.proved,
            "declared": share.declared,
            "unsupported": share.unsupported,
            "unknown": share.unknown,
            "total": share.total,
            "fitting": share.fitting,
        },
    }


def _figure(name: str, figure: Figure) -> dict[str, Any]:
    source = figure.source
    return {
        "name": name,
        "value": _plain(figure.value),
        "state": figure.state,
        "source": source.text if source else None,
        "url": source.url or None if source else None,
        "read_on": source.read_on if source else None,
    }


def _expected(each: reference.Expected) -> dict[str, Any]:
    asked, found = each.reference, each.st_per_second
    bounds = {"st_per_second": found.value, "low": found.low, "high": found.high} if found else {}
    return {
        "model": asked.model,
        "format": asked.format,
        "devices": asked.tensor_parallel,
        "concurrency": round(asked.load.concurrency),
        "input": round(asked.load.input),
        "output": round(asked.load.output),
        **{name: f"{bounds[name]:.1f}" if bounds else None for name in ("st_per_second", "low", "high")},
        "outside": each.outside,
    }


def _entry(each: Entry) -> dict[str, Any]:
    model = next(model for model in catalogue.models() if model.name == each.model)
    device = device_list.device(each.device)
    return {
        "device": each.device,
        "model": each.model,
        "state": each.state,
        "formats": each.formats,
        "engine": each.engine,
        "versions": each.versions,
        "by": each.evidence.who,
        "evidence": each.evidence.text,
        "url": each.evidence.url,
        "file": each.evidence.file or None,
        "rows": each.rows,
        "read_on": each.evidence.read_on,
        "note": each.note,
        "fits_on": {form: support.fits_on(device, model, form) for form in _FORMS},
    }


def _plain(value: Fraction) -> str:
    """Exact, without zeros at the end: catalogue figures have at most four decimals."""
    return decimal(value, 4).rstrip("0").rstrip(".")
