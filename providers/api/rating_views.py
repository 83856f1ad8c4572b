"""Ratings over REST: store one, look at all, compare a window with the one that stands."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from providers import selectors, services
from providers.api import rating_shapes as shapes
from providers.kernel.errors import NotFound


class Ratings(ApiView):
    """The ratings of a deployment."""

    required_scopes = {"GET": "offers:read", "POST": "offers:write"}

    @extend_schema(responses=shapes.RatingListSerializer, operation_id="ratings_list")
    def get(self, request: Request, public_id: str) -> Response:
        """All of them with their runs, newest first."""
        found = selectors.ratings_of(_uuid("dep", public_id), self.actor, now=clock.now())
        return Response(shapes.RatingListSerializer({"data": list(map(shapes.rating, found)), "next": None}).data)

    @extend_schema(
        request=shapes.RatingInSerializer, responses={201: shapes.RatingSerializer}, operation_id="ratings_create"
    )
    def post(self, request: Request, public_id: str) -> Response:
        """Submit calibration runs; the rating is solved here and supersedes the one before."""
        data, actor, now = _checked(shapes.RatingInSerializer, request), self.actor, clock.now()
        draft = shapes.rating_draft(_uuid("dep", public_id), data)

        def effect() -> dict:
            return {"id": ids.encode("rtg", services.ratings.record(draft, actor=actor, now=now))}

        payload = {"deployment": public_id, "body": request.data}
        once = self.once(request, operation="ratings.create", payload=payload, now=now, effect=effect)
        found = selectors.rating_of(_uuid("rtg", once.body["id"]), actor, now=now)
        return Response(shapes.RatingSerializer(shapes.rating(found)).data, status=201)


class RatingChecks(ApiView):
    """Comparing work with the standing rating."""

    required_scopes = {"POST": "offers:write"}

    @extend_schema(
        request=shapes.CheckInSerializer, responses={201: shapes.CheckSerializer}, operation_id="ratings_check"
    )
    def post(self, request: Request, public_id: str) -> Response:
        """Submit one window at load. It is kept, and counts with the others when drift is judged."""
        data, actor, now = _checked(shapes.CheckInSerializer, request), self.actor, clock.now()
        draft = shapes.check_draft(_uuid("dep", public_id), data)

        def effect() -> dict:
            return shapes.check(services.ratings.check(draft, actor=actor, now=now))

        payload = {"deployment": public_id, "body": request.data}
        once = self.once(request, operation="ratings.check", payload=payload, now=now, effect=effect)
        return Response(shapes.CheckSerializer(once.body).data, status=201)


def _checked(serializer: Any, request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _uuid(prefix: str, public_id: str) -> UUID:
    try:
        return ids.decode(prefix, public_id)
    except ids.BadId:
        raise NotFound("There is no such deployment or rating.") from None
