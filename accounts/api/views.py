"""Keys and the caller over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.api import serializers as shapes
from accounts.http.pagination import page
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.selectors import clock
from accounts.selectors import keys as key_reads
from accounts.services.keys import KeyMadeBefore, NoSuchKey


class Me(ApiView):
    """The caller."""

    required_scopes = {"GET": "market:read"}

    @extend_schema(responses=shapes.MeSerializer, operation_id="me")
    def get(self, request: Request) -> Response:
        """For whom the key or session acts, and what it may do."""
        actor = request.actor
        return Response(
            {
                "organisation": ids.encode("org", actor.organisation_id),
                "organisation_name": actor.organisation_name,
                "kind": actor.organisation_kind,
                "role": actor.role,
                "scopes": sorted(actor.scopes),
            }
        )


class Keys(ApiView):
    """API keys of the organisation."""

    required_scopes = {"GET": "keys:write", "POST": "keys:write"}

    @extend_schema(responses=shapes.KeySerializer(many=True), operation_id="keys_list")
    def get(self, request: Request) -> Response:
        """Newest first; secrets are never given back."""
        return page(request, key_reads.of(request.actor), prefix="key", shape=shapes.key)

    @extend_schema(request=shapes.KeyInSerializer, responses={201: shapes.NewKeySerializer}, operation_id="keys_create")
    def post(self, request: Request) -> Response:
        """Make a key. The secret is in this answer only: a repeat of the request is 409 `already_created`."""
        checked = shapes.KeyInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        now = clock.now()
        made: dict[str, Any] = {}

        def effect() -> dict[str, Any]:
            new = services.keys.create(actor=request.actor, now=now, **checked.validated_data)
            made.update({"id": ids.encode("key", new.key_id), "secret": new.secret})
            return {"id": made["id"]}

        once = self.once(request, operation="keys.create", payload=dict(request.data), now=now, effect=effect)
        if once.replayed:
            raise KeyMadeBefore("This key was made before; its secret cannot be shown again.", id=once.body["id"])
        return Response(made, status=201)


class RevokeKey(ApiView):
    """End a key."""

    required_scopes = {"POST": "keys:write"}

    @extend_schema(request=None, responses={204: None}, operation_id="keys_revoke")
    def post(self, request: Request, public_id: str) -> Response:
        """At once; a repeat changes nothing."""
        try:
            key_id = ids.decode("key", public_id)
        except ids.BadId:
            raise NoSuchKey("There is no such key.") from None
        services.keys.revoke(actor=request.actor, key_id=key_id, now=clock.now())
        return Response(status=204)
