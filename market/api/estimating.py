"""What requests would cost, before anybody sends them: standard tokens, and yuan where the market has a price."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.selectors import clock
from market.api import reading as read
from market.kernel.costs import yuan_text
from market.kernel.errors import NotFound, UnknownLine
from market.kernel.orders import GRADES
from market.kernel.text import price_text
from market.selectors import HourPrice
from market.services import estimating
from market.services.estimating import Costed, Requests
from token_standard import uploads, usage
from token_standard.figures import decimal

MOST_TOKENS = estimating.MOST_TOKENS
HOURS = 8
_PLACES = 6
_CHUNK = 65_536


class _TokensSerializer(StrictSerializer):
    """Tokens of the model itself; `cached` is a part of `input`."""

    input = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    output = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    cached = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Cached tokens are prompt tokens."""
        if attrs["cached"] > attrs["input"]:
            raise serializers.ValidationError({"cached": ["More than the whole input."]})
        return attrs


class EstimateInSerializer(_TokensSerializer):
    """One request of a line, and the grade whose price counts."""

    grade = serializers.ChoiceField(choices=GRADES, default=estimating.DEFAULT_GRADE)


class RequestsInSerializer(_TokensSerializer):
    """Requests alike, and how many there are."""

    count = serializers.IntegerField(min_value=1, max_value=estimating.MOST_REQUESTS, default=1)


class EstimatesInSerializer(StrictSerializer):
    """A model, by its `config` (the object in its config.json) or its `card` (`llama-3-8b/fp16`), and requests."""

    card = serializers.CharField(max_length=80, required=False)
    config = serializers.DictField(required=False)
    number_format = serializers.CharField(max_length=20, required=False, help_text="with `config`: instead of its own")
    digest = serializers.CharField(max_length=64, required=False, help_text="of the card that is expected")
    grade = serializers.ChoiceField(choices=GRADES, default=estimating.DEFAULT_GRADE)
    requests = RequestsInSerializer(many=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One model, and requests."""
        if ("card" in attrs) == ("config" in attrs):
            raise serializers.ValidationError("Give either `card` or `config`.")
        if "number_format" in attrs and "card" in attrs:
            raise serializers.ValidationError({"number_format": ["A card names its format: `MODEL/FORMAT`."]})
        if not 0 < len(attrs["requests"]) <= estimating.MOST_ROWS:
            raise serializers.ValidationError({"requests": [f"1 to {estimating.MOST_ROWS} rows are needed."]})
        if len(json.dumps(attrs.get("config", {}))) > uploads.LARGEST_CONFIG:
            raise serializers.ValidationError({"config": ["At most 256 KiB."]})
        return attrs


class GraphInSerializer(RequestsInSerializer):
    """What goes with a graph, in the address."""

    kind = serializers.ChoiceField(choices=uploads.KINDS)
    name = serializers.CharField(max_length=80, default="model")
    number_format = serializers.CharField(max_length=20, default="fp16")


class HourPriceSerializer(serializers.Serializer):
    """The price of an hour's product, in yuan per million ST, and what the estimate would cost at it."""

    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    per_million_st = serializers.CharField()
    basis = serializers.ChoiceField(choices=["last_trade", "best_offer"])
    amount = serializers.CharField()


class CostSerializer(serializers.Serializer):
    """Yuan with nine decimals: as it would be invoiced, and at both ends of the interval."""

    currency = serializers.CharField()
    amount = serializers.CharField()
    low = serializers.CharField()
    high = serializers.CharField()


class CostedSerializer(serializers.Serializer):
    """Standard tokens with six decimals: as they would be invoiced, their parts, and an interval.

    `price` and `cost` are null where the market has no price; a list price is none.
    """

    model = serializers.CharField()
    line = serializers.CharField(allow_null=True)
    card_digest = serializers.CharField(allow_null=True)
    provisional = serializers.BooleanField()
    notes = serializers.ListField(child=serializers.CharField())
    requests = serializers.IntegerField()
    beyond_context = serializers.IntegerField(
        help_text="requests longer than the line's context: they would be refused"
    )
    st = serializers.CharField()
    input_st = serializers.CharField(allow_null=True)
    cached_st = serializers.CharField(allow_null=True)
    output_st = serializers.CharField(allow_null=True)
    low_st = serializers.CharField()
    high_st = serializers.CharField()
    method = serializers.CharField()
    grade = serializers.CharField()
    price = HourPriceSerializer(allow_null=True)
    cost = CostSerializer(allow_null=True)
    cheapest_hours = HourPriceSerializer(many=True)
    dearest_hour = HourPriceSerializer(allow_null=True)


class Estimate(ApiView):
    """What a request of a line would cost."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[
            OpenApiParameter("input", int, required=True, description="prompt tokens, cached ones included"),
            OpenApiParameter("output", int, required=True, description="generated tokens"),
            OpenApiParameter("cached", int, description="prompt tokens that come from a cache"),
            OpenApiParameter("grade", str, enum=list(GRADES), description="whose price counts"),
        ],
        responses=CostedSerializer,
        operation_id="line_estimate",
    )
    def get(self, request: Request, slug: str) -> Response:
        """One request of this line: ST exactly, by its card, with the interval of measured cost; yuan at today's prices."""
        try:
            subject = estimating.of_line(slug, self.actor.organisation_id)
        except UnknownLine:
            raise NotFound("There is no such model line.") from None
        asked = read.checked(EstimateInSerializer, _counts(request.query_params.dict()))
        return Response(_answer(self, subject, [_requests(asked)], asked["grade"]))


class Estimates(ApiView):
    """What requests of any model would cost."""

    required_scopes = {"POST": "market:read"}

    @extend_schema(request=EstimatesInSerializer, responses=CostedSerializer, operation_id="estimate")
    def post(self, request: Request) -> Response:
        """A mix of requests, by a card of the catalogue or a model's configuration. Nothing is stored."""
        asked = read.checked(EstimatesInSerializer, request.data)
        organisation_id = self.actor.organisation_id
        if "card" in asked:
            subject = estimating.of_card(asked["card"], organisation_id)
        else:
            reading = estimating.config_of(asked["config"])
            subject = estimating.of_config(reading, asked.get("number_format"), organisation_id)
        if "digest" in asked:
            estimating.check_digest(subject, asked["digest"])
        return Response(_answer(self, subject, [_requests(one) for one in asked["requests"]], asked["grade"]))


class GraphParser(BaseParser):
    """A file as it is, to be read piece by piece."""

    media_type = "application/octet-stream"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The stream itself."""
        return stream


class PlainTextParser(GraphParser):
    """The same for text."""

    media_type = "text/plain"


class GraphEstimate(ApiView):
    """What requests of a model in a file would cost."""

    required_scopes = {"POST": "market:read"}
    parser_classes = [GraphParser, PlainTextParser]

    @extend_schema(
        parameters=[
            OpenApiParameter("kind", str, required=True, enum=list(uploads.KINDS)),
            OpenApiParameter("input", int, required=True), OpenApiParameter("output", int, required=True),
            OpenApiParameter("cached", int), OpenApiParameter("count", int), OpenApiParameter("number_format", str),
            OpenApiParameter("name", str, description="for messages"),
        ],
        request={"application/octet-stream": OpenApiTypes.BINARY, "text/plain": OpenApiTypes.STR},
        responses=CostedSerializer,
        operation_id="estimate_graph",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """An ONNX file, with or without its external weights, or StableHLO text, as the body: at most 64 MiB.

        It is counted and forgotten, never run.
        """
        asked = read.checked(GraphInSerializer, _counts(request.query_params.dict()))
        body = request.data if hasattr(request.data, "read") else None
        chunks = _chunks(body) if body is not None else iter(())
        subject = estimating.of_graph(chunks, asked["kind"], name=asked["name"], form=asked["number_format"])
        return Response(_answer(self, subject, [_requests(asked)], estimating.DEFAULT_GRADE))


def _chunks(stream: IO[Any]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _requests(asked: dict[str, Any]) -> Requests:
    return Requests(asked["input"] - asked["cached"], asked["cached"], asked["output"], asked.get("count", 1))


def _answer(view: ApiView, subject: estimating.Subject, requests: list[Requests], grade: str) -> dict[str, Any]:
    organisation_id = view.actor.organisation_id
    return costed(estimating.costed(subject, requests, grade=grade, organisation_id=organisation_id, now=clock.now()))


def costed(found: Costed) -> dict[str, Any]:
    """An estimate as plain values."""
    subject, total, interval, parts = found.subject, found.estimate.total, found.estimate.interval, found.parts
    currency = "CNY"
    return {
        "model": subject.title,
        "line": subject.line.slug if subject.line else None,
        "card_digest": subject.digest or None,
        "provisional": subject.provisional,
        "notes": list(subject.notes),
        "requests": total.requests,
        "beyond_context": found.beyond_context,
        "st": usage.st_text(total.micro_st),
        "input_st": decimal(parts.input, _PLACES) if parts else None,
        "cached_st": decimal(parts.cached, _PLACES) if parts else None,
        "output_st": decimal(parts.output, _PLACES) if parts else None,
        "low_st": decimal(interval.low, _PLACES),
        "high_st": decimal(interval.high, _PLACES),
        "method": interval.method,
        "grade": found.grade,
        "price": found.price and _hour(found, found.price),
        "cost": found.cost
        and {
            "currency": currency,
            "amount": yuan_text(found.cost.amount),
            "low": yuan_text(found.cost.low),
            "high": yuan_text(found.cost.high),
        },
        "cheapest_hours": [_hour(found, hour) for hour in found.hours[:HOURS]],
        "dearest_hour": _hour(found, found.hours[-1]) if found.hours else None,
    }


def _hour(found: Costed, hour: HourPrice) -> dict[str, Any]:
    return {
        "window_start": hour.product.window_start,
        "window_end": hour.product.window_end,
        "per_million_st": price_text(hour.price_micros),
        "basis": hour.basis,
        "amount": yuan_text(estimating.cost(found.estimate, hour.price_micros).amount),
    }


def _counts(given: dict[str, str]) -> dict[str, int | str]:
    """Parameters are text: plain digits become the integers that the form wants, the rest is its to refuse."""
    return {
        name: int(text)
        if name in {"input", "cached", "output", "count"} and text.isascii() and text.isdigit() and len(text) < 12
        else text
        for name, text in given.items()
    }
