"""Who counted, whether it counts, and for how many standard tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from metering_ingest.kernel.classify import EARLY, LATE, TAIL, AllocationFacts, Counted, Refused, classify
from metering_ingest.kernel.events import TYPE, UsageEvent
from token_standard import usage
from token_standard.catalogue import card

CARD = card("llama-3-8b")
START = datetime(2026, 11, 24, 16, tzinfo=UTC)
BUYER, SELLER, OPERATOR, STRANGER = (UUID(int=n) for n in range(1, 5))
SECOND = timedelta(seconds=1)
EVENT = UsageEvent(
    source="s", id="a", type=TYPE, time=START, subject="", allocation_id=UUID(int=7), card_digest=CARD.digest,
    prompt_tokens=1_000, cached_tokens=400, completion_tokens=50, max_tokens=None, finish_reason="stop",
    started_at=None, finished_at=None,
)  # fmt: skip


@dataclass(frozen=True)
class Allocation:
    buyer_id: UUID = BUYER
    seller_id: UUID = SELLER
    window_start: datetime = START
    window_end: datetime = START + timedelta(hours=1)
    card_digest: str = CARD.digest


def judge(
    event: UsageEvent = EVENT, *, by: UUID = OPERATOR, allocation: AllocationFacts | None = Allocation(),
    now: datetime = START + timedelta(hours=2), known: bool = True,
) -> Counted | Refused:  # fmt: skip
    return classify(
        event, allocation, sender_id=by, sender_is_operator=by == OPERATOR, card=CARD if known else None, now=now
    )


class TestMeter:
    @pytest.mark.parametrize(("by", "meter"), [(OPERATOR, "gateway"), (SELLER, "agent"), (BUYER, "buyer")])
    def test_is_the_senders_part_in_the_allocation(self, by: UUID, meter: str) -> None:
        found = judge(by=by)

        assert isinstance(found, Counted) and found.meter == meter

    def test_to_a_stranger_a_foreign_allocation_looks_like_none(self) -> None:
        assert judge(by=STRANGER) == judge(by=STRANGER, allocation=None) == Refused("unknown_allocation")

    def test_not_even_the_operator_may_name_an_allocation_that_does_not_exist(self) -> None:
        assert judge(allocation=None) == Refused("unknown_allocation")


class TestCard:
    def test_must_be_known(self) -> None:
        assert judge(known=False) == Refused("unknown_card")

    def test_must_be_the_allocations(self) -> None:
        assert judge(allocation=Allocation(card_digest="other")) == Refused("unknown_card")


class TestWindow:
    @pytest.mark.parametrize(
        ("at", "reason"),
        [
            (START - EARLY - SECOND, "outside_window"),
            (START - EARLY, None),
            (START + timedelta(hours=1) + TAIL - SECOND, None),
            (START + timedelta(hours=1) + TAIL, "outside_window"),
        ],
    )
    def test_has_two_edges(self, at: datetime, reason: str | None) -> None:
        found = judge(replace(EVENT, time=at))

        assert found == Refused(reason) if reason else isinstance(found, Counted)

    @pytest.mark.parametrize(
        ("now", "reason"),
        [
            (START - EARLY - SECOND, "future_time"),
            (START - EARLY, None),
            (START + LATE, None),
            (START + LATE + SECOND, "too_late"),
        ],
    )
    def test_of_arrival_has_two_edges(self, now: datetime, reason: str | None) -> None:
        found = judge(now=now)

        assert found == Refused(reason) if reason else isinstance(found, Counted)


class TestTokens:
    def test_weigh_as_the_card_says_cached_ones_apart(self) -> None:
        found = judge()

        assert isinstance(found, Counted)
        assert found.micro_st == usage.micro_st(CARD, n=600, c=400, g=50)
        assert found.micro_st < usage.micro_st(CARD, n=1_000, c=0, g=50)

    @pytest.mark.parametrize(("limit", "billable"), [(None, 50), (49, 49), (50, 50), (51, 50), (0, 0)])
    def test_beyond_the_requests_own_limit_are_never_billed(self, limit: int | None, billable: int) -> None:
        found = judge(replace(EVENT, max_tokens=limit))

        assert isinstance(found, Counted)
        assert found.billable_tokens == billable
        assert found.micro_st == usage.micro_st(CARD, n=600, c=400, g=billable)
