"""allauth, as this site wants it."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Organisations are admitted by the operator, so nobody signs up alone unless the site says so."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """`SIGN_UP_OPEN` of the settings."""
        return bool(getattr(settings, "SIGN_UP_OPEN", False))
