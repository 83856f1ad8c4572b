"""allauth as this site wants it, and the mail that accounts sends."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.mail import send_mail
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.selectors import members


class AccountAdapter(DefaultAccountAdapter):
    """Organisations are admitted by the operator, so nobody signs up alone unless the site says so."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """`SIGN_UP_OPEN` of the settings."""
        return bool(getattr(settings, "SIGN_UP_OPEN", False))


def mail_invitation(topic: str, payload: dict[str, Any]) -> None:
    """Outbox handler of `accounts.member.added`: tell the person, with a link to choose a password where there is none.

    A person who was removed again before the mail went out gets none.
    """
    member = members.by_id(payload["member_id"])
    if member is None:
        return
    path = reverse("billing:home") if member.user.has_usable_password() else _password_path(member.user)
    with translation.override(member.organisation.language):
        text = _(
            "{organisation} has made you a member on Tokenspot.\n\nGo on here: {link}\n\n"
            "If you do not know {organisation}, ignore this mail."
        ).format(organisation=member.organisation.name, link=settings.SITE_URL.rstrip("/") + path)
        subject = _("You are a member of {organisation}").format(organisation=member.organisation.name)
        send_mail(subject, text, None, [member.user.email])


def _password_path(user: Any) -> str:
    key = default_token_generator.make_token(user)
    return reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})
