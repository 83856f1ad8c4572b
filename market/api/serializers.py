"""Shapes of what the API tells of the market: decimals and large integers as strings, instants in UTC."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.http.serializers import StrictSerializer
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from market.kernel.bars import INTERVALS, Bar, IndexPoint
from market.kernel.text import price_text
from market.selectors import (
    AllocationView,
    Depth,
    LineView,
    ProductView,
    RoundPriceView,
    RoundView,
    TradeView,
)
from market.services.cancellation import Cancellation
from market.services.certificates import OwnOrder

SIDES = ["buy", "sell"]


class TokenPricesSerializer(serializers.Serializer):
    """Yuan per million tokens of the model itself, at this context."""

    context = serializers.IntegerField()
    input = serializers.CharField()
    cached = serializers.CharField()
    output = serializers.CharField()


class LineSerializer(serializers.Serializer):
    """A model line."""

    slug = serializers.CharField()
    display_name = serializers.CharField()
    publisher = serializers.CharField()
    model = serializers.CharField()
    card = serializers.CharField()
    card_name = serializers.CharField()
    card_format = serializers.CharField()
    context_limit = serializers.IntegerField()
    reference_context = serializers.IntegerField()
    provisional = serializers.BooleanField()


class LinePageSerializer(serializers.Serializer):
    """All lines; there is no further page."""

    data = LineSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class ProductSerializer(serializers.Serializer):
    """Line × grade × window, with its tick (yuan per million ST) and lot (ST)."""

    id = serializers.CharField()
    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    tick = serializers.CharField()
    lot_st = serializers.CharField()
    last_price_per_million = serializers.CharField(allow_null=True)
    reference_per_million = serializers.CharField(allow_null=True)
    best_bid_per_million = serializers.CharField(allow_null=True)
    best_offer_per_million = serializers.CharField(allow_null=True)


class ProductPageSerializer(serializers.Serializer):
    """All open products of the filter, earliest window first; there is no further page."""

    data = ProductSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class LevelSerializer(serializers.Serializer):
    """Open quantity at one price."""

    price_per_million = serializers.CharField()
    quantity_st = serializers.CharField()
    flexible_st = serializers.CharField(help_text="of it, bids that accept other products too: they fill in one only")


class DepthSerializer(serializers.Serializer):
    """The best levels of both sides, best first."""

    product = serializers.CharField()
    bids = LevelSerializer(many=True)
    offers = LevelSerializer(many=True)


class TradeSerializer(serializers.Serializer):
    """A round in which a product traded."""

    round = serializers.CharField()
    price_per_million = serializers.CharField()
    volume_st = serializers.CharField()
    at = serializers.DateTimeField()


class TradePageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = TradeSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class SpanSerializer(StrictSerializer):
    """From when to when."""

    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Instants near the ends of the calendar have no whole interval around them."""
        for name in ("since", "until"):
            if name in attrs and not 2000 <= attrs[name].year < 3000:
                raise serializers.ValidationError({name: ["An instant from the year 2000 on is needed."]})
        return attrs


class BarsInSerializer(SpanSerializer):
    """Which bars."""

    interval = serializers.ChoiceField(choices=list(INTERVALS))


class IndexInSerializer(SpanSerializer):
    """Which index."""

    grade = serializers.CharField(max_length=12)


class BarSerializer(serializers.Serializer):
    """What a product did in `[start, end)`; prices are yuan per million ST, the average weighted by volume."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    open = serializers.CharField()
    high = serializers.CharField()
    low = serializers.CharField()
    close = serializers.CharField()
    average = serializers.CharField()
    volume_st = serializers.CharField()


class BarsSerializer(serializers.Serializer):
    """Earliest first."""

    data = BarSerializer(many=True)


class IndexPointSerializer(serializers.Serializer):
    """Volume-weighted price of a line and grade in `[start, end)`."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    price_per_million = serializers.CharField()
    volume_st = serializers.CharField()


class IndexSerializer(serializers.Serializer):
    """Earliest first."""

    data = IndexPointSerializer(many=True)


class RoundSerializer(serializers.Serializer):
    """A cleared round; commitment, seed and root in hexadecimal."""

    id = serializers.CharField()
    number = serializers.CharField()
    state = serializers.CharField()
    closed_at = serializers.DateTimeField()
    cleared_at = serializers.DateTimeField()
    orders = serializers.IntegerField()
    products = serializers.IntegerField()
    fills = serializers.IntegerField()
    volume_st = serializers.CharField()
    commitment = serializers.CharField()
    seed = serializers.CharField()
    root = serializers.CharField()


class RoundPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = RoundSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class RoundPriceSerializer(serializers.Serializer):
    """What the round said of one product."""

    product = serializers.CharField()
    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    price_per_million = serializers.CharField(allow_null=True)
    low_per_million = serializers.CharField(allow_null=True)
    high_per_million = serializers.CharField(allow_null=True)
    volume_st = serializers.CharField()
    indicative_per_million = serializers.CharField(allow_null=True)
    collar_low_per_million = serializers.CharField(allow_null=True)
    collar_high_per_million = serializers.CharField(allow_null=True)
    collar_hit = serializers.BooleanField()
    bids = serializers.IntegerField()
    offers = serializers.IntegerField()


class RoundDetailSerializer(RoundSerializer):
    """A round with its prices."""

    prices = RoundPriceSerializer(many=True)


class OwnOrderSerializer(serializers.Serializer):
    """An order and its pseudonym (hexadecimal) in the round's certificate."""

    order = serializers.CharField()
    pseudonym = serializers.CharField()


class RoundOrdersSerializer(serializers.Serializer):
    """The caller's orders that the certificate prints."""

    data = OwnOrderSerializer(many=True)


class AllocationSerializer(serializers.Serializer):
    """What was bought: so many ST of a line in a window at a price. The other side is never named."""

    id = serializers.CharField()
    side = serializers.ChoiceField(choices=SIDES)
    round = serializers.CharField()
    order = serializers.CharField()
    line = serializers.CharField()
    grade = serializers.CharField()
    window_start = serializers.DateTimeField()
    window_end = serializers.DateTimeField()
    quantity_st = serializers.CharField()
    price_per_million = serializers.CharField()
    cost = serializers.CharField()
    drawn_micro_st = serializers.CharField()
    left_micro_st = serializers.CharField()
    created_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)


class CancellationSerializer(AllocationSerializer):
    """An allocation that was given up, with what that costs and what became free of its hold."""

    fee = serializers.CharField()
    released = serializers.CharField()


class AllocationPageSerializer(serializers.Serializer):
    """Newest first; `next` is the cursor of the following page."""

    data = AllocationSerializer(many=True)
    next = serializers.CharField(allow_null=True)


def price(micros: int | None) -> str | None:
    """A price or an amount of micro-yuan as yuan; unknown stays null."""
    return None if micros is None else price_text(micros)


def line(view: LineView) -> dict[str, Any]:
    """A line as JSON."""
    names = ("slug", "display_name", "publisher", "model", "card_name", "card_format", "context_limit",
             "reference_context", "provisional")  # fmt: skip
    return {"card": view.card_digest, **{name: getattr(view, name) for name in names}}


def product(view: ProductView) -> dict[str, Any]:
    """A product as JSON, without its prices."""
    return {
        "id": ids.encode("prd", view.id),
        "line": view.line,
        "grade": view.grade,
        "window_start": view.window_start,
        "window_end": view.window_end,
        "tick": price(view.tick_micros),
        "lot_st": str(view.lot_st),
    }


def depth(view: ProductView, found: Depth) -> dict[str, Any]:
    """Both sides as JSON."""

    def side(levels: list[Any]) -> list[dict[str, Any]]:
        return [
            {
                "price_per_million": price(one.price_micros),
                "quantity_st": str(one.quantity_st),
                "flexible_st": str(one.flexible_st),
            }
            for one in levels
        ]

    return {"product": ids.encode("prd", view.id), "bids": side(found.bids), "offers": side(found.offers)}


def trade(view: TradeView) -> dict[str, Any]:
    """A trade as JSON."""
    return {
        "round": str(view.number),
        "price_per_million": price(view.price_micros),
        "volume_st": str(view.volume_st),
        "at": view.at,
    }


def bar(one: Bar) -> dict[str, Any]:
    """A bar as JSON."""
    prices = {name: price(getattr(one, f"{name}_micros")) for name in ("open", "high", "low", "close", "average")}
    return {"start": one.start, "end": one.end, **prices, "volume_st": str(one.volume_st)}


def index_point(one: IndexPoint) -> dict[str, Any]:
    """A point of an index as JSON."""
    return {
        "start": one.start,
        "end": one.end,
        "price_per_million": price(one.price_micros),
        "volume_st": str(one.volume_st),
    }


def round_(view: RoundView) -> dict[str, Any]:
    """A round as JSON."""
    names = ("state", "closed_at", "cleared_at", "orders", "products", "fills", "commitment", "seed", "root")
    return {
        "id": ids.encode("rnd", view.id),
        "number": str(view.number),
        "volume_st": str(view.volume_st),
        **{name: getattr(view, name) for name in names},
    }


def own_order(one: OwnOrder) -> dict[str, Any]:
    """An own order in a certificate as JSON."""
    return {"order": ids.encode("ord", one.order_id), "pseudonym": one.pseudonym}


def round_price(view: RoundPriceView) -> dict[str, Any]:
    """A product's part of a round as JSON."""
    return {
        "product": ids.encode("prd", view.product.id),
        "line": view.product.line,
        "grade": view.product.grade,
        "window_start": view.product.window_start,
        "price_per_million": price(view.price_micros),
        "low_per_million": price(view.low_micros),
        "high_per_million": price(view.high_micros),
        "volume_st": str(view.volume_st),
        "indicative_per_million": price(view.indicative_micros),
        "collar_low_per_million": price(view.collar_low_micros),
        "collar_high_per_million": price(view.collar_high_micros),
        "collar_hit": view.collar_hit,
        "bids": view.bids,
        "offers": view.offers,
    }


def allocation(view: AllocationView, actor: Actor) -> dict[str, Any]:
    """An allocation as JSON, from the side that the actor is on."""
    buys = view.buyer_id == actor.organisation_id
    return {
        "id": ids.encode("alc", view.id),
        "side": "buy" if buys else "sell",
        "round": str(view.round_number),
        "order": ids.encode("ord", view.buy_order_id if buys else view.sell_order_id),
        "line": view.line,
        "grade": view.grade,
        "window_start": view.window_start,
        "window_end": view.window_end,
        "quantity_st": str(view.quantity_st),
        "price_per_million": price(view.price_micros),
        "cost": price(view.cost_micros),
        "drawn_micro_st": str(view.drawn_micro_st),
        "left_micro_st": str(view.left_micro_st),
        "created_at": view.created_at,
        "cancelled_at": view.cancelled_at,
    }


def cancellation(found: Cancellation, actor: Actor) -> dict[str, Any]:
    """A cancelled allocation as JSON."""
    body = allocation(found.allocation, actor)
    return {**body, "fee": price(found.fee_micros), "released": price(found.released_micros)}
