import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.collar import Band, Collar, collar, reference, stands_at_edge


class TestReference:
    def test_is_weighted_by_volume_and_rounded_down(self):
        assert reference([(1_000_000, 1), (1_010_000, 2)]) == 1_006_666

    def test_is_unknown_where_nothing_traded(self):
        assert reference([]) is None


class TestCollar:
    def test_rounds_its_lower_end_down_and_its_upper_end_up_to_the_tick(self):
        around = collar(1_006_666, tick=10_000, bps=2_000)

        assert (around.low, around.high) == (800_000, 1_210_000)

    @given(st.integers(1, 10**12), st.sampled_from([1, 1_000, 10_000]), st.integers(1, 8_000))
    def test_always_holds_its_reference_and_stays_on_the_tick(self, price, tick, bps):
        around = collar(price, tick=tick, bps=bps)

        assert around.low <= max(price, tick) <= around.high
        assert around.low >= tick
        assert around.low % tick == around.high % tick == 0


class TestBand:
    def test_doubles_after_three_hits_in_a_row_up_to_80_per_cent(self):
        band, widths = Band(), []
        for _ in range(12):
            band = band.after(hit=True)
            widths.append(band.bps)

        assert widths == [2_000, 2_000, 4_000, 4_000, 4_000, 8_000, 8_000, 8_000, 8_000, 8_000, 8_000, 8_000]

    def test_returns_to_20_per_cent_after_one_round_without_a_hit(self):
        band = Band(8_000, 2).after(hit=False)

        assert band == Band(2_000, 0)


class TestStandsAtEdge:
    EDGES = Collar(970_000, 1_470_000)

    @pytest.mark.parametrize(
        ("best_bid", "best_offer", "stands"),
        [
            (1_470_000, 1_500_000, True),  # nobody may bid what the offers ask
            (1_600_000, 1_500_000, True),  # resting from before: clipped, it does not reach them
            (1_460_000, 1_500_000, False),  # bids could come nearer
            (1_470_000, 1_470_000, False),  # they meet
            (900_000, 970_000, True),
            (900_000, 980_000, False),
            (980_000, 970_000, False),
        ],
    )
    def test_only_where_the_collar_keeps_them_apart(self, best_bid: int, best_offer: int, stands: bool) -> None:
        assert stands_at_edge(self.EDGES, best_bid=best_bid, best_offer=best_offer) is stands

    def test_no_collar_keeps_nobody_apart(self) -> None:
        assert not stands_at_edge(None, best_bid=1, best_offer=2)
