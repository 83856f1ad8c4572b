"""Measured work: what a deployment's devices did in a window against what its requests are worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from django.db import connection

from market.selectors import AllocationView
from metering_ingest.kernel.work import HARD, MODEL_P90, Rating, Verdict, Work, judge
from metering_ingest.selectors import reconciliation as reads
from providers import selectors as providers
from providers.kernel.ratings import STANDING

_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Judged:
    """All shapes of a deployment's window together: what was billed of them, and what no work stands behind."""

    micro_st: int
    unbacked_micro_st: int


def judge_window(allocation: AllocationView, *, now: datetime) -> Judged:
    """Judge the allocation's deployment and window by shape, and store it; safe to repeat."""
    rating = rating_of(allocation, now=now)
    if rating is None:
        return Judged(0, 0)
    found = reads.measured_work(allocation.deployment_id, allocation.window_start)
    verdicts = [(shape, work, judge(work, rating)) for shape, work in found]
    _store(allocation, verdicts, now)
    return Judged(
        sum(work.micro_st for _, work in found),
        sum(verdict.unbacked_micro_st for _, _, verdict in verdicts if verdict.state == HARD),
    )


def rating_of(allocation: AllocationView, *, now: datetime) -> Rating | None:
    """What a device of the deployment does in a second, in ST; None without a rating that stands.

    The rating is of a mix of shapes: for one shape it is known no better than the cost model's own error.
    """
    deployment = providers.deployments_many([allocation.deployment_id]).get(allocation.deployment_id)
    standing = deployment and providers.standings([deployment], now=now).get(deployment.id)
    if not standing or standing.state not in STANDING or standing.rating is None:
        return None
    blended = standing.rating.blended
    if not blended.point:
        return None
    point = Fraction(blended.point, 10**6)
    low, high = (None if bound is None else Fraction(bound, 10**6) for bound in (blended.low, blended.high))
    widest = Rating.estimated(point, error=MODEL_P90)
    return Rating(min(low or widest.low, widest.low), max(high or widest.high, widest.high))


def _store(allocation: AllocationView, verdicts: list[tuple[str, Work, Verdict]], now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            _UPSERT,
            [
                (allocation.deployment_id, allocation.seller_id, shape, allocation.window_start, work.requests,
                 work.micro_st, work.gpu_micros, verdict.state, _bps(verdict.low), _bps(verdict.high),
                 verdict.unbacked_micro_st, now)
                for shape, work, verdict in verdicts
            ],
        )  # fmt: skip


def _bps(ratio: Fraction | None) -> int | None:
    return None if ratio is None else min(int(ratio * _BPS), 2**62)


_UPSERT = """
INSERT INTO metering_work_window (deployment_id, seller_id, shape, window_start, requests, micro_st, gpu_micros, state,
    low_bps, high_bps, unbacked_micro_st, judged_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (deployment_id, shape, window_start) DO UPDATE SET requests = excluded.requests,
    micro_st = excluded.micro_st, gpu_micros = excluded.gpu_micros, state = excluded.state, low_bps = excluded.low_bps,
    high_bps = excluded.high_bps, unbacked_micro_st = excluded.unbacked_micro_st, judged_at = excluded.judged_at
"""
