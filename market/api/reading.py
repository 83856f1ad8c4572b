"""What the views of the market share: pages by cursor, bodies, ids and numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.utils.encoders import JSONEncoder

from accounts.kernel import ids
from market.api import order_serializers as order_shapes
from market.kernel.errors import NotFound, NotSupported

PAGE, MOST = 50, 200
CURSOR = OpenApiParameter("cursor", str, description="`next` of the page before")
LIMIT = OpenApiParameter("limit", int, description=f"rows of a page, at most {MOST}")


def page(
    request: Request,
    prefix: str,
    rows: Callable[[UUID | None, int], Sequence[Any]],
    shape: Callable[[Any], dict[str, Any]],
) -> Response:
    """Rows after the cursor's id, and the cursor of the next page."""
    cursor, limit = request.query_params.get("cursor"), number(request, "limit", default=PAGE, most=MOST)
    found = rows(uuid(prefix, cursor) if cursor else None, limit + 1)
    following = ids.encode(prefix, found[limit - 1].id) if len(found) > limit else None
    return Response({"data": [shape(one) for one in found[:limit]], "next": following})


def checked(serializer: Any, data: Any) -> dict[str, Any]:
    """The values of a body.

    :raises NotSupported: it names a part of the order form that this market does not take.
    :raises ValidationError: it has another fault.
    """
    return checked_by(serializer(), data)


def checked_by(form: Serializer, data: Any) -> dict[str, Any]:
    """The same by one instance for many bodies: making its fields anew for each would take half of a batch's time."""
    given = data if isinstance(data, dict) else {}
    if later := sorted(order_shapes.NOT_YET & given.keys()):
        raise NotSupported(f"This market does not take {', '.join(later)} yet.", fields=later)
    return dict(form.run_validation(data))


def plain(value: Any) -> Any:
    """As JSON has it, for the answer that is kept."""
    return json.loads(json.dumps(value, cls=JSONEncoder))


def uuid(prefix: str, text: str) -> UUID:
    """The id in an address.

    :raises NotFound: it is none of this kind.
    """
    try:
        return ids.decode(prefix, text)
    except ids.BadId:
        raise NotFound("There is nothing with this id.") from None


def round_number(text: str) -> int:
    """The number of a round in an address or a cursor.

    :raises NotFound: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise NotFound("There is no such round.")
    return int(text)


def number(request: Request, name: str, *, default: int, most: int) -> int:
    """A parameter between 1 and `most`; the default where it is none."""
    text = request.query_params.get(name, "")
    return min(max(int(text), 1), most) if text.isascii() and text.isdigit() and len(text) < 9 else default
