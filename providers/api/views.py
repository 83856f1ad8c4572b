"""Providers over REST: pools, deployments, offers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from market.kernel.text import micros_of
from providers import selectors, services
from providers.api import serializers as shapes
from providers.kernel.drafts import DeploymentDraft, PlanDraft, PoolDraft
from providers.kernel.errors import NotFound

_KINDS = {"pol": "pool", "dep": "deployment", "off": "offer"}


class Pools(ApiView):
    """The organisation's pools."""

    required_scopes = {"GET": "offers:read", "POST": "offers:write"}

    @extend_schema(responses=shapes.PoolListSerializer, operation_id="pools_list")
    def get(self, request: Request) -> Response:
        """All of them, by name."""
        listed = [shapes.pool(view) for view in selectors.pools_of(self.actor)]
        return Response(shapes.PoolListSerializer({"data": listed, "next": None}).data)

    @extend_schema(request=shapes.PoolInSerializer, responses={201: shapes.PoolSerializer}, operation_id="pools_create")
    def post(self, request: Request) -> Response:
        """Register one."""
        data, actor, now = _checked(shapes.PoolInSerializer, request), self.actor, clock.now()

        def effect() -> dict:
            return {"id": ids.encode("pol", services.pools.add(PoolDraft(**data), actor=actor, now=now))}

        once = self.once(request, operation="pools.create", payload=request.data, now=now, effect=effect)
        view = selectors.pool(_uuid("pol", once.body["id"]), actor)
        return Response(shapes.PoolSerializer(shapes.pool(view)).data, status=201)


class Deployments(ApiView):
    """The organisation's deployments."""

    required_scopes = {"GET": "offers:read", "POST": "offers:write"}

    @extend_schema(responses=shapes.DeploymentListSerializer, operation_id="deployments_list")
    def get(self, request: Request) -> Response:
        """All of them, by pool and line."""
        views = selectors.deployments_of(self.actor)
        found = selectors.standings(views, now=clock.now())
        listed = [shapes.deployment(view, found[view.id]) for view in views]
        return Response(shapes.DeploymentListSerializer({"data": listed, "next": None}).data)

    @extend_schema(
        request=shapes.DeploymentInSerializer,
        responses={201: shapes.DeploymentSerializer},
        operation_id="deployments_create",
    )
    def post(self, request: Request) -> Response:
        """Register one."""
        data, actor, now = _checked(shapes.DeploymentInSerializer, request), self.actor, clock.now()
        draft = DeploymentDraft(pool_id=_uuid("pol", data.pop("pool")), **data)

        def effect() -> dict:
            return {"id": ids.encode("dep", services.deployments.add(draft, actor=actor, now=now))}

        once = self.once(request, operation="deployments.create", payload=request.data, now=now, effect=effect)
        return Response(_deployment(once.body["id"], self.actor), status=201)


class RetireDeployment(ApiView):
    """Taking a deployment out of use."""

    required_scopes = {"POST": "offers:write"}

    @extend_schema(request=None, responses=shapes.DeploymentSerializer, operation_id="deployments_retire")
    def post(self, request: Request, public_id: str) -> Response:
        """Withdraw its offers and retire it; again changes nothing."""
        services.deployments.retire(_uuid("dep", public_id), actor=self.actor, now=clock.now())
        return Response(_deployment(public_id, self.actor))


class Offers(ApiView):
    """The organisation's offers."""

    required_scopes = {"GET": "offers:read", "POST": "offers:write"}

    @extend_schema(responses=shapes.OfferListSerializer, operation_id="offers_list")
    def get(self, request: Request) -> Response:
        """All of them, newest first."""
        listed = [shapes.offer(view) for view in selectors.plans_of(self.actor, now=clock.now())]
        return Response(shapes.OfferListSerializer({"data": listed, "next": None}).data)

    @extend_schema(
        request=shapes.OfferInSerializer, responses={201: shapes.OfferSerializer}, operation_id="offers_create"
    )
    def post(self, request: Request) -> Response:
        """Save one as a draft; `POST …/post` makes it live."""
        draft, actor, now = _draft(request), self.actor, clock.now()

        def effect() -> dict:
            return {"id": ids.encode("off", services.offers.create(draft, actor=actor, now=now))}

        once = self.once(request, operation="offers.create", payload=request.data, now=now, effect=effect)
        return Response(_offer(once.body["id"], self.actor), status=201)


class PreviewOffer(ApiView):
    """What an offer would post now."""

    required_scopes = {"POST": "offers:write"}

    @extend_schema(
        request=shapes.OfferInSerializer, responses=shapes.OfferPreviewSerializer, operation_id="offers_preview"
    )
    def post(self, request: Request) -> Response:
        """Window by window; nothing is written."""
        found = services.offers.preview(_draft(request), actor=self.actor, now=clock.now())
        return Response(shapes.OfferPreviewSerializer(shapes.preview(found)).data)


class OfferDetail(ApiView):
    """One offer."""

    required_scopes = {"GET": "offers:read"}

    @extend_schema(responses=shapes.OfferSerializer, operation_id="offers_get")
    def get(self, request: Request, public_id: str) -> Response:
        """With its posted windows."""
        return Response(_offer(public_id, self.actor))


class ChangeOffer(ApiView):
    """Post, pause or withdraw an offer."""

    required_scopes = {"POST": "offers:write"}
    action = ""

    @extend_schema(request=None, responses=shapes.OfferSerializer)
    def post(self, request: Request, public_id: str) -> Response:
        """Do it; again changes nothing."""
        change = getattr(services.offers, self.action)
        change(_uuid("off", public_id), actor=self.actor, now=clock.now())
        return Response(_offer(public_id, self.actor))


def _draft(request: Request) -> PlanDraft:
    data = _checked(shapes.OfferInSerializer, request)
    return PlanDraft(
        deployment_id=_uuid("dep", data["deployment"]),
        grade=data["grade"],
        schedule=shapes.schedule(data),
        discount_bps=data["discount_bps"],
        floor_micros=micros_of(data["floor_per_million"]),
        share_bps=data["share_bps"],
    )


def _offer(public_id: str, actor: Actor) -> dict[str, Any]:
    view = selectors.plan(_uuid("off", public_id), actor, now=clock.now())
    return shapes.OfferSerializer(shapes.offer(view)).data


def _deployment(public_id: str, actor: Actor) -> dict[str, Any]:
    view = selectors.deployment_of(_uuid("dep", public_id), actor)
    found = selectors.standings([view], now=clock.now())[view.id]
    return shapes.DeploymentSerializer(shapes.deployment(view, found)).data


def _checked(serializer: Any, request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _uuid(prefix: str, public_id: str) -> UUID:
    try:
        return ids.decode(prefix, public_id)
    except ids.BadId:
        raise NotFound(f"There is no such {_KINDS[prefix]}.") from None
