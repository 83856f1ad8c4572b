"""What `intake_speed.py` measures the site against: one DRF view that reads JSON and answers JSON, and nothing else.

Served as the site is, Django's WSGI in eight threads under uvicorn, but without middleware, sign-in or database.
"""

# ruff: noqa: E402  (REST framework reads the settings while it is imported)
from __future__ import annotations

from typing import Any

import django
from a2wsgi import WSGIMiddleware
from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Echo(APIView):
    """Answers what it was sent."""

    def post(self, request: Request) -> Response:
        """The body again."""
        return Response(request.data, status=201)


urlpatterns = [path("api/v1/orders", Echo.as_view())]
_wsgi: Any = get_wsgi_application()
application = WSGIMiddleware(_wsgi, workers=8)
