"""Sequences of agents: each place is taken once, and what never came is a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from metering_ingest.services.rows import Claim, array

if TYPE_CHECKING:
    from metering_ingest.services.ingest import Submission

MOST_GAPS = 100


@dataclass(frozen=True, slots=True)
class Found:
    """An epoch's row, and the first gaps in it up to the highest sequence or checkpoint, both ends included."""

    id: int
    gaps: list[tuple[int, int]]


Known = Mapping[tuple[UUID | None, str | None], Found]

# Every sequence of a body is there afterwards, whether its record is new, a replay or a conflict.
_NOTE = """
INSERT INTO metering_epoch AS e (agent_id, epoch, received, checkpoint_seq, closed, first_at, last_at)
SELECT a, n, r::int8multirange, c, o, now, now
FROM (SELECT %(now)s::timestamptz AS now) t, unnest(%(agents)s::uuid[], %(epochs)s::text[], %(received)s::text[],
    %(checkpoints)s::bigint[], %(closed)s::boolean[]) AS u (a, n, r, c, o)
ON CONFLICT (agent_id, epoch) DO UPDATE SET received = e.received + excluded.received,
    checkpoint_seq = greatest(e.checkpoint_seq, excluded.checkpoint_seq), closed = e.closed OR excluded.closed,
    last_at = greatest(e.last_at, excluded.last_at)
RETURNING agent_id, epoch, id, ARRAY(
    SELECT ARRAY[lower(gap), upper(gap) - 1]
    FROM unnest(int8multirange(int8range(1, greatest(checkpoint_seq, upper(received) - 1, 0), '[]')) - received) AS gap
    ORDER BY lower(gap) LIMIT %(most)s)
"""


def note(submissions: Sequence[Submission], now: datetime) -> Known:
    """Note what arrived of each epoch, and keep its checkpoints; gives the epochs, which stay locked."""
    of_epoch: dict[tuple[UUID, str], list[Submission]] = {}
    for one in submissions:
        if one.sender.agent_id is not None and one.epoch is not None:
            of_epoch.setdefault((one.sender.agent_id, one.epoch), []).append(one)
    if not of_epoch:
        return {}
    ordered = sorted(of_epoch)  # one order everywhere: two transactions cannot deadlock
    checkpoints = {name: [one.checkpoint for one in of_epoch[name] if one.checkpoint is not None] for name in ordered}
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE,
            {
                "now": now, "most": MOST_GAPS, "agents": array(agent_id.hex for agent_id, _ in ordered),
                "epochs": [epoch for _, epoch in ordered],
                "received": [_ranges({seq for one in of_epoch[name] for seq in one.sequences if seq}) for name in ordered],
                "checkpoints": [max((c.seq for c in checkpoints[name]), default=0) for name in ordered],
                "closed": [any(c.closed for c in checkpoints[name]) for name in ordered],
            },
        )  # fmt: skip
        found: dict[tuple[UUID | None, str | None], Found] = {
            (agent_id, epoch): Found(epoch_id, [(first, last) for first, last in gaps])
            for agent_id, epoch, epoch_id, gaps in cursor.fetchall()
        }
        for name in ordered:
            _keep(cursor, found[name].id, checkpoints[name], now)
    return found


def claim(claims: Sequence[Claim], known: Known, epoch_of: Sequence[str | None]) -> dict[tuple[int, int], str]:
    """Take the places of these records; gives, of those that came too late, the key that has their place."""
    wanted: dict[tuple[int, int], list[Claim]] = {}
    for one in claims:
        if one.seq is not None:
            epoch_id = known[one.sender.agent_id, epoch_of[one.at[0]]].id
            wanted.setdefault((epoch_id, one.seq), []).append(one)
    if not wanted:
        return {}
    places = sorted((*place, some[0].key) for place, some in wanted.items())
    with connection.cursor() as cursor:
        numbers = [array(str(place[0]) for place in places), array(str(place[1]) for place in places)]
        cursor.execute(_CLAIM, [*numbers, array(place[2] for place in places)])
        holders = {place: some[0].key for place, some in wanted.items()}
        if cursor.rowcount < len(places):
            cursor.execute(_HOLDERS, numbers)
            holders |= {(epoch_id, seq): key.hex for epoch_id, seq, key in cursor.fetchall()}
    return {one.at: holders[place] for place, some in wanted.items() for one in some if one.key != holders[place]}


_CLAIM = """
INSERT INTO metering_sequence (epoch_id, seq, key)
SELECT e, s, k FROM unnest(%s::bigint[], %s::bigint[], %s::uuid[]) AS t (e, s, k) ON CONFLICT DO NOTHING
"""
_HOLDERS = """
SELECT q.epoch_id, q.seq, q.key FROM unnest(%s::bigint[], %s::bigint[]) AS t (e, s)
JOIN metering_sequence q ON q.epoch_id = t.e AND q.seq = t.s
"""


def _keep(cursor: Any, epoch_id: int, checkpoints: Sequence[Any], now: datetime) -> None:
    for one in checkpoints:
        cursor.execute(
            "INSERT INTO metering_checkpoint (epoch_id, seq, records, prompt_tokens, completion_tokens, closed, "
            "received_at) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [epoch_id, one.seq, one.records, one.prompt_tokens, one.completion_tokens, one.closed, now],
        )


def _ranges(sequences: set[int]) -> str:
    """Whole numbers as a multirange's text, neighbours joined."""
    ranges: list[list[int]] = []
    for seq in sorted(sequences):
        if ranges and ranges[-1][1] == seq:
            ranges[-1][1] = seq + 1
        else:
            ranges.append([seq, seq + 1])
    return "{" + ",".join(f"[{first},{end})" for first, end in ranges) + "}"
