"""Agents over REST: what their provider does with them, and what they say themselves, signed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.http.problems import MEDIA_TYPE, problem
from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.strict_json import MalformedJSON, loads
from accounts.selectors import clock
from providers import selectors, services
from providers.kernel.errors import BadValue, NotFound
from providers.kernel.signatures import BadSignature, read
from providers.selectors import AgentView
from providers.services.agents import AgentIdentity, NewToken

_KEY_HEADER = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)
_NO_STORE = {"Cache-Control": "no-store"}
_MOST_BYTES = 65_536


class AgentInSerializer(StrictSerializer):
    """An agent to make; without a pool it meters all of the organisation's."""

    name = serializers.CharField(max_length=80)
    pool = serializers.CharField(required=False, allow_null=True, default=None)


class ParkSerializer(StrictSerializer):
    """Why an agent is parked."""

    reason = serializers.CharField(max_length=200)


class RegisterSerializer(StrictSerializer):
    """A registration; `public_key` is 32 raw Ed25519 bytes in base64url."""

    registration_token = serializers.CharField(max_length=100)
    public_key = serializers.CharField(max_length=44)
    version = serializers.CharField(max_length=40, default="", allow_blank=True)


class RotateSerializer(StrictSerializer):
    """The key that takes over."""

    public_key = serializers.CharField(max_length=44)


class AgentSerializer(serializers.Serializer):
    """An agent. `state` is waiting, active, parked or revoked."""

    id = serializers.CharField()
    name = serializers.CharField()
    pool = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    reason = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    last_seen_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class NewAgentSerializer(AgentSerializer):
    """An agent with its one-time token, which is in this answer only."""

    registration_token = serializers.CharField()
    token_expires_at = serializers.DateTimeField()


class AgentListSerializer(serializers.Serializer):
    """All agents; there is no further page."""

    data = AgentSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class RegisteredSerializer(serializers.Serializer):
    """Who the agent is from now on."""

    agent = serializers.CharField()
    keyid = serializers.CharField()
    organisation = serializers.CharField()
    server_time = serializers.DateTimeField()


class KeySerializer(serializers.Serializer):
    """The key that takes over."""

    keyid = serializers.CharField()


class AgentDeploymentSerializer(serializers.Serializer):
    """What an agent meters."""

    id = serializers.CharField()
    line = serializers.CharField()
    card_digest = serializers.CharField()
    served_format = serializers.CharField()
    contracted_format = serializers.CharField()
    engine_model = serializers.CharField()


class AgentDeploymentsSerializer(serializers.Serializer):
    """All that an agent meters."""

    data = AgentDeploymentSerializer(many=True)


class Agents(ApiView):
    """The organisation's agents."""

    required_scopes = {"GET": "offers:read", "POST": "offers:write"}

    @extend_schema(responses=AgentListSerializer, operation_id="agents_list")
    def get(self, request: Request) -> Response:
        """All of them, newest first."""
        return Response({"data": [shape(view) for view in selectors.agents_of(self.actor)], "next": None})

    @extend_schema(
        request=AgentInSerializer, parameters=[_KEY_HEADER], responses={201: NewAgentSerializer},
        operation_id="agents_create",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Make one. Its registration token is in this answer only: a repeat is 409 `already_created`."""
        data = _checked(AgentInSerializer, request.data)
        new = services.agents.make_once(
            idempotency_key=self.idempotency_key(request),
            request=dict(request.data),
            name=data["name"],
            pool_id=None if data["pool"] is None else _uuid("pol", data["pool"], "pool"),
            actor=self.actor,
            now=clock.now(),
        )
        return _made(new, self.actor)


class AgentToken(ApiView):
    """Another one-time token, for an agent that lost its key."""

    required_scopes = {"POST": "offers:write"}

    @extend_schema(
        request=None, parameters=[_KEY_HEADER], responses={201: NewAgentSerializer}, operation_id="agents_token"
    )
    def post(self, request: Request, public_id: str) -> Response:
        """Make it; earlier tokens end. Registering with it ends the keys that the agent had."""
        new = services.agents.new_token_once(
            _uuid("agt", public_id, "agent"),
            idempotency_key=self.idempotency_key(request),
            request={},
            actor=self.actor,
            now=clock.now(),
        )
        return _made(new, self.actor)


class ChangeAgent(ApiView):
    """Revoke, park or release an agent."""

    required_scopes = {"POST": "offers:write"}
    action = ""

    @extend_schema(request=None, responses=AgentSerializer)
    def post(self, request: Request, public_id: str) -> Response:
        """Do it; parking needs a `reason`."""
        agent_id = _uuid("agt", public_id, "agent")
        if self.action == "park":
            data = _checked(ParkSerializer, request.data)
            services.agents.park(agent_id, reason=data["reason"], actor=self.actor, now=clock.now())
        else:
            getattr(services.agents, self.action)(agent_id, actor=self.actor, now=clock.now())
        return Response(AgentSerializer(shape(selectors.agent_of(agent_id, self.actor))).data)


class Register(APIView):
    """Where an agent hands in its key; the one-time token is its proof."""

    authentication_classes: list = []
    permission_classes: list = []

    @extend_schema(
        request=RegisterSerializer, responses={201: RegisteredSerializer}, operation_id="agent_register", auth=[]
    )
    def post(self, request: Request) -> Response:
        """Register; 401 `bad_registration_token`, 409 `token_used`, 409 `key_taken`."""
        data, now = _checked(RegisterSerializer, request.data), clock.now()
        done = services.agents.register(
            token=data["registration_token"], public_key=data["public_key"], version=data["version"], now=now
        )
        body = {
            "agent": ids.encode("agt", done.agent_id),
            "keyid": ids.encode("agk", done.key_id),
            "organisation": ids.encode("org", done.organisation_id),
            "server_time": now,
        }
        return Response(RegisteredSerializer(body).data, status=201, headers=_NO_STORE)


class SignedView(APIView):
    """A view that only a signed request reaches; `self.agent` is who signed, `self.body` the strict JSON."""

    authentication_classes: list = []
    permission_classes: list = []
    agent: AgentIdentity
    body: Any

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the signature over the bytes that came, then read them."""
        raw = request._request.body
        if len(raw) > _MOST_BYTES:
            raise BadValue(f"A body has at most {_MOST_BYTES} bytes.")
        self.agent = services.agents.authenticate(_signed(request._request, raw), now=clock.now())
        try:
            self.body = loads(raw) if raw else {}
        except MalformedJSON as error:
            raise serializers.ValidationError(str(error)) from None

    def handle_exception(self, exc: Exception) -> Response:
        """A signature that does not fit is 401 with the part that does not."""
        if not isinstance(exc, BadSignature):
            return super().handle_exception(exc)
        request_id = getattr(self.request._request, "request_id", "")
        found = problem(401, "bad_signature", str(exc), request_id=request_id, reason=exc.reason)
        return Response(found, status=401, content_type=MEDIA_TYPE, headers={"WWW-Authenticate": "Signature"})


class RotateKey(SignedView):
    """Another key for an agent, handed in under the old one."""

    @extend_schema(request=RotateSerializer, responses=KeySerializer, operation_id="agent_rotate_key", auth=[])
    def post(self, request: Request) -> Response:
        """The old key stays valid for ten minutes."""
        data = _checked(RotateSerializer, self.body)
        key_id = services.agents.rotate(self.agent, public_key=data["public_key"], now=clock.now())
        return Response({"keyid": ids.encode("agk", key_id)})


class AgentDeployments(SignedView):
    """What an agent meters."""

    @extend_schema(responses=AgentDeploymentsSerializer, operation_id="agent_deployments", auth=[])
    def get(self, request: Request) -> Response:
        """The active deployments of its pool, or of all its provider's pools."""
        data = [
            {
                "id": ids.encode("dep", one.id),
                "line": one.line,
                "card_digest": one.card_digest,
                "served_format": one.served_format,
                "contracted_format": one.contracted_format,
                "engine_model": one.engine_model,
            }
            for one in selectors.deployments_for_agent(self.agent.agent_id)
        ]
        return Response({"data": data})


def _made(new: NewToken, actor: Actor) -> Response:
    view = selectors.agent_of(new.agent_id, actor)
    body = {**shape(view), "registration_token": new.token, "token_expires_at": new.expires_at}
    return Response(NewAgentSerializer(body).data, status=201, headers=_NO_STORE)


def shape(view: AgentView) -> dict[str, Any]:
    """An agent as JSON."""
    return {
        "id": ids.encode("agt", view.id),
        "name": view.name,
        "pool": ids.encode("pol", view.pool_id) if view.pool_id else None,
        "state": view.state,
        "reason": view.reason or None,
        "version": view.version or None,
        "last_seen_at": view.last_seen_at,
        "created_at": view.created_at,
    }


def _signed(request: HttpRequest, raw: bytes) -> Any:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return read(method=str(request.method), target_uri=request.build_absolute_uri(), headers=headers, body=raw)


def _checked(serializer: Any, data: Any) -> dict[str, Any]:
    given = serializer(data=data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def _uuid(prefix: str, public_id: str, kind: str) -> UUID:
    try:
        return ids.decode(prefix, public_id)
    except ids.BadId:
        raise NotFound(f"There is no such {kind}.") from None
