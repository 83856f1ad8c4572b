"""Money from the bank is credited once, by staff only."""

from __future__ import annotations

from typing import Any

import pytest

from billing import services
from billing.models import TopUp
from ledger import selectors as ledger
from tests.metering_ingest.scene import NOW, Bought
from tests.races.market.conftest import together
from tests.races.thread.conftest import bought as committed
from tests.races.thread.conftest import triggers_back

__all__ = ["committed", "triggers_back"]
YUAN = 10**6


def record(bought: Bought, **change: Any) -> object:
    given = {"organisation_id": bought.buyer.organisation_id, "amount_micros": 5 * YUAN, "reference": "BANK-1",
             "actor": bought.operator, "now": NOW}  # fmt: skip
    return services.topups.record(**{**given, **change})


def credited(bought: Bought) -> int:
    return ledger.wallet(bought.buyer.organisation_id).posted_micros


class TestTopUp:
    def test_is_credited_once_by_reference(self, bought: Bought) -> None:
        before = credited(bought)

        assert record(bought) == record(bought)
        assert record(bought, reference="BANK-2") != record(bought)

        assert credited(bought) == before + 10 * YUAN
        assert ledger.verify() == []

    def test_is_credited_once_when_staff_press_twice(self, committed: Bought) -> None:
        before = credited(committed)

        found = together(*[lambda: record(committed)] * 5)

        assert len(set(found)) == 1 and not isinstance(found[0], Exception)
        assert credited(committed) == before + 5 * YUAN
        assert ledger.verify() == []

    @pytest.mark.parametrize("what", ["amount_micros", "organisation_id"])
    def test_that_differs_under_the_same_reference_is_409(self, bought: Bought, what: str) -> None:
        record(bought)
        before = credited(bought)

        other = {"amount_micros": 6 * YUAN, "organisation_id": bought.stranger.organisation_id}[what]
        with pytest.raises(services.topups.TopUpDiffers) as refused:
            record(bought, **{what: other})

        assert (refused.value.status, refused.value.code) == (409, "top_up_differs")
        assert credited(bought) == before

    def test_by_anybody_but_staff_is_403(self, bought: Bought) -> None:
        for actor in (bought.buyer, bought.provider, bought.stranger):
            with pytest.raises(services.topups.NotStaff) as refused:
                record(bought, actor=actor, reference="BANK-9")
            assert (refused.value.status, refused.value.code) == (403, "forbidden")

        assert not TopUp.objects.filter(reference="BANK-9").exists()

    @pytest.mark.parametrize("micros", [0, -10_000, 9_999, 10_001])
    def test_must_be_whole_positive_fen(self, bought: Bought, micros: int) -> None:
        with pytest.raises(services.topups.BadAmount):
            record(bought, amount_micros=micros)
