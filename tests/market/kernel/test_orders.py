import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from market.kernel import errors
from market.kernel.orders import CellTerms, OrderDraft, Terms, check_draft, expires_at

NOW = datetime(2026, 11, 24, 15, 20, tzinfo=UTC)
TERMS = Terms(10_000, 1_000)
DRAFT = OrderDraft(uuid.uuid4(), "buy", "llama", "batch", datetime(2026, 11, 24, 15, tzinfo=UTC), 5_000, 1_800_000)


class TestCheckDraft:
    def test_takes_a_plain_bid(self):
        check_draft(DRAFT, TERMS, now=NOW)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"quantity_st": 0}, errors.OffLot),
            ({"quantity_st": -1_000}, errors.OffLot),
            ({"quantity_st": 1_500}, errors.OffLot),
            ({"limit_micros": 0}, errors.OffTick),
            ({"limit_micros": 1_805_000}, errors.OffTick),
            ({"limit_micros": 10**13}, errors.OrderTooLarge),
            ({"quantity_st": 10**16}, errors.OrderTooLarge),
            ({"quantity_st": 10**15, "limit_micros": 10**12}, errors.OrderTooLarge),
            ({"window_start": NOW}, errors.UnknownWindow),
            ({"window_start": NOW.replace(minute=0) + timedelta(hours=49)}, errors.UnknownWindow),
            ({"window_start": NOW.replace(minute=0) - timedelta(hours=1)}, errors.WindowClosed),
            ({"time_in_force": "gtt"}, errors.BadExpiry),
            ({"time_in_force": "gtt", "expires_at": NOW}, errors.BadExpiry),
            ({"expires_at": NOW + timedelta(minutes=1)}, errors.BadExpiry),
            ({"cell": CellTerms("cn-east", "listed", "any", "no-retention")}, errors.NotSupported),
            ({"side": "sell"}, errors.NoSupply),
        ],
    )
    def test_names_what_is_wrong(self, change, error):
        with pytest.raises(error):
            check_draft(replace(DRAFT, **change), TERMS, now=NOW)


class TestExpiry:
    def test_is_the_end_of_the_window_unless_an_earlier_one_is_named(self):
        soon = NOW + timedelta(minutes=1)

        assert expires_at(DRAFT) == datetime(2026, 11, 24, 16, tzinfo=UTC)
        assert expires_at(replace(DRAFT, time_in_force="gtt", expires_at=soon)) == soon
        assert expires_at(replace(DRAFT, time_in_force="gtt", expires_at=NOW + timedelta(days=1))) == datetime(
            2026, 11, 24, 16, tzinfo=UTC
        )
