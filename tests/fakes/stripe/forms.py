"""Bodies and queries as Stripe reads them: `a[b][0]=c` is a nested value."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

_PART = re.compile(r"\[([^\]]*)\]")


def read(text: str) -> dict[str, Any]:
    """Nested dicts and lists of texts."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        first, _, rest = name.partition("[")
        path = [first, *_PART.findall("[" + rest if rest else "")]
        place = tree
        for part in path[:-1]:
            place = place.setdefault(part, {})
        key = path[-1]
        place[str(len(place)) if key == "" else key] = value
    return _lists(tree)


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(one) for key, one in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
