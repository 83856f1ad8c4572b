"""Three meters of one allocation side by side, by request and by minute. Rules: docs/reconciliation.md.

A request belongs to the minute in which the gateway saw its first token, so that an agent whose clock is wrong makes
no difference; one that the gateway does not know belongs to its own. Token counts must be equal. Standard tokens
follow from them by the contracted card, and the stored number must be that number. A meter that never reported on the
allocation is silent, not in contradiction; a buyer's receipts are compared where there are any and prove nothing by
their absence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from providers.kernel.vocabulary import serves_contract
from token_standard import usage
from token_standard.cards import Card

MATCHED, WAITING, SINGLE, SOFT, HARD = "matched", "waiting", "single_witness", "soft", "hard"
STATES = (MATCHED, WAITING, SINGLE, SOFT, HARD)

MISSING_AT_AGENT, MISSING_AT_GATEWAY = "missing_at_agent", "missing_at_gateway"
PROMPT, CACHED, COMPLETION, ST = "prompt_differs", "cached_as_uncached", "completion_differs", "st_differs"
OVERRUN, WORSE_FORMAT, AGGREGATE = "overrun", "served_format_worse", "aggregate"
# These are differences of the bill; the others are named and stop nothing.
DIFFERENCES = (MISSING_AT_AGENT, MISSING_AT_GATEWAY, PROMPT, CACHED, COMPLETION, ST)
CAUSES = (*DIFFERENCES, OVERRUN, WORSE_FORMAT, AGGREGATE)

GATEWAY, AGENT, BUYER = "gateway", "agent", "buyer"
METERS = (GATEWAY, AGENT, BUYER)


class Count(NamedTuple):
    """One record as its meter sent it. `cached` is a part of `prompt`; `requests` above 1: it stands for so many.

    `billable` and `micro_st` are what was stored; `completion` is what was generated, beyond the limit too.
    """

    meter: str
    request_id: str
    at: datetime
    prompt: int
    cached: int
    completion: int
    billable: int
    micro_st: int
    max_tokens: int | None
    received_at: datetime
    served_format: str = ""
    requests: int = 1
    signed: bool = False


class Sums(NamedTuple):
    """What one meter counted; `completion` are billable tokens."""

    records: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    micro_st: int = 0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def tokens(self) -> tuple[int, int, int, int]:
        """What must be equal between meters."""
        return self[:4]


NOTHING = Sums()


@dataclass(frozen=True, slots=True)
class Terms:
    """By what an allocation is compared: its card, its window's end, and how long a difference may wait."""

    card: Card
    window_end: datetime
    grace: timedelta = timedelta(minutes=15)
    # Whoever keeps sending cannot put off the answer for ever.
    longest: timedelta = timedelta(hours=6)

    def due(self, last_arrival: datetime) -> datetime:
        """When a difference of a minute stops waiting."""
        return min(max(self.window_end, last_arrival) + self.grace, self.window_end + self.longest)


@dataclass(frozen=True, slots=True)
class Joined:
    """One request, as each meter counted it; None where a meter does not know it."""

    request_id: str
    minute: datetime
    gateway: Sums | None
    agent: Sums | None
    buyer: Sums | None
    causes: tuple[str, ...]
    agent_signed: bool
    # The gateway's stored micro-ST less what its own counters come to.
    stored_over: int
    last_arrival: datetime


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of an allocation. `over_micro_st` is contested for the buyer, `under_micro_st` for the seller."""

    minute: datetime
    gateway: Sums
    agent: Sums
    buyer: Sums
    state: str
    causes: tuple[str, ...]
    over_micro_st: int
    under_micro_st: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """All minutes of an allocation in order, and the requests behind them."""

    minutes: tuple[Minute, ...]
    requests: tuple[Joined, ...]

    @property
    def due_at(self) -> datetime | None:
        """When the first waiting minute must be looked at again."""
        return min((one.due_at for one in self.minutes if one.state == WAITING), default=None)


def minute_of(instant: datetime) -> datetime:
    """The minute that an instant lies in."""
    return instant.replace(second=0, microsecond=0)


def is_worse(served: str, card: Card) -> bool:
    """Whether a served format is coarser than the contracted one; a record that names none is not judged."""
    return bool(served) and not serves_contract(served, card.format.name)


def compare(counts: Iterable[Count], terms: Terms, *, now: datetime) -> Comparison:
    """Compare all live records of one allocation; the order in which they are given changes nothing."""
    everything = list(counts)
    loose = [one for one in everything if one.requests != 1 or not one.request_id]
    speaks = any(one.meter == AGENT for one in everything)
    # Where one side adds up before it reports, what has no partner by name is compared by sums.
    pooled = speaks and any(one.meter != BUYER for one in loose)
    missing = () if pooled else (MISSING_AT_AGENT, MISSING_AT_GATEWAY) if speaks else (MISSING_AT_GATEWAY,)
    requests = join(everything, terms.card, missing=missing)
    minutes: defaultdict[datetime, _Gathered] = defaultdict(_Gathered)
    for request in requests:
        minutes[request.minute].add(request, pooled=pooled)
    for one in loose:
        minutes[minute_of(one.at)].add_loose(one, terms.card)
    agree = (
        _total(one.pool_gateway for one in minutes.values()).tokens
        == _total(one.pool_agent for one in minutes.values()).tokens
    )
    found = [
        gathered.judge(minute, terms, now=now, agent_speaks=speaks, pools_agree=agree)
        for minute, gathered in sorted(minutes.items())
    ]
    return Comparison(tuple(found), tuple(requests))


def join(counts: Iterable[Count], card: Card, *, missing: Collection[str]) -> list[Joined]:
    """Requests by their id, in order of minute and id; records that stand for several or have no id are left out.

    `missing`: which of the two causes of that name may be given.
    """
    by_request: defaultdict[str, dict[str, list[Count]]] = defaultdict(dict)
    for one in counts:
        if one.requests == 1 and one.request_id:
            by_request[one.request_id].setdefault(one.meter, []).append(one)
    joined = [_joined(name, meters, card, missing) for name, meters in by_request.items()]
    return sorted(joined, key=lambda one: (one.minute, one.request_id))


def _joined(name: str, meters: dict[str, list[Count]], card: Card, missing: Collection[str]) -> Joined:
    by_gateway, by_agent = meters.get(GATEWAY), meters.get(AGENT)
    home = by_gateway or by_agent or meters[BUYER]
    limits = [one.max_tokens for one in by_gateway or () if one.max_tokens is not None]
    limit = min(limits) if limits else None
    gateway = _stored(by_gateway) if by_gateway else None
    agent, buyer = (_valued(meters[m], card, limit) if m in meters else None for m in (AGENT, BUYER))
    over = sum(one.micro_st - _worth(one, card, one.billable) for one in by_gateway or ())
    everything = [one for several in meters.values() for one in several]
    causes = set(_differences(gateway, agent)) if gateway and agent else set()
    if gateway and buyer:
        causes.update(_differences(gateway, buyer))
    if gateway and agent is None:
        causes.update({MISSING_AT_AGENT}.intersection(missing))
    if agent and gateway is None:
        causes.update({MISSING_AT_GATEWAY}.intersection(missing))
    if any(one.micro_st != _worth(one, card, one.billable) for one in everything):
        causes.add(ST)
    if any(one.completion > _limit(one, limit) for one in everything):
        causes.add(OVERRUN)
    if any(one.meter == AGENT and is_worse(one.served_format, card) for one in everything):
        causes.add(WORSE_FORMAT)
    return Joined(
        request_id=name,
        minute=minute_of(min(one.at for one in home)),
        gateway=gateway,
        agent=agent,
        buyer=buyer,
        causes=tuple(cause for cause in CAUSES if cause in causes),
        agent_signed=bool(by_agent) and all(one.signed for one in by_agent or ()),
        stored_over=over,
        last_arrival=max(one.received_at for one in everything),
    )


def _worth(one: Count, card: Card, billable: int) -> int:
    """Micro-ST of a record by the contracted card."""
    return usage.micro_st(card, n=one.prompt - one.cached, c=one.cached, g=billable)


def _limit(one: Count, gateways: int | None) -> int:
    """How much of a request's output may be billed: the gateway's word before the record's own."""
    limit = one.max_tokens if gateways is None else gateways
    return one.completion if limit is None else limit


def _stored(counts: list[Count]) -> Sums:
    """As it was stored, which is what is billed."""
    return _total(Sums(one.requests, one.prompt, one.cached, one.billable, one.micro_st) for one in counts)


def _valued(counts: list[Count], card: Card, limit: int | None) -> Sums:
    """A witness's records with the limit that the gateway knows, whether or not the witness knew it."""
    found = []
    for one in counts:
        billable = min(one.completion, _limit(one, limit))
        found.append(Sums(1, one.prompt, one.cached, billable, _worth(one, card, billable)))
    return _total(found)


def _total(several: Iterable[Sums]) -> Sums:
    columns = list(zip(*several, strict=True))
    return Sums(*map(sum, columns)) if columns else NOTHING


def _differences(gateway: Sums, witness: Sums) -> Iterable[str]:
    if gateway.prompt != witness.prompt:
        yield PROMPT
    if gateway.cached != witness.cached:
        yield CACHED
    if gateway.completion != witness.completion:
        yield COMPLETION
    if gateway.records != witness.records:
        # One request, reported more often by one side: somebody counts it twice.
        yield MISSING_AT_AGENT if gateway.records > witness.records else MISSING_AT_GATEWAY


@dataclass(slots=True)
class _Gathered:
    """What falls into one minute, while it is added up."""

    gateway: Sums = NOTHING
    agent: Sums = NOTHING
    buyer: Sums = NOTHING
    causes: set[str] = field(default_factory=set)
    # Without a partner by name, and compared by sums.
    pool_gateway: Sums = NOTHING
    pool_agent: Sums = NOTHING
    # Gateway less witness, in micro-ST, over requests that both may speak of.
    beyond_agent: int = 0
    beyond_buyer: int = 0
    stored_over: int = 0
    seen_by_buyer: int = 0
    differs: bool = False
    receipts_alone: bool = False
    last_arrival: datetime | None = None

    def add(self, one: Joined, *, pooled: bool) -> None:
        gateway, agent = one.gateway or NOTHING, one.agent or NOTHING
        self.gateway, self.agent = self.gateway.plus(gateway), self.agent.plus(agent)
        self.causes.update(one.causes)
        if one.buyer:
            self.buyer = self.buyer.plus(one.buyer)
            self.receipts_alone |= not one.gateway
            if one.gateway:
                self.beyond_buyer += gateway.micro_st - one.buyer.micro_st
                self.seen_by_buyer += one.buyer.tokens == gateway.tokens
        if pooled and not (one.agent and one.gateway):
            self.pool_gateway, self.pool_agent = self.pool_gateway.plus(gateway), self.pool_agent.plus(agent)
        else:
            self.beyond_agent += gateway.micro_st - agent.micro_st
        self.stored_over += one.stored_over
        self.differs |= any(cause in DIFFERENCES for cause in one.causes)
        self._arrived(one.last_arrival)

    def add_loose(self, one: Count, card: Card) -> None:
        counted = Sums(one.requests, one.prompt, one.cached, one.billable, one.micro_st)
        if one.meter == GATEWAY:
            self.gateway, self.pool_gateway = self.gateway.plus(counted), self.pool_gateway.plus(counted)
        elif one.meter == AGENT:
            self.agent, self.pool_agent = self.agent.plus(counted), self.pool_agent.plus(counted)
            self.causes.update([AGGREGATE, *([WORSE_FORMAT] if is_worse(one.served_format, card) else [])])
        else:
            self.buyer = self.buyer.plus(counted)
        self._arrived(one.received_at)

    def _arrived(self, at: datetime) -> None:
        self.last_arrival = at if self.last_arrival is None else max(at, self.last_arrival)

    def judge(self, minute: datetime, terms: Terms, *, now: datetime, agent_speaks: bool, pools_agree: bool) -> Minute:
        """The minute's state. A difference waits for late records first, and so does the lack of a witness."""
        assert self.last_arrival is not None, "a minute has a record"
        due = terms.due(self.last_arrival)
        pools_differ = self.pool_gateway.tokens != self.pool_agent.tokens
        causes, differs = set(self.causes), self.differs
        if pools_differ:
            causes.add(AGGREGATE)
        if pools_differ and not pools_agree:
            differs = True
            causes.update(_differences(self.pool_gateway, self.pool_agent))
        if differs:
            state = HARD if now >= due else WAITING
        elif not agent_speaks and self.seen_by_buyer < self.gateway.records:
            state = SINGLE if now >= due else WAITING
        elif pools_differ or WORSE_FORMAT in causes or (self.receipts_alone and not self.gateway.records):
            state = SOFT
        else:
            state = MATCHED
        over, under = self._contested(agent_speaks, pools_differ and not pools_agree) if differs else (0, 0)
        return Minute(
            minute, self.gateway, self.agent, self.buyer, state, tuple(one for one in CAUSES if one in causes),
            over, under, due,
        )  # fmt: skip

    def _contested(self, agent_speaks: bool, pools_differ: bool) -> tuple[int, int]:
        """Micro-ST that the gateway counted beyond a witness, and that the agent counted beyond the gateway."""
        beyond_agent = self.beyond_agent if agent_speaks else 0
        if pools_differ:
            beyond_agent += _pool_over(self.pool_gateway, self.pool_agent)
        over = max(0, beyond_agent, self.beyond_buyer, self.stored_over)
        return min(over, self.gateway.micro_st), max(0, -beyond_agent)


def _pool_over(gateway: Sums, agent: Sums) -> int:
    """What sums say that the gateway counted too much: its micro-ST by the kind of token that lacks most.

    The standard tokens of a sum are not the sum of those of its requests, so they are not compared themselves. More
    tokens in a sum prove no request, and give the seller nothing.
    """
    lacking = [
        (ours - theirs, ours) for ours, theirs in zip(gateway.tokens, agent.tokens, strict=True) if ours > theirs
    ]
    return max((-(-gateway.micro_st * lack // ours) for lack, ours in lacking), default=0)
