"""Keys and the caller over REST."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.api import serializers as shapes
from accounts.http.pagination import page
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import clock, members
from accounts.selectors import keys as key_reads
from accounts.services.keys import NoSuchKey
from accounts.services.members import NoSuchMember


class Me(ApiView):
    """The caller."""

    required_scopes = {"GET": None}

    @extend_schema(responses=shapes.MeSerializer, operation_id="me")
    def get(self, request: Request) -> Response:
        """For whom the key or session acts, and what it may do."""
        actor = self.actor
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

    @extend_schema(responses=shapes.KeyPageSerializer, operation_id="keys_list")
    def get(self, request: Request) -> Response:
        """Newest first; secrets are never given back."""
        return page(request, key_reads.of(self.actor), prefix="key", shape=shapes.key)

    @extend_schema(
        request=shapes.KeyInSerializer,
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)],
        responses={201: shapes.NewKeySerializer},
        operation_id="keys_create",
    )
    def post(self, request: Request) -> Response:
        """Make a key. The secret is in this answer only: a repeat of the request is 409 `already_created`."""
        checked = shapes.KeyInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        new = services.keys.create_once(
            actor=self.actor,
            idempotency_key=self.idempotency_key(request),
            request=dict(request.data),
            now=clock.now(),
            **checked.validated_data,
        )
        body = {"id": ids.encode("key", new.key_id), "secret": new.secret}
        return Response(body, status=201, headers={"Cache-Control": "no-store"})


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
        services.keys.revoke(actor=self.actor, key_id=key_id, now=clock.now())
        return Response(status=204)


class Members(ApiView):
    """Members of the organisation."""

    required_scopes = {"GET": "members:write", "POST": "members:write"}

    @extend_schema(responses=shapes.MemberPageSerializer, operation_id="members_list")
    def get(self, request: Request) -> Response:
        """Newest first, by cursor."""
        return page(request, members.of(self.actor), prefix="mem", shape=shapes.member)

    @extend_schema(
        request=shapes.MemberInSerializer, responses={201: shapes.MemberSerializer}, operation_id="members_invite"
    )
    def post(self, request: Request) -> Response:
        """Make a person a member; who is new gets a mail with a link. 409 `member_already` for who is one."""
        checked = shapes.MemberInSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        made = services.members.invite(actor=self.actor, now=clock.now(), **checked.validated_data)
        return Response(_member(self.actor, made.member_id), status=201)


class MemberDetail(ApiView):
    """One member."""

    required_scopes = {"PATCH": "members:write", "DELETE": "members:write"}

    @extend_schema(request=shapes.RoleSerializer, responses=shapes.MemberSerializer, operation_id="members_change_role")
    def patch(self, request: Request, public_id: str) -> Response:
        """Another role; 409 `last_owner` where no owner would be left."""
        checked = shapes.RoleSerializer(data=request.data)
        checked.is_valid(raise_exception=True)
        member_id = _member_id(public_id)
        services.members.change_role(
            actor=self.actor, member_id=member_id, role=checked.validated_data["role"], now=clock.now()
        )
        return Response(_member(self.actor, member_id))

    @extend_schema(responses={204: None}, operation_id="members_remove")
    def delete(self, request: Request, public_id: str) -> Response:
        """End the membership at once; 409 `last_owner` where no owner would be left."""
        services.members.remove(actor=self.actor, member_id=_member_id(public_id), now=clock.now())
        return Response(status=204)


def _member(actor: Actor, member_id: UUID) -> dict:
    return shapes.member(members.of(actor).get(id=member_id))


def _member_id(public_id: str) -> UUID:
    try:
        return ids.decode("mem", public_id)
    except ids.BadId:
        raise NoSuchMember("There is no such member.") from None
