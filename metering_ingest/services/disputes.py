"""Disputes: opened by rule or by a party, proposed by rule, ended by agreement, silence or staff.

Billing freezes and settles what is decided here; nothing here moves money.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.kernel.errors import DomainError
from accounts.selectors import actors, organisations
from accounts.services import audit
from market import selectors as market
from market.selectors import AllocationView
from metering_ingest import locks
from metering_ingest.kernel import comparing
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.kernel.comparing import Comparison, Minute
from metering_ingest.kernel.dispute_rules import Deadlines
from metering_ingest.reconciliation_models import Dispute, DisputeEvent, DisputeMinute
from metering_ingest.selectors import disputes as reads
from metering_ingest.selectors.disputes import NoSuchDispute
from metering_ingest.services import amending, evidence
from metering_ingest.services.recomputing import recomputed

log = structlog.get_logger(__name__)
_Kind, _Side = DisputeEvent.Kind, DisputeMinute.Side
MOST_NOTE = 2_000


class NoSuchAllocation(DomainError):
    """There is none, or it is other parties'."""

    code = "not_found"
    status = 404


class WindowOver(DomainError):
    """A party may contest a delivery day until seven days after its close."""

    code = "dispute_window_over"
    status = 409


class NothingToContest(DomainError):
    """No minute of those asked for was counted, differs, or is free to be contested."""

    code = "nothing_to_contest"
    status = 409


class StillWaiting(DomainError):
    """Late records are still waited for."""

    code = "still_waiting"
    status = 409
    retryable = True


class WrongState(DomainError):
    """The dispute's state does not allow this."""

    code = "dispute_state"
    status = 409


class NotAllowed(DomainError):
    """Only a party, or only the operator, may do this."""

    code = "forbidden"
    status = 403


class BadAmount(DomainError):
    """More than was frozen, or less than nothing."""

    code = "bad_amount"


class NoReason(DomainError):
    """Who escalates or decides says why."""

    code = "reason_missing"


def deadlines() -> Deadlines:
    """How long each step may take."""
    return Deadlines(
        reply=timedelta(hours=settings.DISPUTE_REPLY_HOURS),
        accept=timedelta(hours=settings.DISPUTE_ACCEPT_HOURS),
        window=timedelta(days=settings.DISPUTE_WINDOW_DAYS),
        staff=timedelta(days=settings.DISPUTE_STAFF_DAYS),
    )


def open_by_rule(allocation: AllocationView, found: Comparison, *, now: datetime) -> UUID | None:
    """Open a dispute about the hard minutes of an allocation that no dispute has yet, where they are worth one."""
    hard = [one for one in found.minutes if one.state == comparing.HARD]
    if not hard:
        return None
    locks.buckets(allocation.id)
    free = _free(allocation.id, hard)
    contested = sum(max(one.over_micro_st, one.under_micro_st) for one in free)
    if contested * allocation.price_micros < settings.DISPUTE_LEAST_MICROS * 10**12 or not contested:
        return None
    return _open(allocation, found, free, by=rules.RULE, actor=_operator(), note="", now=now).id


def open_for_work(allocation: AllocationView, found: Comparison, share: Fraction, *, now: datetime) -> UUID | None:
    """Open a dispute about work that was billed and not done: this share of each minute that no dispute has yet."""
    locks.buckets(allocation.id)
    free = [
        replace(one, causes=(*one.causes, rules.WORK), over_micro_st=int(one.gateway.micro_st * share))
        for one in _free(allocation.id, found.minutes, by=rules.BUYER)
        if one.gateway.records
    ]
    contested = sum(one.over_micro_st for one in free)
    if contested * allocation.price_micros < settings.DISPUTE_LEAST_MICROS * 10**12 or not contested:
        return None
    return _open(allocation, found, free, by=rules.RULE, actor=_operator(), note="", now=now).id


def open_(
    allocation_id: UUID, *, statement: str, actor: Actor, now: datetime, minutes: Collection[datetime] = ()
) -> UUID:
    """Contest minutes of an own allocation; without any, all that differ and were not contested yet.

    :raises NoSuchAllocation: there is none, or it is other parties'.
    :raises WindowOver, NothingToContest, StillWaiting: see there.
    """
    allocation = market.allocations_many([allocation_id]).get(allocation_id)
    if allocation is None:
        raise NoSuchAllocation("There is no such allocation.")
    side = reads.side_of(actor, buyer_id=allocation.buyer_id, seller_id=allocation.seller_id)
    if side is None:
        raise NoSuchAllocation("There is no such allocation.")
    if side == rules.OPERATOR:
        raise NotAllowed("The operator decides disputes and opens none.")
    if now >= deadlines().last(allocation.window_start):
        raise WindowOver("A delivery day can be contested until seven days after its close.")
    with transaction.atomic():
        locks.buckets(allocation_id)
        found = recomputed(allocation, now=now)
        chosen = _chosen(allocation_id, found, minutes, by=side)
        return _open(allocation, found, chosen, by=side, actor=actor, note=statement, now=now).id


def _chosen(allocation_id: UUID, found: Comparison, minutes: Collection[datetime], *, by: str) -> list[Minute]:
    free = _free(allocation_id, found.minutes, by=by)
    asked = [one for one in free if (one.minute in minutes if minutes else one.state != comparing.MATCHED)]
    if not asked or (minutes and len(asked) != len(set(minutes))):
        raise NothingToContest("Nothing of these minutes was counted, or a dispute has them already.")
    if minutes and any(one.state == comparing.WAITING for one in asked):
        raise StillWaiting("Late records are still waited for; contest it when that is over.")
    settled = [one for one in asked if one.state != comparing.WAITING]
    if not settled:
        raise StillWaiting("Late records are still waited for; contest it when that is over.")
    return settled


def _free(allocation_id: UUID, minutes: Sequence[Minute], *, by: str = rules.RULE) -> list[Minute]:
    """Those minutes that may be contested, each with what no dispute has of it yet.

    A buyer may contest counts that agree; a seller needs a claim, and the rule a difference.
    """
    taken = set(DisputeMinute.objects.filter(allocation_id=allocation_id).values_list("minute", "side"))
    free = []
    for one in minutes:
        over = 0 if (one.minute, _Side.BUYER) in taken else one.over_micro_st
        under = 0 if (one.minute, _Side.SELLER) in taken else one.under_micro_st
        mine = {rules.BUYER: (one.minute, _Side.BUYER) not in taken, rules.SELLER: under, rules.RULE: over or under}
        if mine[by]:
            free.append(replace(one, over_micro_st=over, under_micro_st=under))
    return free


def _sides(one: Minute, by: str) -> list[str]:
    """For whom a dispute takes a minute."""
    wanted = {_Side.BUYER: one.over_micro_st or by == rules.BUYER, _Side.SELLER: one.under_micro_st}
    return [side for side, is_wanted in wanted.items() if is_wanted]


def _open(
    allocation: AllocationView, found: Comparison, minutes: Sequence[Minute], *, by: str, actor: Actor, note: str,
    now: datetime,
) -> Dispute:  # fmt: skip
    """Write a dispute; the allocation's buckets are locked, so all freezes together stay within its count."""
    counted = sum(one.gateway.micro_st for one in found.minutes)
    over = sum(one.over_micro_st for one in minutes)
    causes = {cause for one in minutes for cause in one.causes}
    dispute = Dispute.objects.create(
        allocation_id=allocation.id,
        buyer_id=allocation.buyer_id,
        seller_id=allocation.seller_id,
        opened_by=by,
        causes=" ".join(cause for cause in (*comparing.CAUSES, rules.WORK) if cause in causes),
        freeze_micro_st=max(0, min(over, counted - reads.committed_micro_st(allocation.id))),
        claim_micro_st=sum(one.under_micro_st for one in minutes),
        opened_at=now,
        deadline_at=now + deadlines().reply,
    )
    DisputeMinute.objects.bulk_create(
        DisputeMinute(dispute=dispute, allocation_id=allocation.id, minute=one.minute, side=side)
        for one in minutes
        for side in _sides(one, by)
    )
    sha256 = evidence.collect(dispute, allocation, found, [one.minute for one in minutes], now=now)
    detail = {"freeze_micro_st": dispute.freeze_micro_st, "claim_micro_st": dispute.claim_micro_st, "evidence": sha256}
    _event(dispute, _Kind.OPENED, by=by, actor=actor, note=note, detail=detail, now=now)
    return dispute


def reply(dispute_id: UUID, *, note: str, actor: Actor, now: datetime) -> None:
    """Say something to a dispute; once both parties have, a proposal follows at once.

    :raises NoSuchDispute, WrongState, NoReason: see there.
    """
    if not note.strip():
        raise NoReason("A reply has words.")
    with transaction.atomic():
        dispute, side = _locked(dispute_id, actor)
        if dispute.state == rules.RESOLVED:
            raise WrongState("This dispute is resolved.")
        _event(dispute, _Kind.REPLIED, by=side, actor=actor, note=note, now=now)
        spoke = set(DisputeEvent.objects.filter(dispute=dispute).values_list("by", flat=True))
        if dispute.state == rules.OPEN and spoke >= set(rules.PARTIES):
            _propose_or_escalate(dispute, now)


def accept(dispute_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Accept what is proposed; with the other party's acceptance it is resolved. Again changes nothing.

    :raises NoSuchDispute, WrongState, NotAllowed: see there.
    """
    with transaction.atomic():
        dispute, side = _locked(dispute_id, actor)
        if side not in rules.PARTIES:
            raise NotAllowed("Only the buyer and the seller accept a proposal.")
        accepted = _accepted(dispute)
        if side in accepted:
            return
        if dispute.state != rules.PROPOSED:
            raise WrongState("There is no proposal to accept.")
        _event(dispute, _Kind.ACCEPTED, by=side, actor=actor, note="", now=now)
        if rules.after_answer([*accepted, side]) == rules.RESOLVED:
            _resolve_as_proposed(dispute, by=rules.RULE, actor=actor, note="", now=now)


def escalate(dispute_id: UUID, *, reason: str, actor: Actor, now: datetime) -> None:
    """Hand a dispute to staff; again changes nothing.

    :raises NoSuchDispute, WrongState, NoReason: see there.
    """
    if not reason.strip():
        raise NoReason("Say why staff should decide.")
    with transaction.atomic():
        dispute, side = _locked(dispute_id, actor)
        if dispute.state == rules.ESCALATED:
            return
        if dispute.state == rules.RESOLVED:
            raise WrongState("This dispute is resolved.")
        if side in _accepted(dispute):
            raise WrongState("You have accepted the proposal.")
        _escalate(dispute, by=side, actor=actor, note=reason, now=now)


def decide(dispute_id: UUID, *, credited_micro_st: int, amend: bool, reason: str, actor: Actor, now: datetime) -> None:
    """Staff's decision: what the buyer gets back of what is frozen, and whether the agent's counts replace the gateway's.

    :raises NoSuchDispute, NotAllowed, WrongState, BadAmount, NoReason: see there.
    """
    if not reason.strip():
        raise NoReason("A decision has a reason.")
    with transaction.atomic():
        dispute, side = _locked(dispute_id, actor)
        if side != rules.OPERATOR:
            raise NotAllowed("Only the operator decides a dispute.")
        if dispute.state == rules.RESOLVED:
            raise WrongState("This dispute is resolved.")
        if not 0 <= credited_micro_st <= dispute.freeze_micro_st:
            raise BadAmount("The buyer gets back at most what is frozen.", most=dispute.freeze_micro_st)
        if dispute.state != rules.ESCALATED:
            _escalate(dispute, by=side, actor=actor, note=reason, now=now)
        detail = {"credited_micro_st": credited_micro_st, "amend": amend}
        _event(dispute, _Kind.DECIDED, by=side, actor=actor, note=reason, detail=detail, now=now)
        amendments = amending.of_agent(dispute, now=now) if amend else []
        _resolve(dispute, credited_micro_st, amendments, by=side, actor=actor, note=reason, now=now)


def advance_due(*, now: datetime, limit: int = 200) -> int:
    """Propose where the time to reply is up, and end proposals whose time is up; gives how many moved on.

    One that cannot be moved on is logged and holds up none of the others.
    """
    due = Dispute.objects.filter(deadline_at__lte=now).order_by("deadline_at", "id").values_list("id", flat=True)
    moved = 0
    for dispute_id in list(due[:limit]):
        try:
            moved += _advance(dispute_id, now)
        except Exception:
            log.exception("metering.dispute_not_advanced", dispute=ids.encode("dsp", dispute_id))
    return moved


def _advance(dispute_id: UUID, now: datetime) -> bool:
    with transaction.atomic():
        dispute = locks.dispute(dispute_id)
        if dispute.deadline_at is None or dispute.deadline_at > now:
            return False
        if dispute.state == rules.OPEN:
            _propose_or_escalate(dispute, now)
            return True
        if dispute.state == rules.ESCALATED:
            _end_unanswered(dispute, now)
            return True
        accepted = _accepted(dispute)
        if rules.after_silence(bool(dispute.proposed_amendments), accepted_by=accepted) == rules.RESOLVED:
            _resolve_as_proposed(dispute, by=rules.RULE, actor=_operator(), note="", now=now)
        else:
            _escalate(dispute, by=rules.RULE, actor=_operator(), note="", now=now)
        return True


def _end_unanswered(dispute: Dispute, now: datetime) -> None:
    """Staff did not decide: what was proposed for the buyer stands, else the gateway's count; nobody pays more.

    Else whoever escalates could keep another's money frozen for ever.
    """
    log.error("metering.dispute.undecided", dispute=str(dispute.id), deadline=str(dispute.deadline_at))
    credit = dispute.proposed_credit_micro_st or 0
    _resolve(dispute, credit, (), by=rules.RULE, actor=_operator(), note="Staff did not decide in time.", now=now)


def _propose_or_escalate(dispute: Dispute, now: datetime) -> None:
    """Counts are decided by rule; work is measured again by staff before anybody pays for it."""
    if rules.WORK in dispute.causes.split():
        _escalate(dispute, by=rules.RULE, actor=_operator(), note="", now=now)
    else:
        _propose(dispute, now)


def _propose(dispute: Dispute, now: datetime) -> None:
    """What the rules make of it, from the records as they are now."""
    allocation = market.allocation(dispute.allocation_id)
    minutes = set(dispute.minutes.values_list("minute", flat=True))
    found = recomputed(allocation, now=now)
    contested = [one for one in found.requests if one.minute in minutes]
    pooled = any(comparing.AGGREGATE in one.causes for one in found.minutes if one.minute in minutes)
    proposal = rules.propose(contested, frozen_micro_st=dispute.freeze_micro_st, aggregates=pooled)
    if not dispute.claim_micro_st:
        # What the agent counted beyond is the seller's to claim, in a dispute of its own.
        proposal = replace(proposal, amendments=(), claim_micro_st=0)
    if proposal.claim_micro_st > dispute.claim_micro_st:
        # What the parties read is the claim at the opening; nobody accepts more than that unseen.
        _escalate(dispute, by=rules.RULE, actor=_operator(), note="More is claimed than at the opening.", now=now)
        return
    sha256 = evidence.collect(dispute, allocation, found, minutes, now=now)
    dispute.state = rules.PROPOSED
    dispute.deadline_at = now + deadlines().accept
    dispute.proposed_credit_micro_st = proposal.credit_micro_st
    dispute.proposed_rules = " ".join(proposal.rules)
    dispute.proposed_amendments = [
        [one.request_id, one.counts.prompt, one.counts.cached, one.counts.completion] for one in proposal.amendments
    ]
    dispute.save()
    detail = {
        "credit_micro_st": proposal.credit_micro_st, "amendments": len(proposal.amendments),
        "rules": list(proposal.rules), "evidence": sha256,
    }  # fmt: skip
    _event(dispute, _Kind.PROPOSED, by=rules.RULE, actor=_operator(), note="", detail=detail, now=now)


def _resolve_as_proposed(dispute: Dispute, *, by: str, actor: Actor, note: str, now: datetime) -> None:
    credit = dispute.proposed_credit_micro_st
    assert credit is not None, "it was proposed"
    _resolve(dispute, credit, dispute.proposed_amendments, by=by, actor=actor, note=note, now=now)


def _resolve(
    dispute: Dispute, credited: int, amendments: Sequence[Sequence[object]], *, by: str, actor: Actor, note: str,
    now: datetime,
) -> None:  # fmt: skip
    dispute.state = rules.RESOLVED
    dispute.deadline_at = None
    dispute.credited_micro_st = credited
    dispute.amended = bool(amendments)
    dispute.resolved_at = now
    dispute.save()
    amending.amend(dispute, amendments, now=now)
    detail = {"credited_micro_st": credited, "amendments": len(amendments)}
    _event(dispute, _Kind.RESOLVED, by=by, actor=actor, note=note, detail=detail, now=now)


def _escalate(dispute: Dispute, *, by: str, actor: Actor, note: str, now: datetime) -> None:
    dispute.state = rules.ESCALATED
    dispute.deadline_at = now + deadlines().staff
    dispute.save()
    _event(dispute, _Kind.ESCALATED, by=by, actor=actor, note=note, now=now)


def _locked(dispute_id: UUID, actor: Actor) -> tuple[Dispute, str]:
    """A dispute of the actor's own, kept until the end of the transaction, and the actor's side."""
    try:
        dispute = locks.dispute(dispute_id)
    except Dispute.DoesNotExist:
        raise NoSuchDispute("There is no such dispute.") from None
    side = reads.side_of(actor, buyer_id=dispute.buyer_id, seller_id=dispute.seller_id)
    if side is None:
        raise NoSuchDispute("There is no such dispute.")
    return dispute, side


def _accepted(dispute: Dispute) -> list[str]:
    return list(DisputeEvent.objects.filter(dispute=dispute, kind=_Kind.ACCEPTED).values_list("by", flat=True))


def _event(
    dispute: Dispute, kind: str, *, by: str, actor: Actor, note: str, now: datetime, detail: Mapping[str, object] | None = None
) -> None:  # fmt: skip
    """One step, in the dispute's own story and in the audit log."""
    DisputeEvent.objects.create(
        dispute=dispute,
        kind=kind,
        by=by,
        user_id=actor.user_id,
        key_id=actor.key_id,
        note=note.strip()[:MOST_NOTE],
        detail=dict(detail or {}),
        at=now,
    )
    audit.record(
        actor=actor, action=f"dispute.{kind}", subject=ids.encode("dsp", dispute.id),
        detail={"by": by, "note": note.strip()[:MOST_NOTE], **(detail or {})}, now=now,
    )  # fmt: skip


def _operator() -> Actor:
    return actors.of_organisation(organisations.operator_id())
