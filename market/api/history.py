"""Market data over REST: trades and bars of a product, the index of a line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.views import ApiView
from accounts.selectors import clock
from market import selectors
from market.api import reading as read
from market.api import serializers as shapes
from market.kernel.bars import INDEX_INTERVAL, INTERVALS, start_of
from market.kernel.errors import NotFound, UnknownLine
from market.selectors import LineView

BARS, MOST_BARS = 500, 1_000
POINTS, MOST_POINTS = 288, 2_016  # a day, a week
_SINCE = OpenApiParameter("since", datetime, description="first instant, taken back to the start of its interval")
_UNTIL = OpenApiParameter("until", datetime, description="end, taken on to the end of its interval")


class Trades(ApiView):
    """Rounds in which a product traded."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[read.CURSOR, read.LIMIT], responses=shapes.TradePageSerializer, operation_id="product_trades"
    )
    def get(self, request: Request, public_id: str) -> Response:
        """Price and volume of each round, newest first."""
        view = selectors.product(read.uuid("prd", public_id), self.actor.organisation_id)
        cursor = request.query_params.get("cursor")
        limit = read.number(request, "limit", default=read.PAGE, most=read.MOST)
        found = selectors.trades(view.id, before=read.round_number(cursor) if cursor else None, limit=limit + 1)
        following = str(found[limit - 1].number) if len(found) > limit else None
        return Response({"data": [shapes.trade(one) for one in found[:limit]], "next": following})


class Bars(ApiView):
    """Open, high, low and close of a product."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[OpenApiParameter("interval", str, enum=list(INTERVALS), required=True), _SINCE, _UNTIL],
        responses=shapes.BarsSerializer,
        operation_id="product_bars",
    )
    def get(self, request: Request, public_id: str) -> Response:
        """Bars of one interval each, earliest first, at most 1,000 intervals; those without a trade are left out.

        Without `since` the last 500 intervals; days are those of UTC+08:00.
        """
        view = selectors.product(read.uuid("prd", public_id), self.actor.organisation_id)
        asked = read.checked(shapes.BarsInSerializer, request.query_params.dict())
        interval = INTERVALS[asked["interval"]]
        # A product trades until its window ends, and has no later bars.
        last = min(clock.now(), view.window_end)
        span = _span(asked, interval, last=last, default=BARS, most=MOST_BARS)
        found = selectors.bars(view.id, interval=interval, since=span.since, until=span.until)
        return Response({"data": [shapes.bar(one) for one in found]})


class Index(ApiView):
    """What a line costs."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[OpenApiParameter("grade", str, required=True), _SINCE, _UNTIL],
        responses=shapes.IndexSerializer,
        operation_id="line_index",
    )
    def get(self, request: Request, slug: str) -> Response:
        """Volume-weighted price per five minutes over all windows, earliest first, at most a week.

        Without `since` the last day; five minutes without a trade are left out.
        """
        line = self._line(slug)
        asked = read.checked(shapes.IndexInSerializer, request.query_params.dict())
        market = selectors.the_market()
        selectors.terms_of(market.id, asked["grade"])
        span = _span(asked, INDEX_INTERVAL, last=clock.now(), default=POINTS, most=MOST_POINTS)
        found = selectors.index(market.id, line.id, asked["grade"], since=span.since, until=span.until)
        return Response({"data": [shapes.index_point(one) for one in found]})

    def _line(self, slug: str) -> LineView:
        try:
            return selectors.line_for(slug, self.actor.organisation_id)
        except UnknownLine:
            raise NotFound("There is no such model line.") from None


@dataclass(frozen=True)
class _Span:
    """`[since, until)`, on the borders of intervals."""

    since: datetime
    until: datetime


def _span(asked: dict[str, datetime], interval: timedelta, *, last: datetime, default: int, most: int) -> _Span:
    """The span asked for; without an end that of the interval of `last`, without a start `default` intervals."""
    end = asked.get("until", last)
    until = start_of(end, interval)
    if until < end or "until" not in asked:
        until += interval
    since = start_of(asked["since"], interval) if "since" in asked else until - default * interval
    if since >= until:
        raise ValidationError({"since": ["The span ends before it starts."]})
    if until - since > most * interval:
        raise ValidationError({"since": [f"At most {most} intervals are given at once."]})
    return _Span(since, until)
