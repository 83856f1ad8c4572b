"""Shapes of orders in the API: what may be asked, and how it stands; decimals and large integers as strings."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.http.serializers import StrictSerializer
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from market.api.serializers import SIDES, TokenPricesSerializer, price
from market.kernel import windows
from market.kernel.amending import Change
from market.kernel.errors import NotSupported
from market.kernel.orders import DATA_TERMS, GRADES, MOST_CHOICES, TIERS, Choice, OrderDraft, Scope, takes_better
from market.kernel.quantities import ModelTokens
from market.kernel.text import micros_of
from market.selectors import (
    OrderView,
)
from market.services import flexible, quantities
from market.services.preview import Preview
from market.services.switches import MOST_SECONDS

PRICE = r"\A[0-9]{1,7}(\.[0-9]{1,6})?\Z"
BUDGET = r"\A[0-9]{1,10}(\.[0-9]{1,6})?\Z"
QUANTITY = r"\A[0-9]{1,16}\Z"
MOST_ORDERS = 1_000
MOST_BATCH_CHOICES = 500
MOST_TOKENS = 10**9
# The ways to say how much an order is for.
QUANTITIES = {"quantity_st", "budget", "tokens"}
# Parts of the full order form that this market does not take yet; they are refused by name, never ignored.
NOT_YET = {"lines", "windows", "cells", "max_latency"}


class TokensInSerializer(StrictSerializer):
    """Requests alike: tokens of the model in each, prompt (uncached and cached) and output, and how many there are."""

    input = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    cached = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    output = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS, default=0)
    requests = serializers.IntegerField(min_value=1, max_value=MOST_TOKENS, default=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Some tokens."""
        if not attrs["input"] + attrs["cached"] + attrs["output"]:
            raise serializers.ValidationError("A request has at least one token.")
        return attrs


class ChoiceInSerializer(StrictSerializer):
    """Another product that would do as well; what is left out is as in the order itself."""

    line = serializers.CharField(max_length=80, required=False)
    grade = serializers.CharField(max_length=12, required=False)
    window_start = serializers.DateTimeField(required=False)
    price_per_million = serializers.RegexField(PRICE, required=False)


class OrderInSerializer(StrictSerializer):
    """An order. Exactly one of `quantity_st`, `budget` and `tokens` says how much.

    `window_start` defaults to the current hour; `expires_*` belongs to `gtt`.
    """

    side = serializers.ChoiceField(choices=SIDES)
    line = serializers.CharField(max_length=80)
    grade = serializers.CharField(max_length=12)
    window_start = serializers.DateTimeField(required=False)
    quantity_st = serializers.RegexField(QUANTITY, required=False, help_text="standard tokens, a multiple of the lot")
    budget = serializers.RegexField(
        BUDGET, required=False, help_text="yuan: as many whole lots as it pays for at the limit"
    )
    tokens = TokensInSerializer(
        required=False, help_text="counted by the line's card as usage is, and rounded up to whole lots"
    )
    price_per_million = serializers.RegexField(PRICE, help_text="limit, yuan per million ST, a multiple of the tick")
    time_in_force = serializers.ChoiceField(choices=["ioc", "gtt", "gtc"], default="gtc")
    expires_at = serializers.DateTimeField(required=False)
    expires_in_seconds = serializers.IntegerField(required=False, min_value=1, max_value=49 * 3600)
    client_order_id = serializers.RegexField(r"\A[!-~]{1,100}\Z", required=False)
    or_better = serializers.BooleanField(
        required=False,
        help_text="every better grade too, at the same limit: interactive with it is interactive or realtime",
    )
    choices = ChoiceInSerializer(  # type: ignore[call-arg]  # max_length is the list's
        many=True, required=False, max_length=MOST_CHOICES - 1, help_text="other hours or lines that would do as well"
    )
    vendors = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=50, help_text="none named: any"
    )
    regions = serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=50, help_text="none named: any"
    )
    tier = serializers.ChoiceField(choices=TIERS, required=False, help_text="this tier or a better one")
    data_terms = serializers.ChoiceField(
        choices=DATA_TERMS, required=False, help_text="these terms or stricter ones; without a word: nothing is kept"
    )
    min_quantity_st = serializers.RegexField(QUANTITY, required=False, help_text="nothing, or at least so much a round")
    all_or_none = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One quantity, one minimum and one expiry at most."""
        if attrs.get("all_or_none") and "min_quantity_st" in attrs:
            raise serializers.ValidationError({"all_or_none": ["Give all_or_none or min_quantity_st, not both."]})
        if len(QUANTITIES & attrs.keys()) != 1:
            raise serializers.ValidationError(
                {"quantity_st": ["Give exactly one of quantity_st, budget and tokens."]}, code="one_quantity"
            )
        if "expires_at" in attrs and "expires_in_seconds" in attrs:
            raise serializers.ValidationError(
                {"expires_in_seconds": ["Give expires_at or expires_in_seconds, not both."]}
            )
        return attrs


class AmendInSerializer(StrictSerializer):
    """What is to change of an open order; `quantity_st` is all of it, filled ones included."""

    price_per_million = serializers.RegexField(PRICE, required=False)
    quantity_st = serializers.RegexField(QUANTITY, required=False)
    expires_at = serializers.DateTimeField(required=False, help_text="of a `gtt` order")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Something changes."""
        if not attrs:
            raise serializers.ValidationError("Name a price, a quantity or an expiry.")
        return attrs


class ChoiceSerializer(serializers.Serializer):
    """A product that a flexible bid accepts, and its limit there."""

    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    price_per_million = serializers.CharField()


class OrderSerializer(serializers.Serializer):
    """An order and how it stands. Prices are yuan per million ST, amounts yuan.

    Of a bid with `choices`, line, window and price are those of the choice with the highest limit.
    """

    id = serializers.CharField()
    side = serializers.ChoiceField(choices=SIDES)
    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    quantity_st = serializers.CharField()
    price_per_million = serializers.CharField()
    filled_st = serializers.CharField()
    left_st = serializers.CharField()
    average_price_per_million = serializers.CharField(allow_null=True)
    paid = serializers.CharField()
    held = serializers.CharField()
    status = serializers.ChoiceField(
        choices=["open", "partially_filled", "pending_cancel", "filled", "cancelled", "expired", "refused"]
    )
    time_in_force = serializers.CharField()
    expires_at = serializers.DateTimeField()
    client_order_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    amended_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    or_better = serializers.BooleanField(help_text="every better grade of its choices is among them")
    choices = ChoiceSerializer(many=True)
    vendors = serializers.ListField(child=serializers.CharField())
    regions = serializers.ListField(child=serializers.CharField())
    tiers = serializers.ListField(child=serializers.CharField())
    data_terms = serializers.ListField(child=serializers.CharField())
    min_quantity_st = serializers.CharField()


class OrderPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = OrderSerializer(many=True)
    next = serializers.CharField(allow_null=True)


@extend_schema_field(OrderInSerializer(many=True))
class OrdersField(serializers.ListField):
    """Orders of a batch, each read on its own so that one fault spoils one order only."""

    child = serializers.JSONField(allow_null=True)


class BatchInSerializer(StrictSerializer):
    """Up to 1,000 orders."""

    orders = OrdersField(min_length=1, max_length=MOST_ORDERS)

    def validate_orders(self, given: list[Any]) -> list[Any]:
        """Choices of all orders together: each is a product to look up while rounds wait."""
        if sum(_count(one) for one in given if isinstance(one, dict)) > MOST_BATCH_CHOICES:
            raise serializers.ValidationError(f"A batch has at most {MOST_BATCH_CHOICES} choices in all its orders.")
        return given


def _count(given: dict[str, Any]) -> int:
    """Choices beside the order's own product, with those that `or_better` adds at most."""
    named = given.get("choices")
    count = len(named) if isinstance(named, list) else 0
    return len(GRADES) * (count + 1) - 1 if given.get("or_better") else count


class BatchResultSerializer(serializers.Serializer):
    """The order (201, or that of a repeated client order id), or the problem document that it would have had alone."""

    status = serializers.IntegerField()
    order = OrderSerializer(allow_null=True)
    problem = serializers.DictField(allow_null=True)


class BatchSerializer(serializers.Serializer):
    """A result for each order, in the order of the request."""

    placed = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BatchResultSerializer(many=True)


class ExpectedFillSerializer(serializers.Serializer):
    """What would fill of one product, at which price on average."""

    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    fill_st = serializers.CharField()
    price_per_million = serializers.CharField()


class PreviewSerializer(serializers.Serializer):
    """What an order would cost and do if the round closed now."""

    quantity_st = serializers.CharField()
    expected_fill_st = serializers.CharField(allow_null=True)
    expected_price_per_million = serializers.CharField(allow_null=True)
    expected = ExpectedFillSerializer(many=True, help_text="the same by product, dearest first")
    expected_unknown = serializers.ChoiceField(
        choices=["too_many_orders", "not_cleared"], allow_null=True, help_text="why the expected fill is null"
    )
    worst_cost = serializers.CharField()
    held = serializers.CharField()
    fee = serializers.CharField()
    available = serializers.CharField(allow_null=True)
    reference_per_million = serializers.CharField(allow_null=True)
    distance_bps = serializers.IntegerField(allow_null=True)
    collar_low_per_million = serializers.CharField(allow_null=True)
    collar_high_per_million = serializers.CharField(allow_null=True)
    token_prices = TokenPricesSerializer()
    list_price_per_million = serializers.CharField(allow_null=True, help_text="the vendors' of this line and grade")
    list_price_source = serializers.CharField(allow_null=True)
    list_price_since = serializers.DateField(allow_null=True)
    list_cost = serializers.CharField(allow_null=True, help_text="of the whole quantity at the list price")


class CancelAllInSerializer(StrictSerializer):
    """Which side; both without."""

    side = serializers.ChoiceField(choices=SIDES, required=False)


class CancelledSerializer(serializers.Serializer):
    """How many orders were cancelled."""

    cancelled = serializers.IntegerField()


class CancelAllAfterInSerializer(StrictSerializer):
    """Seconds from now, 0 turns the switch off."""

    seconds = serializers.IntegerField(min_value=0, max_value=MOST_SECONDS)


class CancelAllAfterSerializer(serializers.Serializer):
    """When the open orders are cancelled unless the switch is set again; null where it is off."""

    fires_at = serializers.DateTimeField(allow_null=True)
    seconds_left = serializers.IntegerField(allow_null=True)


def cancel_all_after(fires_at: datetime | None, *, now: datetime) -> dict[str, Any]:
    """The switch as JSON; seconds are rounded up, so that 0 is never shown of one that has not fired."""
    left = None if fires_at is None else -(-(fires_at - now) // timedelta(seconds=1))
    return {"fires_at": fires_at, "seconds_left": left}


def draft(data: dict[str, Any], actor: Actor, *, now: datetime) -> OrderDraft:
    """The draft of a checked order.

    :raises NotSupported: a sell order; providers sell through their offers.
    :raises BadScope: a product named twice.
    :raises MarketError: the budget or the tokens are no quantity; see market/services/quantities.py.
    """
    if data["side"] == "sell":
        raise NotSupported("Capacity is sold by an offer: POST /api/v1/provider/offers.")
    expires = data.get("expires_at")
    if "expires_in_seconds" in data:
        expires = now + timedelta(seconds=data["expires_in_seconds"])
    start = data.get("window_start", windows.current(now)[0])
    own = Choice(data["line"], start, micros_of(data["price_per_million"]), data["grade"])
    choices = [own, *(_choice(one, own) for one in data.get("choices", ()))]
    if data.get("or_better"):
        choices = flexible.or_better(choices)
    first = max(choices, key=lambda one: one.limit_micros)
    choices = [replace(one, grade="") if one.grade == first.grade else one for one in choices]
    quantity = _quantity(data, actor, limit_micros=first.limit_micros)
    return OrderDraft(
        organisation_id=actor.organisation_id,
        side=data["side"],
        line=first.line,
        grade=first.grade,
        window_start=first.window_start,
        quantity_st=quantity,
        limit_micros=first.limit_micros,
        time_in_force=data["time_in_force"],
        expires_at=expires,
        client_order_id=data.get("client_order_id"),
        choices=tuple(sorted(choices)) if len(choices) > 1 else (),
        scope=_scope(data, quantity),
    )


def _choice(data: dict[str, Any], own: Choice) -> Choice:
    limit = micros_of(data["price_per_million"]) if "price_per_million" in data else own.limit_micros
    start, grade = data.get("window_start", own.window_start), data.get("grade", own.grade)
    return Choice(data.get("line", own.line), start, limit, grade)


def _scope(data: dict[str, Any], quantity_st: int) -> Scope:
    tier, terms = data.get("tier"), data.get("data_terms", DATA_TERMS[0])
    return Scope(
        vendors=frozenset(data.get("vendors", ())),
        regions=frozenset(data.get("regions", ())),
        tiers=frozenset(TIERS[TIERS.index(tier) :]) if tier and tier != TIERS[0] else frozenset(),
        minimum_st=quantity_st if data.get("all_or_none") else int(data.get("min_quantity_st", 0)),
        data_terms=frozenset(DATA_TERMS[: DATA_TERMS.index(terms) + 1]),
    )


def _quantity(data: dict[str, Any], actor: Actor, *, limit_micros: int) -> int:
    """ST; a budget pays for them at the highest limit of all choices."""
    if "budget" in data:
        return quantities.of_budget(micros_of(data["budget"]), grade=data["grade"], limit_micros=limit_micros)
    if "tokens" in data:
        return quantities.of_tokens(
            ModelTokens(**data["tokens"]),
            line=data["line"],
            grade=data["grade"],
            organisation_id=actor.organisation_id,
        )
    return int(data["quantity_st"])


def change(data: dict[str, Any]) -> Change:
    """The change that a checked amendment asks for."""
    return Change(
        quantity_st=int(data["quantity_st"]) if "quantity_st" in data else None,
        limit_micros=micros_of(data["price_per_million"]) if "price_per_million" in data else None,
        expires_at=data.get("expires_at"),
    )


def order(view: OrderView) -> dict[str, Any]:
    """An order as JSON."""
    return {
        "id": ids.encode("ord", view.id),
        "side": view.side,
        "line": view.line,
        "grade": view.grade,
        "window_start": view.window_start,
        "window_end": view.window_end,
        "quantity_st": str(view.quantity_st),
        "price_per_million": price(view.limit_micros),
        "filled_st": str(view.filled_st),
        "left_st": str(view.left_st),
        "average_price_per_million": price(view.average_micros),
        "paid": price(view.paid_micros),
        "held": price(view.held_micros),
        "status": view.status,
        "time_in_force": view.time_in_force,
        "expires_at": view.expires_at,
        "client_order_id": view.client_order_id,
        "created_at": view.created_at,
        "amended_at": view.amended_at,
        "ended_at": view.ended_at,
        "or_better": takes_better(view.choices, grade=view.grade),
        "choices": [
            {
                "line": one.line,
                "grade": one.grade or view.grade,
                "window_start": one.window_start,
                "price_per_million": price(one.limit_micros),
            }
            for one in view.choices
        ],
        "vendors": sorted(view.scope.vendors),
        "regions": sorted(view.scope.regions),
        "tiers": sorted(view.scope.tiers),
        "data_terms": sorted(view.scope.data_terms),
        "min_quantity_st": str(view.scope.minimum_st),
    }


def preview(view: Preview) -> dict[str, Any]:
    """A preview as JSON."""
    tokens, listed = view.token_prices, view.list_price
    return {
        "quantity_st": str(view.quantity_st),
        "expected_fill_st": None if view.expected_fill_st is None else str(view.expected_fill_st),
        "expected_price_per_million": price(view.expected_price_micros),
        "expected": [
            {
                "line": one.product.line,
                "grade": one.product.grade,
                "window_start": one.product.window_start,
                "fill_st": str(one.quantity_st),
                "price_per_million": price(one.price_micros),
            }
            for one in view.expected
        ],
        "expected_unknown": view.expected_unknown,
        "worst_cost": price(view.worst_cost_micros),
        "held": price(view.hold_micros),
        "fee": price(view.fee_micros),
        "available": price(view.available_micros),
        "reference_per_million": price(view.reference_micros),
        "distance_bps": view.distance_bps,
        "collar_low_per_million": price(view.collar_low_micros),
        "collar_high_per_million": price(view.collar_high_micros),
        "token_prices": {
            "context": tokens.context,
            "input": price(tokens.input_micros),
            "cached": price(tokens.cached_micros),
            "output": price(tokens.output_micros),
        },
        "list_price_per_million": price(listed.price_micros if listed else None),
        "list_price_source": listed.source if listed else None,
        "list_price_since": listed.valid_from if listed else None,
        "list_cost": price(view.list_cost_micros),
    }
