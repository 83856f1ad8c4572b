"""Comparing in the tables: what is due, idempotent, in parallel, and proved by verify."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from metering_ingest.kernel import comparing
from metering_ingest.reconciliation_models import Compared, Comparison, Dispute
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors import verify
from metering_ingest.services.reconcile import reconcile_due
from tests.metering_ingest.meters import OVER, SENT, send
from tests.metering_ingest.scene import HOUR, Bought, build


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


def states() -> dict[int, str]:
    return {row.minute.minute: row.state for row in Comparison.objects.all()}


class TestReconcile:
    def test_equal_streams_match_minute_by_minute(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(5))

        assert reconcile_due(now=SENT, quiet_seconds=0) == 1
        assert states() == dict.fromkeys(range(5), comparing.MATCHED)
        row = Comparison.objects.get(minute=HOUR)
        assert (row.gateway_records, row.gateway_prompt, row.gateway_completion) == (1, 20_000, 2_000)
        assert row.gateway_micro_st == row.agent_micro_st > 0 == row.buyer_micro_st

    def test_what_did_not_change_is_not_compared_again(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(2))

        assert [reconcile_due(now=SENT, quiet_seconds=0) for _ in range(3)] == [1, 0, 0]
        send(bought, "gateway", [7])
        assert reconcile_due(now=SENT, quiet_seconds=0) == 1

    def test_waits_until_records_are_quiet_but_not_for_ever(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        assert reconcile_due(now=SENT + timedelta(seconds=59)) == 1  # the first time at once
        send(bought, "gateway", [1], now=SENT + timedelta(seconds=100))

        assert reconcile_due(now=SENT + timedelta(seconds=101)) == 0
        assert reconcile_due(now=SENT + timedelta(seconds=160)) == 1
        for second in range(200, 500, 30):
            send(bought, "gateway", [second // 10], now=SENT + timedelta(seconds=second))
        assert reconcile_due(now=SENT + timedelta(seconds=480)) == 1

    def test_a_difference_waits_and_then_is_hard_without_any_new_record(self, bought: Bought) -> None:
        send(bought, "gateway", range(3))
        send(bought, "agent", range(2))

        reconcile_due(now=SENT, quiet_seconds=0)
        assert states()[2] == comparing.WAITING
        assert Compared.objects.get().due_at == HOUR + timedelta(hours=1, minutes=15)
        assert reconcile_due(now=OVER - timedelta(minutes=5), quiet_seconds=0) == 0
        assert reconcile_due(now=OVER, quiet_seconds=0) == 1
        assert states() == {0: comparing.MATCHED, 1: comparing.MATCHED, 2: comparing.HARD}
        assert Compared.objects.get().due_at is None

    def test_a_late_record_heals_it(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        send(bought, "agent", [0])
        reconcile_due(now=SENT, quiet_seconds=0)
        send(bought, "agent", [1], now=SENT + timedelta(minutes=1))

        reconcile_due(now=OVER, quiet_seconds=0)
        assert set(states().values()) == {comparing.MATCHED}
        assert not Dispute.objects.exists()

    def test_batches_are_bounded_and_nothing_is_left_behind(self, bought: Bought) -> None:
        for allocation in (0, 1):
            send(bought, "gateway", [0], allocation=allocation)

        assert [reconcile_due(now=SENT, quiet_seconds=0, limit=1) for _ in range(3)] == [1, 1, 0]
        assert Comparison.objects.count() == 2

    def test_the_mark_moves_and_later_changes_are_found(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        reconcile_due(now=SENT, quiet_seconds=0)
        later = SENT + timedelta(hours=3)
        assert reconcile_due(now=later, quiet_seconds=0) == 1  # its time as a single witness is up
        assert states() == {0: comparing.SINGLE}
        send(bought, "agent", [0], now=later)

        assert reconcile_due(now=later, quiet_seconds=0) == 1
        assert states() == {0: comparing.MATCHED}


class TestReads:
    def test_each_party_sees_its_own_and_a_stranger_nothing(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        reconcile_due(now=SENT, quiet_seconds=0)

        seen = [
            len(reads.comparisons(actor)) for actor in (bought.operator, bought.buyer, bought.provider, bought.stranger)
        ]
        assert seen == [2, 2, 2, 0]
        (one,) = reads.compared_allocations(bought.provider, since=HOUR, as_seller=True)
        assert (one.gateway.records, one.agent.records, one.minutes) == (2, 0, {comparing.WAITING: 2})
        assert reads.compared_allocations(bought.stranger, since=HOUR) == []

    def test_filters(self, bought: Bought) -> None:
        send(bought, "gateway", range(3))
        send(bought, "agent", range(2))
        reconcile_due(now=OVER, quiet_seconds=0)

        assert [one.minute.minute for one in reads.comparisons(bought.buyer, states=[comparing.HARD])] == [2]
        page = reads.comparisons(bought.buyer, limit=2)
        more = reads.comparisons(bought.buyer, before=(page[1].minute, page[1].allocation_id))
        assert [one.minute.minute for one in more] == [0]


class TestVerify:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE metering_comparison SET gateway_prompt = gateway_prompt + 1 WHERE state = 'hard'",
            "UPDATE metering_comparison SET agent_micro_st = agent_micro_st + 1 WHERE state = 'matched'",
            "UPDATE metering_comparison SET state = 'matched' WHERE state = 'hard'",
            "UPDATE metering_comparison SET state = 'waiting' WHERE state = 'hard'",
            "UPDATE metering_comparison SET over_micro_st = 0 WHERE state = 'hard'",
            "UPDATE metering_comparison SET causes = '' WHERE state = 'hard'",
            "DELETE FROM metering_comparison WHERE state = 'matched'",
        ],
    )  # fmt: skip
    def test_names_a_comparison_that_its_records_do_not_give(self, bought: Bought, statement: str) -> None:
        send(bought, "gateway", range(3))
        send(bought, "agent", range(2))
        reconcile_due(now=OVER, quiet_seconds=0)
        assert verify() == []

        with connection.cursor() as cursor:
            cursor.execute(statement)
        assert {one.rule for one in verify()} == {"comparison = recomputed"}

    def test_what_still_waits_is_no_breach(self, bought: Bought) -> None:
        send(bought, "gateway", range(3))
        send(bought, "agent", range(2))
        reconcile_due(now=SENT, quiet_seconds=0)

        assert verify() == []
