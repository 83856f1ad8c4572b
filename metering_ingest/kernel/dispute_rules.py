"""How a dispute goes on, and what is proposed without anybody's discretion. Source: docs/reconciliation.md.

Words are kept apart from money: a proposal says in micro-ST what the buyer gets back (`credit`, within what was
frozen) and, request by request, what the gateway's count should become in the seller's favour (`amendments`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from metering_ingest.kernel import comparing
from metering_ingest.kernel.comparing import Joined, Sums

OPEN, PROPOSED, ESCALATED, RESOLVED = "open", "proposed", "escalated", "resolved"
STATES = (OPEN, PROPOSED, ESCALATED, RESOLVED)
_NEXT = {
    OPEN: {PROPOSED, ESCALATED},
    PROPOSED: {RESOLVED, ESCALATED},
    ESCALATED: {RESOLVED},
    RESOLVED: set[str](),
}

# A cause of disputes beside those of comparing: more was billed than the devices worked for.
WORK = "work_unbacked"

RULE, BUYER, SELLER, OPERATOR = "rule", "buyer", "seller", "operator"
PARTIES = (BUYER, SELLER)

# The delivery day is closed to money a day after it ended.
_CLOCK, _CLOSE = ZoneInfo("Asia/Shanghai"), timedelta(hours=24)

# Why a proposal is what it is.
GATEWAY_STANDS, WITNESSES_AGREE, RECOMPUTED = "gateway_stands", "witnesses_agree", "recomputed"
SIGNED_COUNTS, NEEDS_REVIEW = "signed_record_counts", "needs_review"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each step may take, and until when after the delivery day's close a party may open a dispute."""

    reply: timedelta = timedelta(hours=72)
    accept: timedelta = timedelta(hours=72)
    window: timedelta = timedelta(days=7)
    staff: timedelta = timedelta(days=14)

    def last(self, window_start: datetime) -> datetime:
        """Until when a party may open a dispute about a window."""
        return day_closes_at(window_start) + self.window


def day_closes_at(window_start: datetime) -> datetime:
    """When the delivery day of a window is closed: 24 hours after its end on the market's clock."""
    day = window_start.astimezone(_CLOCK).date()
    return datetime.combine(day + timedelta(days=1), time(), _CLOCK) + _CLOSE


@dataclass(frozen=True, slots=True)
class Amendment:
    """One request whose count of the gateway should become `counts`."""

    request_id: str
    counts: Sums


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the rules make of the contested requests. `rules` are the reasons met, each once.

    `claim_micro_st`: by how much the amendments raise the gateway's count.
    """

    credit_micro_st: int
    amendments: tuple[Amendment, ...]
    rules: tuple[str, ...]
    claim_micro_st: int = 0

    @property
    def for_seller(self) -> bool:
        """Whether the buyer would pay for more than the gateway counted: never by silence."""
        return bool(self.amendments)


def may_become(state: str, next_state: str) -> bool:
    """Whether a dispute in one state may go to another."""
    return next_state in _NEXT[state]


def propose(requests: Iterable[Joined], *, frozen_micro_st: int, aggregates: bool = False) -> Proposal:
    """Decide the contested requests one by one; never more goes back than was frozen.

    `aggregates`: the agent sent sums, which prove no single request.
    """
    credit, claim, amendments, rules = 0, 0, [], set()
    for one in requests:
        back, more, rule = _decide(one)
        credit += back
        if more is not None:
            amendments.append(Amendment(one.request_id, more))
            claim += more.micro_st - (one.gateway or Sums()).micro_st
        rules.add(rule)
    if aggregates:
        rules.add(GATEWAY_STANDS)
    reasons = tuple(sorted(rules)) or (GATEWAY_STANDS,)
    return Proposal(min(max(0, credit), frozen_micro_st), tuple(amendments), reasons, claim)


def _decide(one: Joined) -> tuple[int, Sums | None, str]:
    """Micro-ST to give back, what the count should become for the seller, and the rule."""
    gateway, agent, buyer = one.gateway, one.agent, one.buyer
    if agent is not None and agent.records != 1 and agent.micro_st > (gateway or Sums()).micro_st:
        # One request in several records: as one record their sum would cost more than was claimed.
        return 0, None, GATEWAY_STANDS
    if gateway is None:
        if agent is not None and one.agent_signed and (buyer is None or buyer.tokens == agent.tokens):
            return 0, agent, SIGNED_COUNTS
        return 0, None, GATEWAY_STANDS
    if agent is not None and buyer is not None and agent.tokens == buyer.tokens != gateway.tokens:
        over = gateway.micro_st - agent.micro_st
        return (over, None, WITNESSES_AGREE) if over >= 0 else (0, agent, WITNESSES_AGREE)
    if comparing.ST in one.causes and one.stored_over:
        # Each side's number follows from its own counters; what was stored beyond that is nobody's claim.
        return max(0, one.stored_over), None, RECOMPUTED
    return 0, None, GATEWAY_STANDS


def after_silence(proposal_for_seller: bool, *, accepted_by: Iterable[str]) -> str:
    """The next state of a proposal whose time is up: it stands, unless silence would cost the buyer more."""
    return ESCALATED if proposal_for_seller and BUYER not in accepted_by else RESOLVED


def after_answer(accepted_by: Iterable[str]) -> str:
    """The state of a proposal after an acceptance: resolved once both parties agree."""
    return RESOLVED if set(PARTIES) <= set(accepted_by) else PROPOSED
