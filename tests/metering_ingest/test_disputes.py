"""Disputes from opening to outcome: who may do what, when, and what it freezes."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.kernel import ids
from accounts.models import AuditEvent
from metering_ingest.kernel import comparing
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.reconciliation_models import Dispute, DisputeEvent
from metering_ingest.selectors import buckets_of, verify
from metering_ingest.selectors import disputes as reads
from metering_ingest.selectors.reconciliation import minutes_of
from metering_ingest.services import disputes
from metering_ingest.services.reconcile import reconcile_due
from tests.metering_ingest.meters import OVER, send
from tests.metering_ingest.scene import HOUR, Bought, build
from token_standard import usage
from token_standard.catalogue import card

HOURS = timedelta(hours=1)


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


def hard(bought: Bought, *, missing: int = 1) -> Dispute:
    """The agent lacks some of three requests; the rule has opened a dispute."""
    send(bought, "gateway", range(3))
    send(bought, "agent", range(3 - missing))
    reconcile_due(now=OVER, quiet_seconds=0)
    return Dispute.objects.get()


def kinds(dispute_id: UUID) -> list[str]:
    return list(DisputeEvent.objects.filter(dispute_id=dispute_id).order_by("id").values_list("kind", flat=True))


def proposed(bought: Bought, dispute: Dispute) -> datetime:
    """Both have spoken; gives when."""
    at = OVER + HOURS
    disputes.reply(dispute.id, note="We sent it.", actor=bought.buyer, now=at)
    disputes.reply(dispute.id, note="We did not see it.", actor=bought.provider, now=at)
    return at


class TestOpening:
    def test_by_rule_freezes_what_the_gateway_counted_beyond_the_agent(self, bought: Bought) -> None:
        dispute = hard(bought)

        row = send_worth(bought)
        assert (dispute.opened_by, dispute.state, dispute.causes) == ("rule", "open", comparing.MISSING_AT_AGENT)
        assert (dispute.freeze_micro_st, dispute.claim_micro_st) == (row, 0)
        assert dispute.deadline_at == OVER + 72 * HOURS
        assert [one.minute.minute for one in dispute.minutes.all()] == [2]
        (view,) = reads.disputes_wanting_money([])
        assert (view.id, view.buyer_id, view.seller_id) == (
            dispute.id, bought.buyer.organisation_id, bought.provider.organisation_id,
        )  # fmt: skip
        assert reads.disputes_wanting_money([dispute.id]) == []
        assert reads.disputes_many([dispute.id])[dispute.id] == view
        assert AuditEvent.objects.filter(action="dispute.opened", subject=ids.encode("dsp", dispute.id)).count() == 1

    def test_by_rule_happens_once_a_minute(self, bought: Bought) -> None:
        hard(bought)
        send(bought, "gateway", [9], now=OVER)
        reconcile_due(now=OVER + 7 * HOURS, quiet_seconds=0)
        reconcile_due(now=OVER + 8 * HOURS, quiet_seconds=0)

        assert [[m.minute.minute for m in one.minutes.all()] for one in Dispute.objects.order_by("id")] == [[2], [9]]

    def test_by_rule_leaves_trifles_alone(self, bought: Bought) -> None:
        send(bought, "gateway", [0], prompt=10, generated=1)
        send(bought, "agent", [1], prompt=10, generated=1)
        reconcile_due(now=OVER, quiet_seconds=0)

        assert not Dispute.objects.exists()

    def test_a_sellers_claim_freezes_nothing(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        send(bought, "agent", range(3))
        reconcile_due(now=OVER, quiet_seconds=0)

        dispute = Dispute.objects.get()
        assert (dispute.freeze_micro_st, dispute.claim_micro_st) == (0, send_worth(bought))
        assert reads.disputes_wanting_money([]) == []

    def test_by_the_buyer_with_receipts(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(3))
        send(bought, "buyer", [1], prompt=10_000)

        opened = disputes.open_(bought.allocations[0].id, statement="Half of it.", actor=bought.buyer, now=OVER + HOURS)
        dispute = Dispute.objects.get(id=opened)
        assert (dispute.opened_by, dispute.causes) == ("buyer", comparing.PROMPT)
        assert 0 < dispute.freeze_micro_st < send_worth(bought)

    def test_of_matched_minutes_needs_them_named_and_freezes_nothing(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(3))
        allocation = bought.allocations[0].id
        with pytest.raises(disputes.NothingToContest):
            disputes.open_(allocation, statement="?", actor=bought.buyer, now=OVER)

        opened = disputes.open_(allocation, statement="?", actor=bought.buyer, now=OVER, minutes=[HOUR])
        assert Dispute.objects.get(id=opened).freeze_micro_st == 0

    def test_refuses_strangers_the_operator_late_and_waiting(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        send(bought, "agent", range(1))
        allocation = bought.allocations[0].id

        def open_(actor: object, now: datetime, allocation_id: UUID = allocation) -> None:
            disputes.open_(allocation_id, statement="", actor=actor, now=now)  # type: ignore[arg-type]

        for actor, now, refusal in (
            (bought.stranger, OVER, disputes.NoSuchAllocation),
            (bought.operator, OVER, disputes.NotAllowed),
            (bought.buyer, OVER - HOURS, disputes.StillWaiting),
            (bought.buyer, HOUR + timedelta(days=9), disputes.WindowOver),
        ):
            with pytest.raises(refusal):
                open_(actor, now)
        with pytest.raises(disputes.NoSuchAllocation):
            open_(bought.buyer, OVER, ids.new())

    def test_a_minute_is_contested_once(self, bought: Bought) -> None:
        dispute = hard(bought)

        with pytest.raises(disputes.NothingToContest):
            disputes.open_(dispute.allocation_id, statement="", actor=bought.buyer, now=OVER)


def send_worth(bought: Bought) -> int:
    """Micro-ST of one request of `send`."""
    return usage.micro_st(card("llama-3-8b"), n=20_000, c=0, g=2_000)


class TestEvidence:
    def test_is_one_json_text_with_both_streams_and_its_hash(self, bought: Bought) -> None:
        dispute = hard(bought)

        sha256, content = reads.evidence(dispute.id, bought.buyer)
        document = json.loads(content)
        assert hashlib.sha256(content).hexdigest() == sha256
        assert [one["request_id"] for one in document["requests"]] == ["r0-2"]
        assert [(one["meter"], one["request_id"]) for one in document["records"]] == [("gateway", "r0-2")]
        assert document["minutes"][0]["causes"] == [comparing.MISSING_AT_AGENT]
        assert reads.evidence(dispute.id, bought.provider) == reads.evidence(dispute.id, bought.operator)

    def test_names_neither_party(self, bought: Bought) -> None:
        _, content = reads.evidence(hard(bought).id, bought.provider)

        for actor in (bought.buyer, bought.provider, bought.operator):
            assert str(actor.organisation_id) not in content.decode()
            assert actor.organisation_name not in content.decode()


class TestSteps:
    def test_silence_leads_to_a_proposal_and_the_proposal_stands(self, bought: Bought) -> None:
        dispute = hard(bought)

        assert disputes.advance_due(now=OVER + 71 * HOURS) == 0
        assert disputes.advance_due(now=OVER + 72 * HOURS) == 1
        dispute.refresh_from_db()
        assert (dispute.state, dispute.proposed_credit_micro_st) == (rules.PROPOSED, 0)
        assert disputes.advance_due(now=OVER + 144 * HOURS) == 1
        dispute.refresh_from_db()
        assert (dispute.state, dispute.credited_micro_st) == (rules.RESOLVED, 0)
        assert kinds(dispute.id) == ["opened", "proposed", "resolved"]
        assert disputes.advance_due(now=OVER + 500 * HOURS) == 0

    def test_both_replies_bring_the_proposal_at_once_and_both_acceptances_the_end(self, bought: Bought) -> None:
        dispute = hard(bought)
        at = proposed(bought, dispute)

        for actor in (bought.buyer, bought.buyer, bought.provider):
            disputes.accept(dispute.id, actor=actor, now=at)
        assert kinds(dispute.id) == [
            "opened", "replied", "replied", "proposed", "accepted", "accepted", "resolved"
        ]  # fmt: skip
        view = reads.disputes_many([dispute.id])[dispute.id]
        assert (view.state, view.credited_micro_st, view.resolved_at) == (rules.RESOLVED, 0, at)

    def test_agent_and_buyer_together_bring_money_back(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        for meter in ("agent", "buyer"):
            send(bought, meter, [0], prompt=1_000)
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()

        proposed(bought, dispute)
        dispute.refresh_from_db()
        assert 0 < dispute.proposed_credit_micro_st == dispute.freeze_micro_st  # type: ignore[operator]
        assert dispute.proposed_rules == rules.WITNESSES_AGREE

    def test_an_escalation_that_staff_leave_ends_without_anybody_paying_more(self, bought: Bought) -> None:
        dispute = hard(bought)
        disputes.escalate(dispute.id, reason="We were billed twice.", actor=bought.buyer, now=OVER)

        assert disputes.advance_due(now=OVER + 14 * 24 * HOURS) == 1
        dispute.refresh_from_db()
        assert (dispute.state, dispute.credited_micro_st, dispute.amended) == ("resolved", 0, False)
        assert disputes.advance_due(now=OVER + 1_000 * HOURS) == 0

    def test_escalation_waits_for_staff_who_decide_with_a_reason(self, bought: Bought) -> None:
        dispute = hard(bought)
        at = proposed(bought, dispute)
        disputes.escalate(dispute.id, reason="We were billed twice.", actor=bought.buyer, now=at)
        assert disputes.advance_due(now=at + 14 * 24 * HOURS - timedelta(seconds=1)) == 0

        def decide(actor: object, credited: int, reason: str = "Logs of the gateway.") -> None:
            disputes.decide(
                dispute.id,
                credited_micro_st=credited,
                amend=False,
                reason=reason,
                actor=actor,
                now=at,  # type: ignore[arg-type]
            )

        for actor, credited, reason, refusal in (
            (bought.buyer, 0, "x", disputes.NotAllowed),
            (bought.operator, dispute.freeze_micro_st + 1, "x", disputes.BadAmount),
            (bought.operator, -1, "x", disputes.BadAmount),
            (bought.operator, 0, " ", disputes.NoReason),
        ):
            with pytest.raises(refusal):
                decide(actor, credited, reason)
        decide(bought.operator, dispute.freeze_micro_st)
        view = reads.disputes_many([dispute.id])[dispute.id]
        assert (view.state, view.credited_micro_st) == (rules.RESOLVED, dispute.freeze_micro_st)
        with pytest.raises(disputes.WrongState):
            decide(bought.operator, 0)
        event = AuditEvent.objects.get(action="dispute.decided")
        assert event.detail["note"] == "Logs of the gateway."
        assert event.organisation_id == bought.operator.organisation_id

    def test_refusals_by_state(self, bought: Bought) -> None:
        dispute = hard(bought)
        with pytest.raises(disputes.WrongState):
            disputes.accept(dispute.id, actor=bought.buyer, now=OVER)
        with pytest.raises(disputes.NotAllowed):
            disputes.accept(dispute.id, actor=bought.operator, now=OVER)
        with pytest.raises(disputes.NoReason):
            disputes.escalate(dispute.id, reason="", actor=bought.buyer, now=OVER)
        at = proposed(bought, dispute)
        disputes.accept(dispute.id, actor=bought.buyer, now=at)
        with pytest.raises(disputes.WrongState):
            disputes.escalate(dispute.id, reason="No.", actor=bought.buyer, now=at)

    def test_a_stranger_finds_nothing_anywhere(self, bought: Bought) -> None:
        dispute = hard(bought)

        for act in (
            lambda: disputes.reply(dispute.id, note="x", actor=bought.stranger, now=OVER),
            lambda: disputes.accept(dispute.id, actor=bought.stranger, now=OVER),
            lambda: disputes.escalate(dispute.id, reason="x", actor=bought.stranger, now=OVER),
            lambda: disputes.decide(
                dispute.id, credited_micro_st=0, amend=False, reason="x", actor=bought.stranger, now=OVER
            ),
            lambda: reads.dispute(dispute.id, bought.stranger),
            lambda: reads.evidence(dispute.id, bought.stranger),
        ):
            with pytest.raises(reads.NoSuchDispute):
                act()
        assert reads.disputes(bought.stranger) == []
        assert [len(reads.disputes(a)) for a in (bought.buyer, bought.provider, bought.operator)] == [1, 1, 1]


class TestKept:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE metering_dispute SET freeze_micro_st = 0",
            "UPDATE metering_dispute SET state = 'resolved', resolved_at = now(), credited_micro_st = 0, deadline_at = NULL",
            "DELETE FROM metering_dispute_event",
            "UPDATE metering_dispute_event SET note = 'x'",
            "UPDATE metering_dispute_evidence SET content = 'x'",
            "DELETE FROM metering_dispute_minute",
        ],
    )
    def test_what_it_is_about_and_its_story_never_change(self, bought: Bought, statement: str) -> None:
        hard(bought)

        with pytest.raises(IntegrityError), transaction.atomic():
            connection.cursor().execute(statement)

    def test_a_resolved_one_stays_as_it_is(self, bought: Bought) -> None:
        dispute = hard(bought)
        for at in (72, 144):
            disputes.advance_due(now=OVER + at * HOURS)

        with pytest.raises(IntegrityError), transaction.atomic():
            connection.cursor().execute("UPDATE metering_dispute SET credited_micro_st = 1")
        with pytest.raises(disputes.WrongState):
            disputes.reply(dispute.id, note="x", actor=bought.buyer, now=OVER)


class TestAmending:
    def test_what_only_the_signing_agent_counted_becomes_the_gateways(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        send(bought, "agent", range(3))
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        at = proposed(bought, dispute)
        disputes.escalate(dispute.id, reason="Count it.", actor=bought.provider, now=at)
        disputes.decide(dispute.id, credited_micro_st=0, amend=True, reason="Logs.", actor=bought.operator, now=at)

        dispute.refresh_from_db()
        (bucket,) = buckets_of([dispute.allocation_id])
        assert dispute.amended
        assert (bucket.records, bucket.micro_st) == (3, 3 * send_worth(bought))
        reconcile_due(now=at, quiet_seconds=0)
        assert {one.state for one in minutes_of(dispute.allocation_id)} == {comparing.MATCHED}
        assert verify() == []

    def test_a_differing_count_is_voided_and_counted_anew(self, bought: Bought) -> None:
        send(bought, "gateway", [0], prompt=1_000)
        for meter in ("agent", "buyer"):
            send(bought, meter, [0])
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        at = proposed(bought, dispute)
        for actor in (bought.provider, bought.buyer):
            disputes.accept(dispute.id, actor=actor, now=at)

        (bucket,) = buckets_of([dispute.allocation_id])
        assert (bucket.records, bucket.micro_st) == (1, send_worth(bought))
        assert verify() == []

    def test_silence_never_costs_the_buyer_more(self, bought: Bought) -> None:
        send(bought, "gateway", [0], prompt=1_000)
        for meter in ("agent", "buyer"):
            send(bought, meter, [0])
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        for hours in (72, 144):
            disputes.advance_due(now=OVER + hours * HOURS)

        dispute.refresh_from_db()
        assert dispute.state == rules.ESCALATED


class TestVerify:
    @pytest.mark.parametrize(
        ("table", "statement", "rule"),
        [
            ("dispute", "UPDATE metering_dispute SET freeze_micro_st = freeze_micro_st * 9", "disputes <= counted"),
            ("dispute_event", "DELETE FROM metering_dispute_event WHERE kind = 'resolved'", "resolved = outcome event"),
            ("dispute", "UPDATE metering_dispute SET credited_micro_st = 1", "resolved = outcome event"),
            ("dispute_event", "DELETE FROM metering_dispute_event WHERE kind = 'opened'", "opened with evidence"),
            ("dispute_minute", "DELETE FROM metering_dispute_minute", "opened with evidence"),
            ("dispute_evidence", "UPDATE metering_dispute_evidence SET content = 'x'", "evidence = its hash"),
            ("dispute_minute", "UPDATE metering_dispute_minute SET allocation_id = gen_random_uuid()",
             "a dispute's minutes are its allocation's"),
            ("dispute", "UPDATE metering_dispute SET buyer_id = seller_id", "a dispute's parties are its allocation's"),
        ],
    )  # fmt: skip
    def test_names_whatever_was_tampered_with(self, bought: Bought, table: str, statement: str, rule: str) -> None:
        dispute = hard(bought)
        resolved = "resolved" in statement or "credited" in statement
        if resolved:
            for at in (72, 144):
                disputes.advance_due(now=OVER + at * HOURS)
        assert verify() == []
        connection.check_constraints()

        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE metering_{table} DISABLE TRIGGER USER")
            cursor.execute(statement)
        assert rule in {one.rule for one in verify()}
        assert Dispute.objects.filter(id=dispute.id).exists()
