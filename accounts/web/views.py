"""Pages for programs' authors and for the organisation's own settings."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import services
from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.kernel.roles import SCOPES
from accounts.models import AuditEvent, Member, Organisation
from accounts.selectors import clock
from accounts.selectors import keys as key_reads


class KeyForm(forms.Form):
    """A key to make."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=80, help_text=gettext_lazy("What will use it."))
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), choices=[(scope, scope) for scope in SCOPES], widget=forms.CheckboxSelectMultiple
    )


class Developers(ActorPage):
    """How to buy and call from a program."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Addresses and the first calls."""
        return render(request, "accounts/developers.html", {"tabs": _examples(settings.SITE_URL)})


def _examples(url: str) -> list[tuple[str, str]]:
    curl = (
        f"curl -N {url}/v1/chat/completions \\\n  -H 'Authorization: Bearer '$TOKENSPOT_KEY \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model": "llama-3-8b", "stream": true, "max_tokens": 64,\n'
        '       "messages": [{"role": "user", "content": "Hello"}]}\''
    )
    python = (
        "import os\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{url}/v1", api_key=os.environ["TOKENSPOT_KEY"])\n'
        "for chunk in client.chat.completions.create(\n"
        '        model="llama-3-8b", stream=True, max_tokens=64,\n'
        '        messages=[{"role": "user", "content": "Hello"}]):\n'
        '    print(chunk.choices[0].delta.content or "", end="")'
    )
    command = (
        f"export TOKENSPOT_URL={url} TOKENSPOT_KEY=tsk_...\n"
        "tokenspot buy 2M --line llama-3-8b --grade interactive --max 3.00\ntokenspot orders\ntokenspot invoices"
    )
    return [("curl", curl), ("Python", python), ("tokenspot", command)]


class Keys(ActorPage):
    """API keys."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list and the form."""
        return self._show(
            request, KeyForm(initial={"scopes": ["market:read", "orders:read", "orders:write", "inference"]})
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make a key and show its secret this once."""
        form = KeyForm(request.POST)
        if form.is_valid():
            try:
                new = services.keys.create(actor=self.actor, now=clock.now(), **form.cleaned_data)
            except DomainError as error:
                form.add_error(None, _refusal(error))
            else:
                return self._show(request, KeyForm(), secret=new.secret)
        return self._show(request, form, status=422)

    def _show(self, request: HttpRequest, form: KeyForm, *, secret: str = "", status: int = 200) -> HttpResponse:
        rows = [(ids.encode("key", row.id), row) for row in key_reads.of(self.actor).order_by("-id")]
        context = {"form": form, "keys": rows, "secret": secret, "may_write": self.actor.can("keys:write")}
        return render(request, "accounts/keys.html", context, status=status)


class RevokeKey(ActorPage):
    """End a key."""

    scope = "keys:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """At once, and back to the list."""
        try:
            services.keys.revoke(actor=self.actor, key_id=ids.decode("key", public_id), now=clock.now())
        except (ids.BadId, services.keys.NoSuchKey):
            return not_found_page(request)
        return redirect("accounts:keys")


class Settings(ActorPage):
    """The organisation, its members, and its audit log."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Members are for all to see, the audit log for owners."""
        organisation_id = self.actor.organisation_id
        context = {
            "organisation": Organisation.objects.get(id=organisation_id),
            "members": Member.objects.filter(organisation_id=organisation_id).select_related("user").order_by("id"),
            "events": AuditEvent.objects.filter(organisation_id=organisation_id)
            .select_related("user", "key")
            .order_by("-id")[:50]
            if self.actor.can("members:write")
            else None,
        }
        return render(request, "accounts/settings.html", context)


def _refusal(error: DomainError) -> str:
    known = {
        "scope_missing": _("Your role may not make API keys."),
        "bad_scopes": _("A key can do at most what you can; choose scopes that your role has."),
    }
    return known.get(error.code, str(error))
