"""The site, and views that do on purpose what views may do."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.http.serializers import StrictSerializer
from accounts.http.views import ApiView
from accounts.http.web import ActorPage
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from config.urls import handler404, handler500
from config.urls import urlpatterns as site

__all__ = ["handler404", "handler500", "urlpatterns"]


class Refused(DomainError):
    code = "no_money"
    status = 402
    retryable = True


ERRORS: dict[str, Exception] = {
    "domain": Refused("Top up.", needed="1.80", code="x", errors="x", request_id="x", retryable=1, status_code=1),
    "http404": Http404("secret path"),
    "denied": PermissionDenied("secret reason"),
    "database": OperationalError("secret host"),
    "bug": ZeroDivisionError("secret value"),
}


class Inner(StrictSerializer):
    text = serializers.CharField(max_length=10)


class Body(StrictSerializer):
    text = serializers.CharField(max_length=10, required=False, allow_null=True)
    count = serializers.IntegerField(required=False)
    flag = serializers.BooleanField(required=False)
    at = serializers.DateTimeField(required=False)
    side = serializers.ChoiceField(choices=["buy", "sell"], required=False)
    numbers = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=3)
    inner = Inner(required=False)


class Echo(ApiView):
    required_scopes = {"GET": "market:read", "POST": "orders:write"}

    def get(self, request: Request) -> Response:
        return Response({"organisation": request.actor.organisation_name})

    def post(self, request: Request) -> Response:
        body = Body(data=request.data)
        body.is_valid(raise_exception=True)
        return Response({key: str(value) for key, value in body.validated_data.items()})


class Once(ApiView):
    required_scopes = {"POST": "orders:write"}

    def post(self, request: Request) -> Response:
        once = self.once(
            request, operation="test", payload=request.data, now=clock.now(), effect=lambda: {"at": str(clock.now())}
        )
        return Response(once.body)


class Fails(ApiView):
    required_scopes = {"GET": "market:read"}

    def get(self, request: Request, name: str) -> Response:
        raise ERRORS[name]


class Page(ActorPage):
    scope = "orders:write"

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(self.actor.organisation_name)


def failing_page(request: HttpRequest, name: str) -> Any:
    raise ERRORS[name]


urlpatterns = [
    path("api/v1/test/echo", Echo.as_view()),
    path("api/v1/test/once", Once.as_view()),
    path("api/v1/test/fails/<str:name>", Fails.as_view()),
    path("test/page/", Page.as_view()),
    path("test/fails/<str:name>/", failing_page),
    *site,
]
