"""Cursor pages over ids that sort by time: newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.kernel import ids

DEFAULT, MOST = 50, 200


class BadCursor(exceptions.ParseError):
    """A cursor or limit that no page gave."""

    default_code = "bad_cursor"


def page(request: Request, rows: QuerySet[Any], *, prefix: str, shape: Callable[[Any], Any]) -> Response:
    """One page of rows ordered by `-id`; `next` is the cursor of the following page, or null.

    :raises BadCursor: `cursor` is no id of this list, or `limit` no number from 1 to 200.
    """
    limit = _limit(request.query_params.get("limit"))
    cursor = request.query_params.get("cursor")
    if cursor:
        try:
            rows = rows.filter(id__lt=ids.decode(prefix, cursor))
        except ids.BadId:
            raise BadCursor("The cursor is not one that this list gave.") from None
    found = list(rows.order_by("-id")[: limit + 1])
    following = ids.encode(prefix, found[limit - 1].id) if len(found) > limit else None
    return Response({"data": [shape(row) for row in found[:limit]], "next": following})


def entry_number(text: str) -> int | None:
    """The number of an entry in an address, where a list goes on; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MOST):
        raise BadCursor(f"limit is a number from 1 to {MOST}.")
    return int(text)
