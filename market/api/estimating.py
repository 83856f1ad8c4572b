"""What a request of a line would cost in standard tokens, before anybody sends it."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from market import selectors
from market.api import reading as read
from market.kernel.errors import NotFound, UnknownLine
from token_standard import estimates, usage
from token_standard.catalogue import card_by_digest
from token_standard.figures import decimal

MOST_TOKENS = 10**9
_PLACES = 6


class EstimateInSerializer(StrictSerializer):
    """Tokens of the model itself; `cached` is a part of `input`."""

    input = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    output = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    cached = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)

    def validate(self, attrs: dict[str, int]) -> dict[str, int]:
        if attrs["cached"] > attrs["input"]:
            raise serializers.ValidationError({"cached": ["More than the whole input."]})
        return attrs


class EstimateSerializer(serializers.Serializer):
    """Standard tokens with six decimals: the request as it would be invoiced, its parts, and an interval."""

    line = serializers.CharField()
    card_digest = serializers.CharField()
    provisional = serializers.BooleanField()
    st = serializers.CharField()
    input_st = serializers.CharField()
    cached_st = serializers.CharField()
    output_st = serializers.CharField()
    low_st = serializers.CharField()
    high_st = serializers.CharField()
    method = serializers.CharField()


class Estimate(ApiView):
    """What a request would cost."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[
            OpenApiParameter("input", int, required=True, description="prompt tokens, cached ones included"),
            OpenApiParameter("output", int, required=True, description="generated tokens"),
            OpenApiParameter("cached", int, description="prompt tokens that come from a cache"),
        ],
        responses=EstimateSerializer,
        operation_id="line_estimate",
    )
    def get(self, request: Request, slug: str) -> Response:
        """Standard tokens of one request of this line: exact, by the line's card; the interval is of measured cost."""
        try:
            line = selectors.line_for(slug, self.actor.organisation_id)
        except UnknownLine:
            raise NotFound("There is no such model line.") from None
        asked = read.checked(EstimateInSerializer, _counts(request.query_params.dict()))
        card = card_by_digest(line.card_digest)
        n, c, g = asked["input"] - asked["cached"], asked["cached"], asked["output"]
        parts, found = usage.shares(card, n=n, c=c, g=g), estimates.estimate(card, [(n, c, g)])
        figures = {"input_st": parts.input, "cached_st": parts.cached, "output_st": parts.output}
        figures |= {"low_st": found.interval.low, "high_st": found.interval.high}
        return Response(
            {
                "line": line.slug,
                "card_digest": card.digest,
                "provisional": card.provisional,
                "st": usage.st_text(found.total.micro_st),
                **{name: decimal(value, _PLACES) for name, value in figures.items()},
                "method": found.interval.method,
            }
        )


def _counts(given: dict[str, str]) -> dict[str, int | str]:
    """Parameters are text: plain digits become the integers that the form wants, the rest is its to refuse."""
    return {
        name: int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text
        for name, text in given.items()
    }
