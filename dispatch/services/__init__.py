"""Opening and closing a request: reserve before the engine is called, draw and meter after it answered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import actors, organisations
from dispatch.kernel import promise
from dispatch.kernel.answering import Usage
from dispatch.kernel.asking import Asked
from dispatch.kernel.counting import prompt_tokens
from dispatch.kernel.errors import ContextTooLong, ModelNotFound, ScopeMissing
from dispatch.models import RequestLog
from market import selectors as market
from market import services as trading
from market.kernel.errors import UnknownLine
from market.selectors import LineView
from metering_ingest import services as metering
from metering_ingest.kernel.events import TYPE, UsageEvent
from providers import selectors as providers
from providers.selectors import DeploymentView
from token_standard.cards import Card
from token_standard.catalogue import card_by_digest
from token_standard.tokenizer import Tokenizer, tokenizer
from token_standard.usage import micro_st

SCOPE = "inference"
SOURCE = "gateway"
DEFAULT_MAX_TOKENS = 1_024
STALE_AFTER = timedelta(minutes=20)  # beyond the life of a reservation, and of any request
LATELY, FIRST_EXPECTED = 100, 128  # requests that tell how long the next one is; tokens where there were none
State = RequestLog.State


@dataclass(frozen=True, slots=True)
class Opened:
    """A request that may run: where, on whose allocation, and within which limits."""

    log_id: UUID
    request_id: str
    line: LineView
    deployment: DeploymentView
    engine_key: str = field(repr=False)
    allocation_id: UUID
    reservation_id: UUID
    reserved_micro_st: int
    prompt_tokens: int
    max_tokens: int
    opened_at: datetime
    grade: str
    window_end: datetime

    @property
    def tokenizer(self) -> Tokenizer:
        """What the line is counted with."""
        return tokenizer(self.line.tokenizer)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `completion_tokens` is what was delivered; a failed one delivered nothing."""

    state: State
    completion_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: str = ""
    first_token_at: datetime | None = None
    finished_at: datetime | None = None
    last_token_at: datetime | None = None
    client_left: bool = False  # then it is not the provider who is judged


def check_scope(actor: Actor) -> None:
    """Refuse a key that may not ask for completions.

    :raises ScopeMissing: see there.
    """
    if not actor.can(SCOPE):
        raise ScopeMissing(f"This key lacks the scope {SCOPE}.")


def open_request(
    asked: Asked, *, actor: Actor, request_id: str, now: datetime, avoid: Collection[UUID] = frozenset()
) -> Opened:
    """Reserve a request's worst case on an allocation of its line, and log that it began.

    `avoid` are deployments that failed this request already.

    :raises ScopeMissing, ModelNotFound, ContextTooLong: see there.
    :raises market.kernel.errors.NoAllocation: nothing bought for this hour covers it, outside of `avoid`.
    """
    check_scope(actor)
    line = _line(asked.model, actor)
    prompt = prompt_tokens(tokenizer(line.tokenizer), asked.texts)
    limit = _limit(asked.max_tokens, prompt, line.context_limit)
    worst = micro_st(_card(line), n=prompt, c=0, g=limit)
    log_id = ids.new()
    with transaction.atomic():
        reserved = trading.draws.reserve(
            organisation_id=actor.organisation_id,
            line=line.slug,
            request_id=str(log_id),
            micro_st=worst,
            now=now,
            avoid=avoid,
        )
        part = reserved.parts[0]
        RequestLog.objects.create(
            id=log_id,
            request_id=request_id,
            organisation_id=actor.organisation_id,
            key_id=actor.key_id,
            line_id=line.id,
            allocation_id=part.allocation_id,
            deployment_id=part.deployment_id,
            reservation_id=reserved.id,
            reserved_micro_st=worst,
            stream=asked.stream,
            max_tokens=limit,
            prompt_tokens=prompt,
            opened_at=now,
        )
    return Opened(
        log_id=log_id,
        request_id=request_id,
        line=line,
        deployment=providers.deployment(part.deployment_id),
        engine_key=providers.engine_key(part.deployment_id),
        allocation_id=part.allocation_id,
        reservation_id=reserved.id,
        reserved_micro_st=worst,
        prompt_tokens=prompt,
        max_tokens=limit,
        opened_at=now,
        grade=reserved.grade,
        window_end=reserved.window_end,
    )


def close_request(opened: Opened, outcome: Outcome, *, now: datetime) -> Usage:
    """Draw what was used, hand the record to the meter and close the log, all in one transaction.

    Doing it again changes nothing. A failed attempt gives its reservation back whole.
    """
    usage = measured(opened, outcome)
    found, kept = _judged(opened, outcome, usage, now)
    with transaction.atomic():
        closed = RequestLog.objects.filter(id=opened.log_id, state=State.OPEN).update(
            state=outcome.state,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            micro_st=usage.micro_st,
            finish_reason=outcome.finish_reason[:30],
            first_token_at=outcome.first_token_at,
            closed_at=now,
            first_token_ms=found.first_token_ms,
            speed_milli=found.speed_milli,
            kept=kept,
        )
        if not closed:
            return usage
        if outcome.state == State.FAILED:
            trading.draws.release(opened.reservation_id, now=now)
            return usage
        trading.draws.settle(opened.reservation_id, used_micro_st=usage.micro_st, now=now, kept=kept)
        operator = actors.of_organisation(organisations.operator_id())
        metering.ingest_records([_event(opened, outcome, usage, now)], sender=operator, now=now)
    return usage


def fall_short(opened: Opened, *, now: datetime) -> int:
    """Nobody that sold to the buyer delivered this request, and no one but the sellers is at fault; gives the micro-ST due.

    What it would have used is its prompt and, since nobody knows, as many tokens as such requests of the buyer came to
    lately, within its own limit.
    """
    buyer = RequestLog.objects.values_list("organisation_id", flat=True).get(id=opened.log_id)
    lately = RequestLog.objects.filter(organisation_id=buyer, line_id=opened.line.id, state=State.DONE)
    counts = list(lately.order_by("-id").values_list("completion_tokens", flat=True)[:LATELY])
    expected = -(-sum(counts) // len(counts)) if counts else FIRST_EXPECTED
    wanted = micro_st(_card(opened.line), n=opened.prompt_tokens, c=0, g=min(expected, opened.max_tokens))
    return trading.shortfalls.record(
        opened.allocation_id, request_id=opened.request_id, micro_st=min(wanted, opened.reserved_micro_st), now=now
    )


def close_stale(*, now: datetime) -> int:
    """Close the logs of requests whose process died, as failed; gives how many.

    The market gives their reservations back by itself; what they may have
    delivered was counted by nobody, so nothing is billed.
    """
    dead = RequestLog.objects.filter(state=State.OPEN, opened_at__lt=now - STALE_AFTER)
    return dead.update(state=State.FAILED, finish_reason="lost", closed_at=now)


def measured(opened: Opened, outcome: Outcome) -> Usage:
    """What an attempt used: nothing where it failed; never more than was reserved."""
    if outcome.state == State.FAILED:
        return Usage(0, 0, 0, 0)
    generated = min(outcome.completion_tokens, opened.max_tokens)
    cached = min(outcome.cached_tokens, opened.prompt_tokens)
    used = micro_st(_card(opened.line), n=opened.prompt_tokens - cached, c=cached, g=generated)
    return Usage(opened.prompt_tokens, cached, generated, min(used, opened.reserved_micro_st))


def _judged(opened: Opened, outcome: Outcome, usage: Usage, now: datetime) -> tuple[promise.Timing, bool | None]:
    """How it was served, and whether that kept the promise: an engine that broke off did not."""
    if outcome.state == State.FAILED:
        return promise.Timing(None, None), None
    found = promise.timing(
        opened_at=opened.opened_at,
        first_at=outcome.first_token_at,
        last_at=outcome.last_token_at,
        tokens=usage.completion_tokens,
    )
    if outcome.client_left:
        return found, None
    if outcome.state == State.CUT:
        return found, False
    return found, promise.kept(
        opened.grade, found, finished_at=outcome.finished_at or now, window_end=opened.window_end
    )


def _line(slug: str, actor: Actor) -> LineView:
    try:
        return market.line_for(slug, actor.organisation_id)
    except UnknownLine:
        raise ModelNotFound("No model of this name is served; GET /v1/models lists them.", param="model") from None


def _limit(wanted: int | None, prompt: int, context_limit: int) -> int:
    room = context_limit - prompt
    least = wanted or 1
    if least > room:
        raise ContextTooLong(
            f"This model takes {context_limit} tokens in all; {prompt} of prompt and {least} generated are more.",
            param="messages",
        )
    return min(wanted or DEFAULT_MAX_TOKENS, room)


def _card(line: LineView) -> Card:
    return card_by_digest(line.card_digest)


def _event(opened: Opened, outcome: Outcome, usage: Usage, now: datetime) -> UsageEvent:
    return UsageEvent(
        source=SOURCE,
        id=opened.log_id.hex,
        type=TYPE,
        time=outcome.first_token_at or now,
        subject=opened.request_id,
        allocation_id=opened.allocation_id,
        card_digest=opened.line.card_digest,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        max_tokens=opened.max_tokens,
        finish_reason=outcome.finish_reason[:30],
        started_at=opened.opened_at,
        finished_at=outcome.finished_at,
    )
