"""The market over REST: lines, products, rounds, orders, allocations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http import problems
from accounts.http.views import ApiView
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from accounts.services import idempotency
from market import selectors, services
from market.api import order_serializers as order_shapes
from market.api import reading as read
from market.api import serializers as shapes
from market.kernel.orders import OrderDraft
from market.selectors import OrderView
from market.services import certificates


class Lines(ApiView):
    """Model lines."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(responses=shapes.LinePageSerializer, operation_id="lines")
    def get(self, request: Request) -> Response:
        """All lines that the caller may buy, by name."""
        found = selectors.lines(self.actor.organisation_id)
        return Response({"data": [shapes.line(one) for one in found], "next": None})


class Products(ApiView):
    """Line × grade × window."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[OpenApiParameter("line", str), OpenApiParameter("grade", str)],
        responses=shapes.ProductPageSerializer,
        operation_id="products",
    )
    def get(self, request: Request) -> Response:
        """Open products with their last, reference and best prices, earliest window first."""
        now = clock.now()
        found = selectors.products(
            request.query_params.get("line"),
            now,
            grade=request.query_params.get("grade"),
            organisation_id=self.actor.organisation_id,
        )
        quotes = selectors.quotes(found, now=now)
        tops = selectors.tops(found, now=now)
        data = []
        for one in found:
            top = tops.get(one.id)
            data.append(
                {
                    **shapes.product(one),
                    "last_price_per_million": shapes.price(quotes[one.id].last_price_micros),
                    "reference_per_million": shapes.price(quotes[one.id].reference_micros),
                    "best_bid_per_million": shapes.price(top.bid_micros if top else None),
                    "best_offer_per_million": shapes.price(top.offer_micros if top else None),
                }
            )
        return Response({"data": data, "next": None})


class ProductDepth(ApiView):
    """Open quantity by price."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(
        parameters=[OpenApiParameter("levels", int, description="prices of each side, at most 100")],
        responses=shapes.DepthSerializer,
        operation_id="product_depth",
    )
    def get(self, request: Request, public_id: str) -> Response:
        """The best levels of both sides."""
        view = selectors.product(read.uuid("prd", public_id), self.actor.organisation_id)
        found = selectors.depth(view, now=clock.now(), count=read.number(request, "levels", default=10, most=100))
        return Response(shapes.depth(view, found))


class Rounds(ApiView):
    """Cleared rounds."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(parameters=[read.CURSOR, read.LIMIT], responses=shapes.RoundPageSerializer, operation_id="rounds")
    def get(self, request: Request) -> Response:
        """Newest first."""
        cursor, limit = (
            request.query_params.get("cursor"),
            read.number(request, "limit", default=read.PAGE, most=read.MOST),
        )
        found = selectors.recent_rounds(
            selectors.the_market().id, before=read.round_number(cursor) if cursor else None, limit=limit + 1
        )
        following = str(found[limit - 1].number) if len(found) > limit else None
        return Response({"data": [shapes.round_(one) for one in found[:limit]], "next": following})


class RoundDetail(ApiView):
    """One cleared round."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(responses=shapes.RoundDetailSerializer, operation_id="round")
    def get(self, request: Request, number: str) -> Response:
        """The round and what it said of each product that had orders on both sides."""
        view = selectors.round(read.round_number(number), market_id=selectors.the_market().id)
        visible = {one.slug for one in selectors.lines(self.actor.organisation_id)}
        prices = [one for one in selectors.round_prices(view.id) if one.product.line in visible]
        return Response({**shapes.round_(view), "prices": [shapes.round_price(one) for one in prices]})


class RoundOrders(ApiView):
    """The caller's own orders in the certificate of a round."""

    required_scopes = {"GET": "orders:read"}

    @extend_schema(responses=shapes.RoundOrdersSerializer, operation_id="round_orders")
    def get(self, _: Request, number: str) -> Response:
        """Each with the pseudonym under which the certificate prints it; nobody else can link the two."""
        found = certificates.own(
            read.round_number(number),
            market_id=selectors.the_market().id,
            organisation_id=self.actor.organisation_id,
        )
        return Response({"data": [shapes.own_order(one) for one in found]})


class Orders(ApiView):
    """Orders of the caller's organisation."""

    required_scopes = {"GET": "orders:read", "POST": "orders:write"}

    @extend_schema(
        parameters=[read.CURSOR, read.LIMIT, OpenApiParameter("status", str), OpenApiParameter("line", str)],
        responses=order_shapes.OrderPageSerializer,
        operation_id="orders",
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        return read.page(
            request,
            "ord",
            lambda before, limit: selectors.orders(
                self.actor,
                status=request.query_params.get("status"),
                line=request.query_params.get("line"),
                before=before,
                limit=limit,
            ),
            order_shapes.order,
        )

    @extend_schema(
        request=order_shapes.OrderInSerializer,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)],
        responses={201: order_shapes.OrderSerializer},
        operation_id="orders_place",
    )
    def post(self, request: Request) -> Response:
        """Place an order; the same Idempotency-Key gives the same answer again."""
        key = self.idempotency_key(request, required=True)
        data = read.checked(order_shapes.OrderInSerializer, request.data)
        now = clock.now()

        def effect() -> dict[str, Any]:
            draft = order_shapes.draft(data, self.actor, now=now)
            return read.plain(order_shapes.order(services.orders.place(draft, actor=self.actor, now=now)))

        once = idempotency.once_durable(
            organisation_id=self.actor.organisation_id,
            key=key,
            operation="order.place",
            payload=read.plain(request.data),
            now=now,
            effect=effect,
        )
        headers = {"Idempotency-Replayed": "true"} if once.replayed else {}
        return Response(once.body, status=201, headers=headers)


class OrderBatch(ApiView):
    """Many orders at once."""

    required_scopes = {"POST": "orders:write"}

    @extend_schema(
        request=order_shapes.BatchInSerializer,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)],
        responses=order_shapes.BatchSerializer,
        operation_id="orders_batch",
    )
    def post(self, request: Request) -> Response:
        """Place what can be placed, in order, with a result for each; one Idempotency-Key stands for all of it."""
        self.idempotency_key(request, required=True)
        given = read.checked(order_shapes.BatchInSerializer, request.data)["orders"]
        now = clock.now()
        once = self.once(
            request,
            operation="orders.batch",
            payload=read.plain(request.data),
            now=now,
            effect=lambda: self._place(request, given, now),
        )
        return Response(once.body)

    def _place(self, request: Request, given: list[Any], now: datetime) -> dict[str, Any]:
        form = order_shapes.OrderInSerializer()
        found = [self._draft(form, one, now) for one in given]
        drafts = [one for one in found if isinstance(one, OrderDraft)]
        placed = iter(services.batch.place_each(drafts, actor=self.actor, now=now))
        results = [next(placed) if isinstance(one, OrderDraft) else one for one in found]
        body = [self._result(request, one) for one in results]
        count = sum(one["order"] is not None for one in body)
        return {"placed": count, "refused": len(body) - count, "results": body}

    def _draft(self, form: order_shapes.OrderInSerializer, data: Any, now: datetime) -> OrderDraft | Exception:
        try:
            return order_shapes.draft(read.checked_by(form, data), self.actor, now=now)
        except (DomainError, ValidationError) as error:
            return error

    def _result(self, request: Request, one: OrderView | Exception) -> dict[str, Any]:
        if isinstance(one, Exception):
            problem = problems.exception_handler(one, {"request": request})
            assert problem is not None
            return {"status": problem.status_code, "order": None, "problem": problem.data}
        return {"status": 201, "order": read.plain(order_shapes.order(one)), "problem": None}


class OrderPreview(ApiView):
    """An order before it is placed."""

    required_scopes = {"POST": "orders:read"}

    @extend_schema(
        request=order_shapes.OrderInSerializer, responses=order_shapes.PreviewSerializer, operation_id="orders_preview"
    )
    def post(self, request: Request) -> Response:
        """What it would cost and do if the round closed now; nothing is written."""
        now = clock.now()
        draft = order_shapes.draft(read.checked(order_shapes.OrderInSerializer, request.data), self.actor, now=now)
        return Response(order_shapes.preview(services.orders.preview(draft, now=now)))


class OrderDetail(ApiView):
    """One order."""

    required_scopes = {"GET": "orders:read", "PATCH": "orders:write"}

    @extend_schema(responses=order_shapes.OrderSerializer, operation_id="order")
    def get(self, request: Request, public_id: str) -> Response:
        """How it stands."""
        return Response(order_shapes.order(selectors.order(read.uuid("ord", public_id), self.actor)))

    @extend_schema(
        request=order_shapes.AmendInSerializer,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)],
        responses=order_shapes.OrderSerializer,
        operation_id="order_amend",
    )
    def patch(self, request: Request, public_id: str) -> Response:
        """Change price, quantity or expiry of what is open; a new price or more of it starts a new cohort."""
        self.idempotency_key(request, required=True)
        order_id, now = read.uuid("ord", public_id), clock.now()
        change = order_shapes.change(read.checked(order_shapes.AmendInSerializer, request.data))

        def effect() -> dict[str, Any]:
            amended = services.amending.amend(order_id, change, actor=self.actor, now=now)
            return dict(read.plain(order_shapes.order(amended)))

        once = self.once(
            request,
            operation="order.amend",
            payload={"order": public_id, "change": read.plain(request.data)},
            now=now,
            effect=effect,
        )
        return Response(once.body)


class CancelOrder(ApiView):
    """Take what is left of an order out of the market."""

    required_scopes = {"POST": "orders:write"}

    @extend_schema(request=None, responses=order_shapes.OrderSerializer, operation_id="order_cancel")
    def post(self, request: Request, public_id: str) -> Response:
        """Cancel; a repeat gives the same answer."""
        ended = services.orders.cancel(read.uuid("ord", public_id), actor=self.actor, now=clock.now())
        return Response(order_shapes.order(ended))


class CancelAll(ApiView):
    """Take all open orders out of the market."""

    required_scopes = {"POST": "orders:write"}

    @extend_schema(
        request=order_shapes.CancelAllInSerializer,
        responses=order_shapes.CancelledSerializer,
        operation_id="orders_cancel",
    )
    def post(self, request: Request) -> Response:
        """Cancel all of the organisation's orders, or those of one side."""
        side = read.checked(order_shapes.CancelAllInSerializer, request.data).get("side")
        return Response({"cancelled": services.orders.cancel_all(actor=self.actor, now=clock.now(), side=side)})


class CancelAllAfter(ApiView):
    """The dead man's switch."""

    required_scopes = {"GET": "orders:read", "POST": "orders:write"}

    @extend_schema(responses=order_shapes.CancelAllAfterSerializer, operation_id="orders_cancel_all_after_state")
    def get(self, request: Request) -> Response:
        """When it fires, if it is set."""
        now = clock.now()
        return Response(order_shapes.cancel_all_after(selectors.cancel_after(self.actor, now=now), now=now))

    @extend_schema(
        request=order_shapes.CancelAllAfterInSerializer,
        responses=order_shapes.CancelAllAfterSerializer,
        operation_id="orders_cancel_all_after",
    )
    def post(self, request: Request) -> Response:
        """Cancel all of the organisation's open orders after so many seconds without another call."""
        seconds = read.checked(order_shapes.CancelAllAfterInSerializer, request.data)["seconds"]
        now = clock.now()
        fires_at = services.switches.cancel_all_after(seconds, actor=self.actor, now=now)
        return Response(order_shapes.cancel_all_after(fires_at, now=now))


class Allocations(ApiView):
    """What the caller's organisation bought or sold."""

    required_scopes = {"GET": "orders:read"}

    @extend_schema(
        parameters=[read.CURSOR, read.LIMIT], responses=shapes.AllocationPageSerializer, operation_id="allocations"
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        return read.page(
            request,
            "alc",
            lambda before, limit: selectors.allocations(self.actor, before=before, limit=limit),
            lambda view: shapes.allocation(view, self.actor),
        )


class CancelAllocation(ApiView):
    """Give up what was bought, before its window opens."""

    required_scopes = {"POST": "orders:write"}

    @extend_schema(
        request=None,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)],
        responses=shapes.CancellationSerializer,
        operation_id="allocation_cancel",
    )
    def post(self, request: Request, public_id: str) -> Response:
        """Cancel the whole allocation for a fee; 409 `window_open` once its window has opened."""
        self.idempotency_key(request, required=True)
        allocation_id, now = read.uuid("alc", public_id), clock.now()

        def effect() -> dict[str, Any]:
            done = services.cancellation.cancel(allocation_id, actor=self.actor, now=now)
            return dict(read.plain(shapes.cancellation(done, self.actor)))

        once = self.once(
            request, operation="allocation.cancel", payload={"allocation": public_id}, now=now, effect=effect
        )
        return Response(once.body)
