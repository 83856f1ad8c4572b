"""Certificates of rounds for everybody: the file, and the program that checks it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views import View

from accounts.http.web import not_found_page
from market import selectors
from market.kernel.errors import NoMarket, NotFound
from market.matching_engine import certificate as checker
from market.matching_engine import certificate_reading as reading
from market.services import certificates
from market.services.certificates import OwnOrder

# A page checks rounds of up to so many orders while its reader waits; beyond, the reader's own machine does.
_CHECKED_AT_ONCE = 5_000


class CertificateFile(View):
    """What a round prints, as JSON."""

    def get(self, request: HttpRequest, number: str) -> HttpResponse:
        """The same for everybody, but for private lines, which only their owner sees."""
        actor = getattr(request, "actor", None)
        try:
            document = certificate(_number(number), actor.organisation_id if actor else None)
        except (NotFound, NoMarket):
            return not_found_page(request)
        return JsonResponse(document, json_dumps_params={"separators": (",", ":")})


class CheckerFile(View):
    """The checker's source."""

    module: ModuleType = checker

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """One file without dependencies."""
        path = Path(str(self.module.__file__))
        return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type="text/x-python")


class ReaderFile(CheckerFile):
    """The source of what reads a certificate for the checker."""

    module = reading


def certificate(number: int, organisation_id: UUID | None) -> dict[str, Any]:
    """The certificate of a round for this reader.

    :raises NotFound, NoMarket: there is none.
    """
    return certificates.read(number, market_id=selectors.the_market().id, organisation_id=organisation_id)


def verdict(round_: selectors.RoundView, organisation_id: UUID | None) -> dict[str, Any] | None:
    """What the checker says of a round right now; None where it printed no certificate."""
    if not round_.fills:
        return None
    if round_.orders > _CHECKED_AT_ONCE:
        return {"checked": False, "broken": []}
    try:
        found = certificate(round_.number, organisation_id)
    except NotFound:
        return None
    if "version" not in found:
        return {"checked": False, "broken": [], "is_earlier": True}
    return {"checked": True, "broken": checker.check_round(reading.read(found))}


def own(round_: selectors.RoundView, organisation_id: UUID | None) -> list[OwnOrder]:
    """The reader's own orders in a certificate."""
    if organisation_id is None or not round_.fills:
        return []
    market_id = selectors.the_market().id
    try:
        return certificates.own(round_.number, market_id=market_id, organisation_id=organisation_id)
    except NotFound:
        return []


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise NotFound("There is no such round.")
    return int(text)
