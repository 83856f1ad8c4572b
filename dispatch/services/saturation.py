"""What the gateway saw of rated deployments at load, handed to their ratings: one observation a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import structlog
from django.db import transaction

from dispatch.kernel import saturation as rules
from dispatch.kernel.saturation import Seen, Span
from dispatch.models import RequestLog, SaturatedWindow
from providers import selectors as providers
from providers.selectors import Watched
from providers.services import ratings
from token_standard import ratings as standard
from token_standard.catalogue import card_by_digest
from token_standard.version import MICRO

log = structlog.get_logger(__name__)

WINDOW = timedelta(minutes=5)
LONGEST = timedelta(minutes=22)  # no request lives longer: one whose process died is closed after 20 minutes
BACK = 12  # windows that are still looked at; what an outage of more than an hour left out stays out
LEAST_LOAD = timedelta(seconds=30)  # of a window; less is all edges
MOST_REQUESTS = 20_000  # of a window
WHOLE_SHARE_BPS = 10_000
_Row = tuple[datetime, datetime | None, datetime, int, int, int]


def observe_due(*, now: datetime) -> int:
    """Observe each rated deployment's windows whose requests have all ended; gives how many were at load.

    Each window is looked at once, however often this runs.
    """
    newest = _floor(now - LONGEST)
    starts = [newest - number * WINDOW for number in range(BACK, 0, -1)]
    observed = 0
    for one in providers.watched(now=now):
        if one.deployment.share_bps < WHOLE_SHARE_BPS:
            continue  # its devices do work that does not come through here
        known = SaturatedWindow.objects.filter(deployment_id=one.deployment.id, starts_at__gte=starts[0])
        done = set(known.values_list("starts_at", flat=True))
        for start in starts:
            if start not in done and start >= one.rating.measured_at:
                observed += _observe(one, start, now)
    return observed


def _observe(one: Watched, start: datetime, now: datetime) -> bool:
    """Look at one window and keep that it was looked at, with the observation where it was at load."""
    rows = _rows(one, start, start + WINDOW)
    if rows is None:
        return False
    spans = [Span(opened, first, closed) for opened, first, closed, *_ in rows]
    least = rules.threshold(one.concurrency, rated_devices=one.rating.devices, devices=one.deployment.device_count)
    found = rules.seen(spans, at_least=least, start=start, end=start + WINDOW)
    enough = found.micro_seconds >= LEAST_LOAD // timedelta(microseconds=1) and found.finished > 0
    compute, memory = _work(one, rows, found) if enough else (0, 0)
    with transaction.atomic():
        _, first = SaturatedWindow.objects.get_or_create(
            deployment_id=one.deployment.id,
            starts_at=start,
            defaults={"loaded_micro_seconds": found.micro_seconds, "requests": found.finished, "seen_at": now},
        )
        if not first or not compute + memory:
            return False
        return ratings.observe(
            one.deployment.id,
            compute_micro_st=compute,
            memory_micro_st=memory,
            gpu_micro_seconds=found.micro_seconds * one.deployment.device_count,
            requests=found.finished,
            now=now,
        )


def _rows(one: Watched, start: datetime, end: datetime) -> list[_Row] | None:
    """The requests that ran in a window, failed ones left out; None where some still run, or there are too many."""
    ran = RequestLog.objects.filter(
        deployment_id=one.deployment.id, opened_at__gte=start - LONGEST, opened_at__lt=end
    ).exclude(state=RequestLog.State.FAILED)
    if ran.filter(state=RequestLog.State.OPEN).exists():
        return None
    fields = ("opened_at", "first_token_at", "closed_at", "prompt_tokens", "cached_tokens", "completion_tokens")
    ended = ran.filter(closed_at__gt=start).order_by("opened_at", "id").values_list(*fields)
    rows = cast("list[_Row]", list(ended[: MOST_REQUESTS + 1]))  # each has its end: a constraint of all states but open
    if len(rows) > MOST_REQUESTS:
        log.warning("dispatch.saturation.too_many", deployment_id=str(one.deployment.id), starts_at=start.isoformat())
        return None
    return rows


def _work(one: Watched, rows: list[_Row], found: Seen) -> tuple[int, int]:
    """Micro-ST of computing and of memory that were done at load, each request's part rounded down."""
    card = card_by_digest(one.deployment.card_digest)
    compute = memory = 0
    for (_, _, _, prompt, cached, generated), share in zip(rows, found.shares, strict=True):
        if not share.prompt and not share.output:
            continue
        read = standard.parts(card, n=prompt - cached, c=cached, g=0)
        whole = standard.parts(card, n=prompt - cached, c=cached, g=generated)
        compute += int((read.compute * share.prompt + (whole.compute - read.compute) * share.output) * MICRO)
        memory += int((read.memory * share.prompt + (whole.memory - read.memory) * share.output) * MICRO)
    return compute, memory


def _floor(at: datetime) -> datetime:
    """The start of the window that an instant lies in."""
    epoch = datetime.fromtimestamp(0, UTC)
    return at - (at - epoch) % WINDOW
