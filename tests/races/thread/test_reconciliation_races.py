"""Comparing and disputes by several workers at once: one dispute a minute, one outcome."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.db import connections

from accounts.kernel.errors import DomainError
from metering_ingest import services as metering
from metering_ingest.reconciliation_models import Comparison, Dispute, DisputeEvent
from metering_ingest.selectors import verify
from metering_ingest.services import disputes
from metering_ingest.services.reconcile import reconcile_due
from tests.metering_ingest.meters import OVER, send
from tests.metering_ingest.scene import HOUR, Bought, event
from tests.races.thread.conftest import bought, triggers_back

__all__ = ["bought", "triggers_back"]


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run all at the same time, each on its own connection; a refusal is its answer."""

    def run(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except DomainError as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def contested(bought: Bought) -> None:
    send(bought, "gateway", range(6))
    send(bought, "agent", range(3))


class TestComparing:
    def test_by_many_workers_while_records_arrive_ends_in_what_the_records_say(self, bought: Bought) -> None:
        contested(bought)
        late = [event(bought.allocations[0], f"late{n}", at=HOUR + timedelta(minutes=20 + n)) for n in range(20)]

        def arrive() -> None:
            for one in late:
                metering.ingest_records([one], sender=bought.operator, now=OVER)

        at_once(arrive, *[lambda: reconcile_due(now=OVER, quiet_seconds=0)] * 4)
        reconcile_due(now=OVER, quiet_seconds=0)

        assert Comparison.objects.count() == 26
        assert Dispute.objects.count() == 1
        assert verify() == []


class TestDisputes:
    def test_of_the_same_minutes_are_opened_once(self, bought: Bought) -> None:
        contested(bought)
        allocation = bought.allocations[0].id

        def by(actor: Any) -> Any:
            return lambda: disputes.open_(allocation, statement="x", actor=actor, now=OVER)

        at_once(
            by(bought.buyer), by(bought.provider), lambda: reconcile_due(now=OVER, quiet_seconds=0), by(bought.buyer)
        )
        assert Dispute.objects.count() == 1
        assert verify() == []

    def test_end_once_whoever_ends_them(self, bought: Bought) -> None:
        contested(bought)
        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        disputes.advance_due(now=OVER + timedelta(hours=72))
        later = OVER + timedelta(hours=200)

        def decide(credited: int) -> Any:
            return lambda: disputes.decide(
                dispute.id, credited_micro_st=credited, amend=False, reason="x", actor=bought.operator, now=later
            )

        at_once(
            decide(1), decide(2), lambda: disputes.advance_due(now=later), lambda: disputes.advance_due(now=later),
            lambda: disputes.accept(dispute.id, actor=bought.buyer, now=later),
            lambda: disputes.accept(dispute.id, actor=bought.provider, now=later),
        )  # fmt: skip
        dispute.refresh_from_db()
        assert dispute.state == "resolved"
        assert DisputeEvent.objects.filter(dispute=dispute, kind="resolved").count() == 1
        assert verify() == []
