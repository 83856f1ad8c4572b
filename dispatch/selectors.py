"""Reads of the gateway's log: what an organisation's requests used, by key, line, hour or day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from django.db import connection

from accounts.kernel.actor import Actor
from accounts.selectors import keys

By = Literal["key", "line", "hour", "day"]
GROUPS: tuple[By, ...] = get_args(By)
MOST_ROWS = 2_000

_EXPRESSION: dict[By, str] = {
    "key": "coalesce(r.key_id::text, '')",
    "line": "l.slug",
    # Hours and days are those of the market's clock, UTC+08:00, which knows no summer time.
    "hour": "to_char(date_trunc('hour', r.opened_at, 'Asia/Shanghai') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    "day": "to_char(r.opened_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD')",
}


@dataclass(frozen=True, slots=True)
class Used:
    """Requests of one group. `exact` is their value at the price of the allocations they drew on, in 10^-18 yuan."""

    group: str
    requests: int
    failed: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    micro_st: int
    exact: int


def used(
    actor: Actor, *, by: By, since: datetime, until: datetime, key_id: UUID | None = None, limit: int = MOST_ROWS
) -> list[Used]:
    """The actor's own finished requests that began in [since, until), the newest or largest group first.

    `failed` delivered nothing and are free. With `key_id` only that key's.
    """
    order = "1 DESC" if by in {"hour", "day"} else "7 DESC, 1"
    only = "" if key_id is None else "AND r.key_id = %s"
    parameters: list[Any] = [actor.organisation_id, since, until, *([] if key_id is None else [key_id]), limit]
    with connection.cursor() as cursor:
        cursor.execute(_USED.format(group=_EXPRESSION[by], only=only, order=order), parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [Used(*counts, exact=int(exact)) for *counts, exact in rows]  # type: ignore[misc]  # seven columns, in order


_USED = """
SELECT {group}, count(*), count(*) FILTER (WHERE r.state = 'failed'),
       coalesce(sum(r.prompt_tokens - r.cached_tokens) FILTER (WHERE r.state <> 'failed'), 0)::bigint,
       coalesce(sum(r.cached_tokens) FILTER (WHERE r.state <> 'failed'), 0)::bigint,
       coalesce(sum(r.completion_tokens), 0)::bigint, coalesce(sum(r.micro_st), 0)::bigint,
       coalesce(sum(r.micro_st::numeric * a.price_micros), 0)
FROM dispatch_requestlog r JOIN market_modelline l ON l.id = r.line_id JOIN market_allocation a ON a.id = r.allocation_id
WHERE r.organisation_id = %s AND r.state <> 'open' AND r.opened_at >= %s AND r.opened_at < %s {only}
GROUP BY 1 ORDER BY {order} LIMIT %s
"""


def key_names(actor: Actor) -> dict[str, str]:
    """Name and prefix of each of the organisation's keys, by the id as a group has it."""
    return {str(key.id): f"{key.name} · {key.prefix}" for key in keys.of(actor)}
