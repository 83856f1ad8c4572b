"""What the pages show of comparisons and disputes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.kernel import formats, ids
from accounts.kernel.actor import Actor
from market import selectors as market
from metering_ingest.kernel import comparing
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.kernel.comparing import Sums
from metering_ingest.kernel.reliability import Day, reliability
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors.disputes import DisputeDetail
from metering_ingest.selectors.reconciliation import AllocationComparison, ComparisonView, DayOfMeter
from metering_ingest.services.disputes import deadlines
from metering_ingest.web import labels

DAYS = 30
_WORST_FIRST = (comparing.HARD, comparing.SOFT, comparing.WAITING, comparing.SINGLE, comparing.MATCHED)


def allocations(actor: Actor, *, now: datetime, as_seller: bool) -> list[dict[str, Any]]:
    """The last 30 days' allocations with three counts each."""
    found = reads.compared_allocations(actor, since=now - timedelta(days=DAYS), as_seller=as_seller)
    return [allocation(one, actor=actor, now=now) for one in found]


def allocation(one: AllocationComparison, *, actor: Actor, now: datetime) -> dict[str, Any]:
    """One allocation with its counts side by side and what may be done."""
    worst = next(state for state in _WORST_FIRST if one.minutes.get(state))
    open_until = deadlines().last(one.window_start)
    return {
        "view": one,
        "public_id": ids.encode("alc", one.allocation_id),
        "meters": meters(one.gateway, one.agent, one.buyer),
        "difference": difference(one.gateway, one.agent),
        "state": labels.STATES[worst],
        "causes": labels.causes(one.causes),
        "open_until": open_until,
        "may_contest": now < open_until
        and bool(one.uncontested)
        and actor.can("disputes:write")
        and actor.organisation_id in {one.buyer_id, one.seller_id},
    }


def meters(gateway: Sums, agent: Sums, buyer: Sums) -> list[tuple[str, Sums | None]]:
    """The three meters with their names; a meter that said nothing has no counts."""
    named = [(_("Gateway"), gateway), (_("Provider's agent"), agent), (_("Buyer's receipts"), buyer)]
    return [(name, sums if sums.records else None) for name, sums in named]


def difference(gateway: Sums, witness: Sums) -> dict[str, Any] | None:
    """Tokens that the agent counted more (or fewer) than the gateway, and per cent of the gateway's."""
    if not witness.records:
        return None
    ours, theirs = gateway.prompt + gateway.completion, witness.prompt + witness.completion
    tokens = theirs - ours
    percent = Decimal(tokens * 100) / ours if ours else None
    return {
        "tokens": tokens,
        "percent": None if percent is None else f"{percent:+.3f}".replace("-", "−") if tokens else "0",
    }


def minute(view: ComparisonView) -> dict[str, Any]:
    """One minute's row."""
    return {
        "view": view,
        "meters": meters(view.gateway, view.agent, view.buyer),
        "state": labels.STATES[view.state],
        "causes": labels.causes(view.causes),
        "dispute": ids.encode("dsp", view.dispute_id) if view.dispute_id else "",
    }


def drift(actor: Actor, *, now: datetime) -> dict[str, Any]:
    """A provider's days: the difference of its meter, its band, and how far it can be relied on."""
    days = reads.days_of(actor.organisation_id, since=now - timedelta(days=180))
    today = now.date()
    score = reliability(
        Day((today - one.day).days, one.requests, one.compared_micro_st, one.matched_micro_st, one.lost) for one in days
    )
    shown = [one for one in days if one.gateway_tokens and one.agent_tokens][-DAYS:]
    return {"score": score, "chart": _chart(shown), "rows": [_row(one) for one in shown], "summary": _summary(shown)}


def _percent(one: DayOfMeter) -> Decimal:
    return Decimal((one.agent_tokens - one.gateway_tokens) * 100) / one.gateway_tokens


def _band(one: DayOfMeter) -> Decimal:
    """Per cent of the day's value below which a difference opens no dispute by itself."""
    return Decimal(settings.DISPUTE_LEAST_MICROS * 100) / one.value_micros if one.value_micros else Decimal(0)


def _chart(days: Sequence[DayOfMeter]) -> dict[str, Any]:
    lines: list[tuple[str, list[Decimal], dict[str, Any]]] = [
        (_("Difference"), [_percent(one) for one in days], {"color": "accent", "type": "bar"}),
        (_("Band, upper"), [_band(one) for one in days], {"color": "warn", "dashed": True}),
        (_("Band, lower"), [-_band(one) for one in days], {"color": "warn", "dashed": True}),
    ]
    return {
        "y": "%",
        "labels": [one.day.isoformat() for one in days],
        "series": [
            {"name": name, "values": [f"{v:.6f}" for v in values], "texts": [f"{v:+.4f} %" for v in values],
             "type": "line", **style}
            for name, values, style in lines
        ],
    }  # fmt: skip


def _row(one: DayOfMeter) -> list[str]:
    return [
        one.day.isoformat(), formats.tokens_exact(one.gateway_tokens), formats.tokens_exact(one.agent_tokens),
        f"{_percent(one):+.4f}", f"±{_band(one):.4f}",
    ]  # fmt: skip


def _summary(days: Sequence[DayOfMeter]) -> str:
    beyond = sum(abs(_percent(one)) > _band(one) for one in days)
    return _("%(beyond)d of %(days)d days lie beyond the band.") % {"beyond": beyond, "days": len(days)}


def work(actor: Actor, *, now: datetime) -> list[dict[str, Any]]:
    """A provider's measured work by deployment, shape and window."""
    return [
        {
            "view": one,
            "deployment": ids.encode("dep", one.deployment_id),
            "state": labels.WORK_STATES[one.state],
            "ratio": f"{Decimal(one.low_bps or 0) / 10_000:.2f} – {Decimal(one.high_bps or 0) / 10_000:.2f}",
        }
        for one in reads.work_of(actor.organisation_id, since=now - timedelta(days=DAYS))
    ]


def dispute_row(one: DisputeDetail) -> dict[str, Any]:
    """One dispute of a list."""
    return {
        "view": one,
        "public_id": ids.encode("dsp", one.id),
        "state": labels.DISPUTE_STATES[one.state],
        "causes": labels.causes(one.causes),
        "opened_by": labels.SIDES[one.opened_by],
        "next": _next(one),
    }


def dispute(one: DisputeDetail, *, actor: Actor) -> dict[str, Any]:
    """One dispute with counts, story and what the reader may do."""
    found = market.allocation(one.allocation_id)
    minutes = [row for row in reads.minutes_of(one.allocation_id) if row.minute in set(one.minutes)]
    writes, party = actor.can("disputes:write"), one.side in rules.PARTIES
    accepted = one.side in one.accepted_by
    return {
        **dispute_row(one),
        "allocation": found,
        "allocation_id": ids.encode("alc", found.id),
        "worth_micros": one.freeze_micro_st * found.price_micros // 10**12,
        "credited_micros": None
        if one.credited_micro_st is None
        else one.credited_micro_st * found.price_micros // 10**12,
        "minutes": [minute(row) for row in minutes],
        "totals": meters(*(_added(minutes, name) for name in comparing.METERS)),
        "rules": [labels.RULES.get(word, word) for word in one.proposed_rules],
        "events": [
            (
                "done",
                labels.EVENTS[event.kind] + " · " + labels.SIDES[event.by],
                event.at,
                _said(event.note, event.detail),
            )
            for event in one.events
        ],
        "may_reply": writes and one.state != rules.RESOLVED,
        "may_accept": writes and party and one.state == rules.PROPOSED and not accepted,
        "may_escalate": writes and party and one.state in {rules.OPEN, rules.PROPOSED} and not accepted,
        "may_decide": writes and one.side == rules.OPERATOR and one.state != rules.RESOLVED,
    }


def _added(rows: Sequence[ComparisonView], meter: str) -> Sums:
    total = Sums()
    for row in rows:
        total = total.plus(getattr(row, meter))
    return total


def _said(note: str, detail: dict[str, Any]) -> str:
    """What a step says: the words given, or the amount."""
    credited = detail.get("credited_micro_st", detail.get("credit_micro_st"))
    amount = "" if credited is None else _("Back to the buyer: %(st)s.") % {"st": formats.micro_st(credited, _lang())}
    return " ".join(part for part in (amount, note) if part)


def _next(one: DisputeDetail) -> str:
    """What happens next, in one sentence."""
    return {
        rules.OPEN: _("Both sides may reply; then, or at the deadline, an outcome is proposed by rule."),
        rules.PROPOSED: _("Both sides may accept. Silence until the deadline lets the proposal stand."),
        rules.ESCALATED: _("Staff of the operator decide."),
        rules.RESOLVED: _("Nothing more happens."),
    }[one.state]


def _lang() -> str:
    return get_language() or "en"
