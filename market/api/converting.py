"""Vendors' tokens: the table of rates, conversion, rates of pairs, and what vendors ask on their lists."""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction
from typing import Any

from django.utils.dateparse import parse_date
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.selectors import clock
from market.api import reading as read
from market.selectors import MARKET_CLOCK
from market.services import converting
from token_standard import exchange, list_prices
from token_standard.exchange import Mix, Pair, Rate
from token_standard.figures import decimal, significant

_AMOUNT = r"\A[0-9]{1,30}(\.[0-9]{1,12})?\Z"
_DAY = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"
_NAME = r"\A[A-Za-z0-9][A-Za-z0-9._:@/-]{0,119}\Z"
_PLACES = 12
MOST_SEED = 2**63 - 1
MOST_TOKENS = 10**12


class _DayField(serializers.RegexField):
    """A calendar day as text, such as 2026-11-24."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_DAY, **options)

    def to_internal_value(self, data: Any) -> Any:
        """The day.

        :raises ValidationError: no such day.
        """
        text = super().to_internal_value(data)
        try:
            day = parse_date(text)
        except ValueError:
            day = None
        if day is None:
            raise serializers.ValidationError("There is no such day.")
        return day


class MixInSerializer(StrictSerializer):
    """Tokens that an amount is made of."""

    input = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    cached = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    output = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)

    def validate(self, attrs: dict[str, int]) -> dict[str, int]:
        """Some tokens."""
        if not any(attrs.values()):
            raise serializers.ValidationError("A mix has at least one token.")
        return attrs


class PairInSerializer(StrictSerializer):
    """One request metered both ways."""

    uncached = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    cached = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    generated = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    vendor_tokens = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)


class FitInSerializer(StrictSerializer):
    """Pairs, as a list or as the text of a CSV, and what the rate shall be called."""

    token = serializers.RegexField(_NAME, help_text="name of the vendor's token")
    card = serializers.CharField(max_length=80, help_text="MODEL/FORMAT of the catalogue")
    source = serializers.CharField(max_length=300)
    valid_from = _DayField()
    valid_until = _DayField(required=False)
    seed = serializers.IntegerField(min_value=0, max_value=MOST_SEED, default=1)
    mix = MixInSerializer(required=False)
    pairs = PairInSerializer(many=True, required=False)
    csv = serializers.CharField(
        max_length=converting.LARGEST_PAIRS, trim_whitespace=False, required=False,
        help_text="columns uncached, cached, generated, vendor_tokens",
    )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One form of the pairs."""
        if ("pairs" in attrs) == ("csv" in attrs):
            raise serializers.ValidationError("Give either `pairs` or `csv`.")
        if len(attrs.get("pairs", ())) > converting.MOST_PAIRS:
            raise serializers.ValidationError({"pairs": [f"At most {converting.MOST_PAIRS} pairs."]})
        if attrs.get("valid_until") and attrs["valid_until"] <= attrs["valid_from"]:
            raise serializers.ValidationError({"valid_until": ["Not after the first day."]})
        return attrs


class ExchangeRateSerializer(serializers.Serializer):
    """ST of one of a vendor's tokens. `st`, `low` and `high` are null where the state is `unknown`."""

    token = serializers.CharField()
    state = serializers.CharField(help_text="definition, metered or unknown")
    st = serializers.CharField(allow_null=True)
    low = serializers.CharField(allow_null=True)
    high = serializers.CharField(allow_null=True)
    st_exact = serializers.CharField(allow_null=True, help_text="as a fraction")
    source = serializers.CharField()
    valid_from = serializers.DateField(allow_null=True)
    valid_until = serializers.DateField(allow_null=True)
    dated = serializers.CharField(help_text="where the first day is written")


class RatesSerializer(serializers.Serializer):
    """The table."""

    data = ExchangeRateSerializer(many=True)


class ConvertedSerializer(serializers.Serializer):
    """An amount with bounds, and the rates behind it."""

    amount = serializers.CharField()
    low = serializers.CharField()
    high = serializers.CharField()
    on = serializers.DateField()
    source = ExchangeRateSerializer()
    target = ExchangeRateSerializer()


class FittedSerializer(serializers.Serializer):
    """A rate and what is needed to find it again. `rate` is what `tokenspot convert --rates FILE` reads."""

    rate = serializers.DictField()
    st = serializers.CharField()
    low = serializers.CharField()
    high = serializers.CharField()
    seed = serializers.IntegerField()
    pairs = serializers.IntegerField()
    pairs_sha256 = serializers.CharField()
    card_digest = serializers.CharField()


class ListPriceSerializer(serializers.Serializer):
    """A vendor's price as published: `price` is per `unit` tokens, the other two are worked out from it."""

    vendor = serializers.CharField()
    model = serializers.CharField()
    card = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=exchange.KINDS)
    price = serializers.CharField()
    currency = serializers.CharField()
    unit = serializers.ChoiceField(choices=list(list_prices.UNITS))
    date = serializers.DateField()
    dated = serializers.ChoiceField(choices=list_prices.DATED)
    state = serializers.CharField(help_text="published or declared")
    source = serializers.CharField()
    via = serializers.CharField(allow_null=True)
    note = serializers.CharField()
    per_million = serializers.CharField()
    per_million_st = serializers.CharField(allow_null=True)


class ClaimSerializer(serializers.Serializer):
    """A figure that no list backs: `low` to `high` for `unit` tokens. It is no price, so nothing is worked out from it."""

    low = serializers.CharField()
    high = serializers.CharField()
    currency = serializers.CharField()
    unit = serializers.ChoiceField(choices=list(list_prices.UNITS))
    year = serializers.IntegerField()
    state = serializers.CharField(help_text="declared")
    source = serializers.CharField()
    note = serializers.CharField()
    published_low = serializers.CharField(help_text="least per million on the published lists in this currency")
    published_high = serializers.CharField(help_text="most per million on them")


class ListPricesSerializer(serializers.Serializer):
    """All rows, and apart from them what was only claimed."""

    data = ListPriceSerializer(many=True)
    declared = ClaimSerializer(many=True)


class ExchangeRates(ApiView):
    """The table of rates."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(responses=RatesSerializer, operation_id="exchange_rates")
    def get(self, request: Request) -> Response:
        """Every row, also those that are over or not known: see `state`, `valid_from` and `valid_until`."""
        _no_parameters(request)
        known = [rate(one) for one in exchange.rates()]
        return Response({"data": [*known, *map(_unknown, exchange.unknown())]})


class Convert(ApiView):
    """Tokens of one vendor in tokens of another."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[
            OpenApiParameter("amount", str, required=True, description="decimal"),
            OpenApiParameter("from", str, required=True),
            OpenApiParameter("to", str, required=True),
            OpenApiParameter("on", str, description="day of the rates; default: today on the market clock"),
        ],
        responses=ConvertedSerializer,
        operation_id="convert",
    )
    def get(self, request: Request) -> Response:
        """Through ST only, so that any triangle closes. A token is `ST`, a row of the table or MODEL/FORMAT:KIND@CONTEXT."""
        asked = _conversion(request.query_params.dict())
        found = converting.convert(
            Fraction(asked["amount"]), asked["from"], asked["to"], day=asked.get("on") or today()
        )
        return Response(
            {
                **{name: decimal(getattr(found.result, name), _PLACES) for name in ("amount", "low", "high")},
                "on": found.day,
                "source": rate(found.source),
                "target": rate(found.target),
            }
        )


class FitRate(ApiView):
    """A rate of requests metered both ways."""

    required_scopes = {"POST": "market:read"}

    @extend_schema(request=FitInSerializer, responses=FittedSerializer, operation_id="fit_exchange_rate")
    def post(self, request: Request) -> Response:
        """ΣST / Σ vendor tokens with a bootstrap interval over requests. Nothing is stored.

        The same pairs, card and seed give the same rate everywhere, also by `tokenspot fit-rate`.
        """
        asked = read.checked(FitInSerializer, request.data)
        if "csv" in asked:
            given = converting.read_pairs(asked["csv"].encode(), "csv")
        else:
            given = [
                Pair(one["uncached"], one["cached"], one["generated"], one["vendor_tokens"]) for one in asked["pairs"]
            ]
        found = converting.fit(
            given, token=asked["token"], card=asked["card"], seed=asked["seed"], source=asked["source"],
            valid_from=asked["valid_from"], valid_until=asked.get("valid_until"), mix=_mix(asked.get("mix")),
        )  # fmt: skip
        return Response(
            {
                "rate": exchange.to_json(found.rate),
                **{name: significant(getattr(found.rate, name), 9) for name in ("st", "low", "high")},
                "seed": found.seed,
                "pairs": found.pairs,
                "pairs_sha256": found.digest,
                "card_digest": found.card_digest,
            }
        )


class ListPrices(ApiView):
    """What vendors ask on their lists."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(responses=ListPricesSerializer, operation_id="list_prices")
    def get(self, request: Request) -> Response:
        """Dated rows with their source, in their own currency. They are no price of this market."""
        _no_parameters(request)
        return Response(
            {
                "data": [_list_price(one) for one in list_prices.list_prices()],
                "declared": [_claim(one) for one in list_prices.claims()],
            }
        )


def today() -> date:
    """The day on the market clock."""
    return clock.now().astimezone(MARKET_CLOCK).date()


def rate(one: Rate) -> dict[str, Any]:
    """A rate as plain values."""
    return {
        "token": one.token,
        "state": one.basis,
        **{name: significant(getattr(one, name), 9) for name in ("st", "low", "high")},
        "st_exact": str(one.st),
        "source": one.source,
        "valid_from": one.valid_from,
        "valid_until": one.valid_until,
        "dated": one.dated,
    }


def _unknown(one: exchange.Unknown) -> dict[str, Any]:
    nothing = dict.fromkeys(("st", "low", "high", "st_exact", "valid_from", "valid_until"))
    return {
        "token": one.token,
        "state": "unknown",
        **nothing,
        "source": f"needs dual metering: {one.reason}",
        "dated": "",
    }


def _list_price(one: list_prices.ListPrice) -> dict[str, Any]:
    st = one.per_million_st
    return {
        **list_prices.to_json(one),
        "per_million": significant(one.per_million, 6),
        "per_million_st": None if st is None else significant(st, 6),
    }


def _claim(one: list_prices.Claim) -> dict[str, Any]:
    low, high = list_prices.published(one.currency)
    return {
        **list_prices.claim_to_json(one),
        "published_low": significant(low, 6),
        "published_high": significant(high, 6),
    }


def _conversion(given: dict[str, str]) -> dict[str, Any]:
    problems: dict[str, list[Any]] = {
        name: [ErrorDetail("There is no such field.", "unknown_field")]
        for name in given
        if name not in {"amount", "from", "to", "on"}
    }
    for name, pattern in (("amount", _AMOUNT), ("from", _NAME), ("to", _NAME)):
        if not re.match(pattern, given.get(name, ""), re.ASCII):
            problems[name] = [_WANTED[name] if name in given else "This field is required."]
    asked: dict[str, Any] = dict(given)
    if "on" in given:
        try:
            asked["on"] = _DayField().run_validation(given["on"])
        except serializers.ValidationError:
            problems["on"] = ["A day, such as 2026-11-24."]
    if problems:
        raise serializers.ValidationError(problems)
    return asked


_WANTED = {
    "amount": "A number of tokens, such as 1000000 or 0.5.",
    "from": "A token, such as ST or deepseek/deepseek-v3/output.",
    "to": "A token, such as ST or deepseek/deepseek-v3/output.",
}


def _mix(given: dict[str, int] | None) -> Mix | None:
    return None if given is None else exchange.mix([Pair(given["input"], given["cached"], given["output"], 0)])


def _no_parameters(request: Request) -> None:
    read.checked(StrictSerializer, request.query_params.dict())
