from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kernel import tokens
from billing.kernel.rating import Allocation, Bucket, Fill, RatingError, Source, UnpricedOverflow, rate
from billing.kernel.rounding import NegativeAmount
from billing.kernel.tokens import TokenCounts

START = datetime(2026, 11, 24, 2, tzinfo=UTC)


def bucket(bucket_id: int, allocation_id: int, micro_st: int, hour: int = 0, **counts: int) -> Bucket:
    return Bucket(bucket_id, START + timedelta(hours=hour), allocation_id, micro_st, TokenCounts(**counts))


@st.composite
def cases(draw):
    fills = [
        Fill(i, draw(st.integers(1, 3)), draw(st.integers(0, 50)), draw(st.integers(0, 9)))
        for i in range(1, draw(st.integers(1, 4)) + 1)
    ]
    allocations = []
    for fill in fills:
        rest = fill.micro_st
        for _ in range(draw(st.integers(1, 2))):
            share = draw(st.integers(0, rest))
            allocations.append(Allocation(100 + len(allocations), fill.fill_id, share))
            rest -= share
    buckets = []
    for i in range(draw(st.integers(0, 8))):
        micro_st = draw(st.integers(0, 40))
        counts = {kind: draw(st.integers(0, 30)) for kind in ("input", "cached", "output")} if micro_st else {}
        allocation = draw(st.sampled_from(allocations))
        buckets.append(bucket(i, allocation.allocation_id, micro_st, draw(st.integers(0, 2)), **counts))
    return buckets, allocations, fills


class TestRate:
    def test_takes_the_own_allocation_then_the_oldest_fill_then_overflow(self):
        fills = [Fill(1, 7, 30, 500), Fill(2, 8, 10, 300), Fill(3, 6, 5, 900)]
        allocations = [Allocation(11, 1, 30), Allocation(12, 2, 10), Allocation(13, 3, 5)]

        parts = rate([bucket(1, 12, 50, input=50)], allocations, fills, overflow_price_micros=1000)

        assert [(p.source, p.fill_id, p.micro_st, p.price_micros, p.tokens.input) for p in parts] == [
            (Source.OWN, 2, 10, 300, 10),
            (Source.SURPLUS, 3, 5, 900, 5),
            (Source.SURPLUS, 1, 30, 500, 30),
            (Source.OVERFLOW, None, 5, 1000, 5),
        ]
        assert [p.exact for p in parts] == [3000, 4500, 15000, 5000]

    def test_never_lets_surplus_take_what_anothers_usage_was_sold(self):
        fills = [Fill(1, 1, 10, 5), Fill(2, 2, 10, 9)]
        allocations = [Allocation(11, 1, 10), Allocation(12, 2, 10)]

        parts = rate([bucket(1, 12, 15, hour=0), bucket(2, 11, 10, hour=1)], allocations, fills)

        assert [(p.bucket_id, p.source, p.fill_id, p.micro_st) for p in parts] == [
            (1, Source.OWN, 2, 10),
            (1, Source.OVERFLOW, None, 5),
            (2, Source.OWN, 1, 10),
        ]

    def test_says_so_when_overflow_has_no_price(self):
        (part,) = rate([bucket(1, 11, 4)], [Allocation(11, 1, 0)], [Fill(1, 1, 0, 5)])

        with pytest.raises(UnpricedOverflow):
            _ = part.exact

    @given(cases())
    def test_loses_nothing_of_a_bucket(self, case):
        buckets, allocations, fills = case

        parts = rate(buckets, allocations, fills, 7)

        for each in buckets:
            of_bucket = [p for p in parts if p.bucket_id == each.bucket_id]
            assert sum(p.micro_st for p in of_bucket) == each.micro_st
            assert tokens.add_up(p.tokens for p in of_bucket) == each.tokens
            assert all(p.micro_st > 0 for p in of_bucket)
            assert len({(p.source, p.fill_id) for p in of_bucket}) == len(of_bucket)

    @given(cases())
    def test_never_consumes_more_than_a_fill_or_at_another_price(self, case):
        buckets, allocations, fills = case
        price = {f.fill_id: f.price_micros for f in fills}

        parts = rate(buckets, allocations, fills, 7)

        consumed: Counter[int] = Counter()
        for part in parts:
            assert part.price_micros == (7 if part.fill_id is None else price[part.fill_id])
            if part.fill_id is not None:
                consumed[part.fill_id] += part.micro_st
        assert all(consumed[f.fill_id] <= f.micro_st for f in fills)
        if any(p.source is Source.OVERFLOW for p in parts):
            assert all(consumed[f.fill_id] == f.micro_st for f in fills)

    @given(cases())
    def test_serves_every_own_claim_in_full(self, case):
        buckets, allocations, fills = case

        parts = rate(buckets, allocations, fills, 7)

        of = {b.bucket_id: b.allocation_id for b in buckets}
        for allocation in allocations:
            wanted = sum(b.micro_st for b in buckets if b.allocation_id == allocation.allocation_id)
            own = sum(
                p.micro_st for p in parts if p.source is Source.OWN and of[p.bucket_id] == allocation.allocation_id
            )
            assert own == min(wanted, allocation.micro_st)

    @given(cases(), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_its_input(self, case, random):
        buckets, allocations, fills = case
        expected = rate(buckets, allocations, fills, 7)
        for rows in case:
            random.shuffle(rows)

        assert rate(buckets, allocations, fills, 7) == expected

    @pytest.mark.parametrize(
        ("buckets", "allocations", "fills"),
        [
            ([bucket(1, 11, 1)], [], [Fill(1, 1, 5, 5)]),
            ([], [Allocation(11, 1, 5)], []),
            ([], [Allocation(11, 1, 6)], [Fill(1, 1, 5, 5)]),
            ([], [], [Fill(1, 1, 5, 5), Fill(1, 2, 5, 5)]),
            ([bucket(1, 11, 1), bucket(1, 11, 2)], [Allocation(11, 1, 5)], [Fill(1, 1, 5, 5)]),
            ([bucket(1, 11, 0, output=3)], [Allocation(11, 1, 5)], [Fill(1, 1, 5, 5)]),
        ],
    )
    def test_refuses_rows_that_do_not_fit(self, buckets, allocations, fills):
        with pytest.raises(RatingError):
            rate(buckets, allocations, fills)

    def test_refuses_negative_usage(self):
        with pytest.raises(NegativeAmount):
            rate([bucket(1, 11, -1)], [Allocation(11, 1, 5)], [Fill(1, 1, 5, 5)])
