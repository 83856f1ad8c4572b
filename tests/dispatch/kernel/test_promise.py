from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dispatch.kernel.promise import Timing, kept, timing

NOW = datetime(2026, 11, 24, 16, 30, tzinfo=UTC)
END = NOW + timedelta(minutes=30)


def after(ms: int) -> datetime:
    return NOW + timedelta(milliseconds=ms)


class TestTiming:
    def test_counts_from_the_first_token_to_the_last(self) -> None:
        found = timing(opened_at=NOW, first_at=after(400), last_at=after(1_400), tokens=41)

        assert found == Timing(first_token_ms=400, speed_milli=40_000)

    @pytest.mark.parametrize("tokens", [1, 5])
    def test_has_no_speed_where_all_came_at_once(self, tokens: int) -> None:
        assert timing(opened_at=NOW, first_at=after(9), last_at=after(9), tokens=tokens).speed_milli is None

    def test_of_no_token_is_unknown(self) -> None:
        assert timing(opened_at=NOW, first_at=None, last_at=None, tokens=0) == Timing(None, None)


class TestKept:
    @pytest.mark.parametrize(
        ("grade", "first", "speed", "expected"),
        [
            ("realtime", 500, 40_000, True), ("realtime", 501, 40_000, False), ("realtime", 500, 39_999, False),
            ("interactive", 2_000, 15_000, True), ("interactive", 2_001, 15_000, False),
            ("interactive", 2_000, 14_999, False), ("interactive", 2_000, None, True), ("interactive", None, None, None),
        ],
    )  # fmt: skip
    def test_is_both_in_time_and_fast_enough(self, grade: str, first: int, speed: int, expected: bool) -> None:
        assert kept(grade, Timing(first, speed), finished_at=NOW, window_end=END) is expected

    def test_of_a_batch_is_done_inside_its_window(self) -> None:
        slow = Timing(60_000, 1)

        assert kept("batch", slow, finished_at=END, window_end=END) is True
        assert kept("batch", slow, finished_at=END + timedelta(microseconds=1), window_end=END) is False
