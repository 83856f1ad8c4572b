"""Forms of the pages of accounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.kernel.roles import SCOPES

_USUAL = ("market:read", "orders:read", "orders:write", "inference")
_FOR_EVER = "ever"
_LIVES = [
    ("30", gettext_lazy("30 days")),
    ("90", gettext_lazy("90 days")),
    ("365", gettext_lazy("1 year")),
    (_FOR_EVER, gettext_lazy("Until it is revoked")),
]
ROLES = {
    "owner": gettext_lazy("Owner"),
    "trader": gettext_lazy("Trader"),
    "provider": gettext_lazy("Provider"),
    "finance": gettext_lazy("Finance"),
    "viewer": gettext_lazy("Viewer"),
}


class KeyForm(forms.Form):
    """A key to make; it offers what its maker may give."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=80,
        help_text=gettext_lazy("What will use it."),
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(label=gettext_lazy("Scopes"), widget=forms.CheckboxSelectMultiple)
    days = forms.ChoiceField(
        label=gettext_lazy("Valid for"),
        choices=_LIVES,
        initial="90",
        widget=forms.Select(attrs={"class": "select"}),
    )
    # Sent again by a reload: the same form makes one key.
    once = forms.CharField(max_length=64, min_length=8, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, actor: Actor, once: str = "") -> None:
        usual = [scope for scope in _USUAL if actor.can(scope)]
        super().__init__(data, initial={"scopes": usual, "once": once})
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(scope, scope) for scope in SCOPES if actor.can(scope)]

    def expires_at(self, now: datetime) -> datetime | None:
        """When the key ends; None: when it is revoked."""
        days = self.cleaned_data["days"]
        return None if days == _FOR_EVER else now + timedelta(days=int(days))

    def refuse(self, error: DomainError) -> None:
        """Say in the reader's words what the services refused."""
        known = {
            "scope_missing": _("Your role may not make API keys."),
            "bad_scopes": _("A key can do at most what you can; choose scopes that your role has."),
            "already_created": _("This form has made its key already; the secret cannot be shown again."),
            "idempotency_payload_differs": _("This form has made its key already; load the page to make another."),
            "idempotency_in_flight": _("This key is being made right now. Wait a moment, then look at the list."),
        }
        self.add_error(None, known.get(error.code, _("This value is not possible.")))


class MemberForm(forms.Form):
    """A person to invite."""

    email = forms.EmailField(
        label=gettext_lazy("E-mail address"),
        max_length=254,
        help_text=gettext_lazy("A person who is new here gets a link to choose a password."),
        widget=forms.EmailInput(attrs={"class": "input", "autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label=gettext_lazy("Role"), choices=list(ROLES.items()), initial="viewer",
        widget=forms.Select(attrs={"class": "select"}),
    )  # fmt: skip


def member_refusal(error: DomainError) -> str:
    """What the reader must know of a refused change of members."""
    known = {
        "scope_missing": _("Only an owner may change members."),
        "member_already": _("This person is a member already. Change the role in the list."),
        "last_owner": _("An organisation keeps at least one owner. Make another member owner first."),
        "unknown_role": _("There is no such role."),
    }
    return known.get(error.code, _("This value is not possible."))
