"""Pages of what waits for somebody: quarantine, conflicts, and what never came of an agent's epochs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.http.web import ActorPage, not_found_page
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from metering_ingest import selectors, services
from metering_ingest.models import Conflict, Quarantined
from metering_ingest.selectors.cases import NoSuchRecord
from metering_ingest.web import labels
from providers import selectors as providers

_PAGE = 50
_GAPS_SHOWN = 5
_INSTANTS = {"time", "started_at", "finished_at"}


class Quarantine(ActorPage):
    """Records that were stored and do not count."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first; what was released or rejected is left out."""
        try:
            found, following = selectors.quarantine_page(self.actor, cursor=request.GET.get("cursor"), limit=_PAGE)
        except (ValueError, OverflowError):
            return redirect("metering:quarantine")
        context = {
            "rows": [_quarantined(row) for row in found],
            "following": following,
            "may_act": self.actor.can("usage:write"),
            "proof": selectors.last_proof() if self.actor.is_staff else None,
            **_around(self.actor),
        }
        return render(request, "metering_ingest/quarantine.html", context)


class Conflicts(ActorPage):
    """Records that contradict an earlier one."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Newest first, each beside what was there before it."""
        text = request.GET.get("before", "")
        before = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
        found, following = selectors.conflict_page(self.actor, before=before, limit=_PAGE)
        first = selectors.contents_of({_first(row) for row in found})
        rows = [_conflict(row, first.get(_first(row), {})) for row in found]
        context = {"rows": rows, "following": following, **_around(self.actor)}
        return render(request, "metering_ingest/conflicts.html", context)


class Gaps(ActorPage):
    """What never came, as a part of the page of agents."""

    scope = "usage:read"

    def get(self, request: HttpRequest) -> HttpResponse:
        """The organisation's agents' latest epochs, those with something missing first."""
        names = {one.id: one.name for one in providers.agents_of(self.actor)}
        epochs = selectors.epochs_of(list(names), most_gaps=_GAPS_SHOWN + 1)
        rows = [_epoch(one, names[one.agent_id]) for one in sorted(epochs, key=lambda one: one.missing == 0)[:_PAGE]]
        return render(request, "metering_ingest/gaps.html", {"rows": rows})


class Resolve(ActorPage):
    """Release or reject a quarantined record."""

    scope = "usage:write"
    action = ""
    http_method_names = ["post"]

    def post(self, request: HttpRequest, key: str) -> HttpResponse:
        """Do it, and back to the list with what became of it."""
        try:
            record = UUID(hex=key)
            reason = request.POST.get("reason", "").strip()[:200] or _DEFAULT_REASONS[self.action]
            getattr(services, self.action)(record, reason=reason, actor=self.actor, now=clock.now())
        except (ValueError, NoSuchRecord):
            return not_found_page(request)
        except DomainError as error:
            said = str(labels.REFUSALS.get(error.code, _("This is not possible.")))
            why = labels.QUARANTINE.get(error.details.get("reason", ""))
            messages.error(request, f"{said} {why}" if why else said)
        else:
            done = (
                _("The record counts now.")
                if self.action == "release"
                else _("The record is rejected; it stays stored.")
            )
            messages.success(request, done)
        return redirect("metering:quarantine")


# A release is judged by rules and needs no words of its own; a rejection without a reason is refused.
_DEFAULT_REASONS = {"release": "judged again", "reject": ""}


def _around(actor: Actor) -> dict[str, Any]:
    return {"now": clock.now(), "metering": "metering:provider" if actor.is_provider else "metering:buyer"}


def _quarantined(row: Quarantined) -> dict[str, Any]:
    return {
        "key": row.key.hex,
        "received_at": row.received_at,
        "reason": labels.QUARANTINE.get(row.reason, row.reason),
        "signed": row.evidence == "signed",
        "event": row.event,
        "lines": [(label, shown) for label, shown, _other, _same in _side_by_side(row.event, row.event)],
    }


def _first(row: Conflict) -> UUID:
    """The key of the record that was there before."""
    return row.other_key or row.key


def _conflict(row: Conflict, first: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": row.id,
        "received_at": row.received_at,
        "what": labels.CONFLICTS.get(row.kind, row.kind),
        "event": row.event,
        "lines": _side_by_side(first, row.event),
    }


def _side_by_side(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[Any, str, str, bool]]:
    """Label, the first's and the second's value, and whether they are equal; what neither says is left out."""
    found = []
    for name, label in labels.FIELDS.items():
        one, other = _shown(name, first.get(name)), _shown(name, second.get(name))
        if one or other:
            found.append((label, one, other, one == other))
    return found


def _shown(name: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if name == "allocation_id":
        return "" if UUID(value).int == 0 else ids.encode("alc", UUID(value))
    if name in _INSTANTS:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return " · ".join(str(part) for part in value.values())
    return str(value)


def _epoch(one: selectors.EpochView, agent: str) -> dict[str, Any]:
    shown = [str(first) if first == last else f"{first}–{last}" for first, last in one.gaps[:_GAPS_SHOWN]]
    return {
        "agent": agent,
        "view": one,
        "gaps": ", ".join(shown) + (" …" if len(one.gaps) > _GAPS_SHOWN else ""),
        # What a checkpoint names beyond the last that arrived may still be on its way.
        "trailing": max(0, one.checkpoint_seq - one.highest),
    }
