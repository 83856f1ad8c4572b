from hypothesis import given
from hypothesis import strategies as st

from market.kernel.collar import Band, collar, reference


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
