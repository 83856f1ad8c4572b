"""Pages for programs' authors and for the organisation's own settings."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from accounts import services
from accounts.http.pagination import entry_number
from accounts.http.web import ACTIVE_ORGANISATION, ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import actors, audit, clock, members, organisations
from accounts.selectors import keys as key_reads
from accounts.web.examples import examples
from accounts.web.forms import ROLES, KeyForm, MemberForm, member_refusal

REFUSED = 422
EVENTS_PAGE = 50


class Developers(ActorPage):
    """How to buy and call from a program."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Addresses and the first calls."""
        url = settings.SITE_URL.rstrip("/")
        buy, call = examples(url)
        addresses = {
            "rest": f"{url}/api/v1",
            "gateway": f"{url}/v1",
            "events": f"{url}/api/v1/events",
            "feed": f"{url.replace('http', 'ws', 1)}/ws/v1/market",
        }
        return render(request, "accounts/developers.html", {"buy": buy, "call": call, "addresses": addresses})


class Keys(ActorPage):
    """API keys."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list and the form."""
        return self._show(request, KeyForm(actor=self.actor, once=uuid4().hex))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make a key and show its secret this once."""
        form, now = KeyForm(request.POST, actor=self.actor), clock.now()
        if form.is_valid():
            try:
                new = services.keys.create_once(
                    actor=self.actor,
                    idempotency_key=f"page:{form.cleaned_data['once']}",
                    request=form.cleaned_data,
                    name=form.cleaned_data["name"],
                    scopes=form.cleaned_data["scopes"],
                    expires_at=form.expires_at(now),
                    now=now,
                )
            except DomainError as error:
                form.refuse(error)
            else:
                return self._show(request, KeyForm(actor=self.actor, once=uuid4().hex), secret=new.secret)
        return self._show(request, form, status=REFUSED)

    def _show(self, request: HttpRequest, form: KeyForm, *, secret: str = "", status: int = 200) -> HttpResponse:
        now = clock.now()
        rows = [
            {"public_id": ids.encode("key", row.id), "key": row, "state": _state(row.revoked_at, row.expires_at, now)}
            for row in key_reads.of(self.actor).order_by("-id")
        ]
        context = {"form": form, "rows": rows, "secret": secret, "may_write": self.actor.can("keys:write")}
        response = render(request, "accounts/keys.html", context, status=status)
        add_never_cache_headers(response)  # a secret may stand on it
        return response


def _state(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> str:
    if revoked_at:
        return "revoked"
    return "expired" if expires_at and expires_at <= now else "valid"


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
        assert self.actor.user_id is not None
        older_than = entry_number(request.GET.get("before", ""))
        may_audit = self.actor.can("members:write")
        events = audit.events(self.actor, before=older_than, limit=EVENTS_PAGE + 1) if may_audit else []
        mine = members.organisations_of(self.actor.user_id)
        context = {
            "organisation": organisations.get(self.actor.organisation_id),
            "members": [(member.user, ROLES[member.role]) for member in members.of(self.actor)],
            "may_audit": may_audit,
            "events": events[:EVENTS_PAGE],
            "older": events[EVENTS_PAGE - 1].id if len(events) > EVENTS_PAGE else None,
            "first_page": older_than is None,
            "mine": [(ids.encode("org", one), name, one == self.actor.organisation_id) for one, name in mine],
        }
        return render(request, "accounts/settings.html", context)


class Members(ActorPage):
    """Who may act for the organisation."""

    scope = "members:write"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The list with its roles, and the form to invite."""
        return self._show(request, MemberForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Invite a person."""
        form = MemberForm(request.POST)
        if form.is_valid():
            email, role = form.cleaned_data["email"], form.cleaned_data["role"]
            try:
                services.members.invite(actor=self.actor, email=email, role=role, now=clock.now())
            except DomainError as error:
                form.add_error("email", member_refusal(error))
            else:
                messages.success(request, _("{email} is a member now, and gets a mail.").format(email=email.lower()))
                return redirect("accounts:members")
        return self._show(request, form, status=REFUSED)

    def _show(self, request: HttpRequest, form: MemberForm, *, status: int = 200) -> HttpResponse:
        rows = [(ids.encode("mem", one.id), one, one.user_id == self.actor.user_id) for one in members.of(self.actor)]
        context = {"form": form, "rows": rows, "roles": ROLES.items()}
        return render(request, "accounts/members.html", context, status=status)


class _MemberStep(ActorPage):
    """A change of one member; what is another organisation's does not exist."""

    scope = "members:write"

    def post(self, request: HttpRequest, public_id: str) -> HttpResponse:
        """Do it, or say why not, and back to the list; who gave up the own right goes to the settings."""
        try:
            done = self.change(ids.decode("mem", public_id))
        except (ids.BadId, services.members.NoSuchMember):
            return not_found_page(request)
        except DomainError as error:
            messages.error(request, member_refusal(error))
        else:
            messages.success(request, done)
        still = actors.for_user(request.user, organisation_id=self.actor.organisation_id)
        return redirect("accounts:members" if still and still.can("members:write") else "accounts:settings")

    def change(self, member_id: UUID) -> str:
        """What to do; gives the sentence that says it is done."""
        raise NotImplementedError


class ChangeRole(_MemberStep):
    """Another role."""

    def change(self, member_id: UUID) -> str:
        """The role of the form."""
        role = self.request.POST.get("role", "")
        services.members.change_role(actor=self.actor, member_id=member_id, role=role, now=clock.now())
        return _("The role is changed.")


class RemoveMember(_MemberStep):
    """The end of a membership."""

    def change(self, member_id: UUID) -> str:
        """At once."""
        services.members.remove(actor=self.actor, member_id=member_id, now=clock.now())
        return _("The member is removed.")


class ActiveOrganisation(ActorPage):
    """For which of a person's organisations this session acts."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Choose one that the person is in; all else does not exist."""
        try:
            chosen = ids.decode("org", request.POST.get("organisation", ""))
        except ids.BadId:
            return not_found_page(request)
        if actors.for_user(request.user, organisation_id=chosen) is None:
            return not_found_page(request)
        request.session[ACTIVE_ORGANISATION] = str(chosen)
        return redirect("accounts:settings")
