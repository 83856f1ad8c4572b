"""What a party would try for more money, and what a stranger would try against everybody's."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import transaction
from msgspec.structs import replace as changed

from metering_ingest import asgi, services
from metering_ingest.asgi.work import answer_all
from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.kernel.events import UsageEvent, Voided
from metering_ingest.reconciliation_models import Dispute, DisputeMinute
from metering_ingest.selectors import buckets_of, verify
from metering_ingest.services import disputes
from metering_ingest.services.ingest import Submission, take
from metering_ingest.services.reconcile import reconcile_due
from metering_ingest.services.rows import Sender
from tests.metering_ingest.faces import AT, HOST, RECORDS, Agent, here, record
from tests.metering_ingest.meters import OVER, SENT, send
from tests.metering_ingest.scene import HOUR, Bought, build, event
from tests.providers.signing import registered

HOURS = timedelta(hours=1)


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


@pytest.mark.parametrize(
    ("old", "new"), [("created=", f"created={'9' * 5_000}"), ('keyid="agk_0', 'keyid="agk_z'), ("sig1", "sig2")]
)
def test_a_strangers_header_does_not_fail_those_who_share_its_group(
    bought: Bought, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    here(monkeypatch)
    agent = Agent(registered(bought.provider, now=AT)[0])
    raw, good = agent._signed({"epoch": "e", "records": [record(bought.allocations[0], "r1", 1)]}, RECORDS, None, {})
    bad = {**good, "signature-input": good["signature-input"].replace(old, new, 1)}
    group = []
    for headers in (bad, good):
        named = {"host": HOST.removeprefix("http://"), **headers}
        scope = {"path": RECORDS, "scheme": "http", "headers": [(n.encode(), v.encode()) for n, v in named.items()]}
        group.append(asgi._request(scope, raw, ""))

    refused, taken = answer_all(group)

    assert (refused.status, json.loads(refused.body)["code"]) == (401, "bad_signature")
    assert taken.status == 200


def test_a_count_beyond_belief_is_set_aside_and_fails_nobody(bought: Bought) -> None:
    huge = event(bought.allocations[0], "huge", prompt=10**9, generated=10**9)

    for actor in (bought.buyer, bought.provider, bought.operator):
        result = services.ingest_records([huge, event(bought.allocations[0], "r1")], sender=actor, now=SENT)
        assert (result.accepted, result.quarantined) == (1, (("huge", "beyond_belief"),))
    reconcile_due(now=OVER, quiet_seconds=0)
    assert verify() == []


class TestAgents:
    def take_signed(self, bought: Bought, agent_id: object, *events: UsageEvent) -> None:
        with transaction.atomic():
            sender = Sender(bought.provider.organisation_id, False, agent_id)  # type: ignore[arg-type]
            (taken,) = take([Submission(sender, list(events))], now=SENT)
        assert {one.result for one in taken.outcomes} == {"accepted"}

    def test_a_claim_that_grew_after_the_opening_goes_to_staff_and_not_to_the_buyers_button(
        self, bought: Bought
    ) -> None:
        send(bought, "gateway", [0])
        send(bought, "agent", [0, 1])
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        _, agent = registered(bought.provider, now=OVER)
        extra = event(bought.allocations[0], "more", at=HOUR + timedelta(minutes=1, seconds=9), prompt=900_000)
        self.take_signed(bought, agent.agent_id, extra)

        disputes.advance_due(now=OVER + 72 * HOURS)

        dispute.refresh_from_db()
        assert (dispute.state, dispute.proposed_amendments) == (rules.ESCALATED, [])
        with pytest.raises(disputes.WrongState):
            disputes.accept(dispute.id, actor=bought.buyer, now=OVER + 73 * HOURS)

    def test_one_request_in_several_records_is_not_counted_anew_as_one(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        _, agent = registered(bought.provider, now=OVER)
        at = HOUR + timedelta(minutes=1, seconds=5)
        parts = [event(bought.allocations[0], f"part{n}", at=at, prompt=400_000) for n in range(2)]
        self.take_signed(bought, agent.agent_id, *[changed(part, subject="one") for part in parts])
        reconcile_due(now=OVER + 8 * HOURS, quiet_seconds=0)
        dispute = Dispute.objects.get(claim_micro_st__gt=0)

        disputes.advance_due(now=OVER + 100 * HOURS)

        dispute.refresh_from_db()
        assert (dispute.proposed_amendments, dispute.proposed_rules) == ([], rules.GATEWAY_STANDS)

    def test_an_inflated_count_does_not_keep_the_buyer_from_contesting_the_gateways(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        send(bought, "agent", [0], prompt=40_000)
        reconcile_due(now=OVER, quiet_seconds=0)
        claim = Dispute.objects.get()
        assert (claim.freeze_micro_st, claim.opened_by) == (0, "rule") and claim.claim_micro_st > 0
        send(bought, "buyer", [0], prompt=200, now=OVER)
        for hours in (1, 2):
            reconcile_due(now=OVER + hours * HOURS, quiet_seconds=0)

        contest = Dispute.objects.exclude(id=claim.id).get()
        assert contest.freeze_micro_st > 0 and contest.claim_micro_st == 0
        assert {(one.dispute_id, one.side) for one in DisputeMinute.objects.all()} == {
            (claim.id, "seller"), (contest.id, "buyer"),
        }  # fmt: skip
        disputes.advance_due(now=OVER + 100 * HOURS)
        contest.refresh_from_db()
        assert (contest.state, contest.proposed_amendments) == ("proposed", [])
        assert verify() == []

    def test_a_seller_cannot_occupy_minutes_before_the_buyers_receipts_come(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(3))
        allocation = bought.allocations[0].id
        with pytest.raises(disputes.NothingToContest):
            disputes.open_(allocation, statement="Mine.", actor=bought.provider, now=OVER, minutes=[HOUR])
        send(bought, "buyer", [0], prompt=10_000)

        opened = disputes.open_(allocation, statement="Half.", actor=bought.buyer, now=OVER + HOURS, minutes=[HOUR])

        assert Dispute.objects.get(id=opened).freeze_micro_st > 0

    def test_a_claim_taken_back_after_it_was_proposed_stops_no_dispute(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        send(bought, "agent", range(2))
        _, agent = registered(bought.provider, now=SENT)
        extra = event(bought.allocations[0], "again", at=HOUR + timedelta(minutes=2, seconds=7), prompt=90_000)
        self.take_signed(bought, agent.agent_id, extra)
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        disputes.advance_due(now=OVER + 72 * HOURS)
        dispute.refresh_from_db()
        assert dispute.state == rules.PROPOSED
        assert dispute.proposed_amendments
        disputes.accept(dispute.id, actor=bought.buyer, now=OVER + 73 * HOURS)
        name = Voided("gateway/test", "again")
        self.take_signed(bought, agent.agent_id, changed(extra, id="undo", voids=name))

        assert disputes.advance_due(now=OVER + 144 * HOURS) == 1

        dispute.refresh_from_db()
        assert dispute.state == rules.RESOLVED
        assert {one.records for one in buckets_of([dispute.allocation_id])} == {2}
        assert verify() == []
