"""Measured work in the tables: by shape, within the rating, and frozen only where more was billed than was done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from metering_ingest import services
from metering_ingest.kernel import work as rules
from metering_ingest.kernel.dispute_rules import ESCALATED, WORK
from metering_ingest.kernel.work import Rating, shape_bucket
from metering_ingest.reconciliation_models import Dispute, WorkWindow
from metering_ingest.selectors import reconciliation as reads
from metering_ingest.selectors import verify
from metering_ingest.services import disputes, work
from metering_ingest.services.reconcile import reconcile_due
from tests.metering_ingest.meters import OVER, SENT
from tests.metering_ingest.scene import HOUR, Bought, build, event

SHAPES = [(1, 0), (1_023, 128), (1_024, 1), (300, 127)]


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


def deliver(bought: Bought, requests: int, *, share: Fraction = Fraction(1), prompt: int = 900) -> None:
    """Equal streams of both meters; the agent's device time is this share of what 1,000 ST a second would take."""
    allocation = bought.allocations[0]
    events = [
        event(allocation, f"r{prompt}-{n}", prompt=prompt, generated=200, at=HOUR + timedelta(seconds=10 * n))
        for n in range(requests)
    ]
    services.ingest_records(events, sender=bought.operator, now=SENT)
    each = sum(one.micro_st for one in reads.live_counts([allocation.id])[allocation.id]) // requests
    measured = int(each * share / 1_000)
    agents = [type(one)(**{**_fields(one), "gpu_micros": measured}) for one in events]
    services.ingest_records(agents, sender=bought.provider, now=SENT)


def _fields(one: object) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}  # type: ignore[attr-defined]


@pytest.fixture
def rated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment is rated at 1,000 ST a second of a device; how it came to be rated is another test's."""
    rating = Rating(Fraction(950), Fraction(1_050))
    monkeypatch.setattr(work, "rating_of", lambda allocation, now: rating)


class TestWork:
    def test_is_added_up_by_the_shapes_of_the_kernel(self, bought: Bought) -> None:
        allocation = bought.allocations[0]
        events = [
            event(allocation, f"r{n}", prompt=p, generated=g, at=HOUR + timedelta(seconds=n))
            for n, (p, g) in enumerate(SHAPES)
        ]
        services.ingest_records(
            [type(one)(**{**_fields(one), "gpu_micros": 7}) for one in events], sender=bought.provider, now=SENT
        )

        found = reads.measured_work(allocation.deployment_id, HOUR)
        assert {shape for shape, _ in found} == {shape_bucket(p, g) for p, g in SHAPES}
        assert sum(one.requests for _, one in found) == 4
        assert sum(one.gpu_micros for _, one in found) == 28

    def test_without_a_rating_nothing_is_judged(self, bought: Bought) -> None:
        deliver(bought, 210, share=Fraction(1, 3))
        reconcile_due(now=OVER, quiet_seconds=0)

        assert not WorkWindow.objects.exists()
        assert not Dispute.objects.exists()

    @pytest.mark.parametrize(
        ("requests", "share", "state"),
        [(210, Fraction(1), rules.WITHIN), (210, Fraction(100, 125), rules.SOFT), (210, Fraction(100, 60), rules.HARD),
         (150, Fraction(1, 3), rules.TOO_FEW)],
    )  # fmt: skip
    def test_freezes_nothing_where_it_is_not_billed_beyond_the_band(
        self, bought: Bought, rated: None, requests: int, share: Fraction, state: str
    ) -> None:
        deliver(bought, requests, share=share)
        reconcile_due(now=OVER, quiet_seconds=0)

        assert WorkWindow.objects.get().state == state
        assert not Dispute.objects.exists()

    def test_that_was_not_done_is_frozen_after_the_window_and_decided_by_staff(
        self, bought: Bought, rated: None
    ) -> None:
        deliver(bought, 210, share=Fraction(1, 2))
        reconcile_due(now=SENT, quiet_seconds=0)
        assert WorkWindow.objects.get().state == rules.HARD
        assert not Dispute.objects.exists()

        reconcile_due(now=OVER, quiet_seconds=0)
        dispute = Dispute.objects.get()
        counted = sum(one.gateway.micro_st for one in reads.minutes_of(dispute.allocation_id))
        assert dispute.causes == WORK
        # Twice as much was billed as was worked, less what the rating does not know.
        assert counted * 46 // 100 < dispute.freeze_micro_st < counted // 2
        disputes.advance_due(now=OVER + timedelta(hours=72))
        dispute.refresh_from_db()
        assert dispute.state == ESCALATED
        assert verify() == []


class TestRating:
    def test_of_an_unrated_deployment_is_none(self, bought: Bought) -> None:
        assert work.rating_of(bought.allocations[0], now=OVER) is None
        assert work.rating_of(replace(bought.allocations[0], deployment_id=bought.allocations[0].id), now=OVER) is None
