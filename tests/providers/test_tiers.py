"""A pool that did not deliver falls by a tier, once for what it did."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import AuditEvent
from market import services as trading
from providers import services
from providers.models import Pool
from tests.metering_ingest.scene import HOUR, Bought, build

NOW = HOUR + timedelta(minutes=30)
pytestmark = pytest.mark.django_db


@pytest.fixture
def bought() -> Bought:
    return build()


def fall_short(bought: Bought, name: str) -> None:
    trading.shortfalls.record(bought.allocations[0].id, request_id=name, micro_st=100 * 10**6, now=NOW)


class TestFall:
    def test_by_one_step_for_what_is_new(self, bought: Bought) -> None:
        assert Pool.objects.get().tier == "listed"
        fall_short(bought, "r1")
        fall_short(bought, "r2")

        assert [services.tiers.fall(now=NOW) for _ in range(2)] == [1, 0]

        assert Pool.objects.get().tier == "probation"
        assert AuditEvent.objects.get(action="pool.tier").detail == {
            "from": "listed", "to": "probation", "cause": "shortfall",
        }  # fmt: skip

    def test_ends_at_the_lowest(self, bought: Bought) -> None:
        Pool.objects.update(tier="verified")
        seen = []
        for n in range(4):
            fall_short(bought, f"r{n}")
            services.tiers.fall(now=NOW)
            seen.append(Pool.objects.get().tier)

        assert seen == ["listed", "probation", "probation", "probation"]

    def test_spares_who_delivered(self, bought: Bought) -> None:
        assert services.tiers.fall(now=NOW) == 0
        assert Pool.objects.get().tier == "listed"
