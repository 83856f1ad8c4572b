"""What is proposed without discretion, what silence means, and how far a provider's meter can be relied on."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering_ingest.kernel import dispute_rules as rules
from metering_ingest.kernel.cases import END, START, record
from metering_ingest.kernel.comparing import AGENT, BUYER, GATEWAY, METERS, Count, Terms, compare
from metering_ingest.kernel.dispute_rules import Deadlines, Proposal, propose
from metering_ingest.kernel.reliability import Day, reliability
from token_standard.catalogue import card

CARD = card("llama-3-8b")


def proposed(*counts: Count, frozen: int = 10**12) -> Proposal:
    return propose(compare(counts, Terms(CARD, END), now=END + timedelta(days=1)).requests, frozen_micro_st=frozen)


def worth(**changed: int) -> int:
    return record(CARD, GATEWAY, 0, **changed).micro_st


class TestProposal:
    def test_the_gateway_stands_against_the_agent_alone(self) -> None:
        found = proposed(record(CARD, GATEWAY, 0), record(CARD, AGENT, 0, completion=150))

        assert (found.credit_micro_st, found.amendments, found.rules) == (0, (), (rules.GATEWAY_STANDS,))

    def test_agent_and_buyer_together_stand_against_the_gateway(self) -> None:
        found = proposed(record(CARD, GATEWAY, 0), *(record(CARD, m, 0, completion=150) for m in (AGENT, BUYER)))

        assert found.credit_micro_st == worth() - worth(completion=150)
        assert (found.rules, found.for_seller) == ((rules.WITNESSES_AGREE,), False)

    def test_even_where_that_costs_the_buyer_more(self) -> None:
        found = proposed(record(CARD, GATEWAY, 0), *(record(CARD, m, 0, completion=300) for m in (AGENT, BUYER)))

        assert found.credit_micro_st == 0
        assert [one.counts.completion for one in found.amendments] == [300]

    @pytest.mark.parametrize(("signed", "amended"), [(True, 1), (False, 0)])
    def test_what_only_the_agent_counted_counts_if_it_was_signed(self, signed: bool, amended: int) -> None:
        found = proposed(record(CARD, AGENT, 0)._replace(signed=signed))

        assert len(found.amendments) == amended

    def test_and_not_where_the_buyers_receipt_says_otherwise(self) -> None:
        found = proposed(record(CARD, AGENT, 0)._replace(signed=True), record(CARD, BUYER, 0, prompt=1))

        assert found.amendments == ()

    def test_what_was_stored_beyond_its_counters_goes_back(self) -> None:
        one = record(CARD, GATEWAY, 0)
        found = proposed(one._replace(micro_st=one.micro_st + 7), record(CARD, AGENT, 0))

        assert (found.credit_micro_st, found.rules) == (7, (rules.RECOMPUTED,))

    @given(st.lists(st.tuples(st.sampled_from(METERS), st.integers(0, 4), st.integers(0, 30), st.booleans()), max_size=20),
           st.integers(0, 10**6))  # fmt: skip
    def test_never_gives_back_more_than_was_frozen(self, said: list[tuple[str, int, int, bool]], frozen: int) -> None:
        counts = [record(CARD, meter, n, prompt=p)._replace(signed=signed) for meter, n, p, signed in said]
        found = proposed(*counts, frozen=frozen)

        assert 0 <= found.credit_micro_st <= frozen
        assert found.rules


class TestSteps:
    def test_lead_one_way(self) -> None:
        steps = {(a, b) for a in rules.STATES for b in rules.STATES if rules.may_become(a, b)}

        assert steps == {
            ("open", "proposed"), ("open", "escalated"), ("proposed", "resolved"), ("proposed", "escalated"),
            ("escalated", "resolved"),
        }  # fmt: skip

    def test_both_must_agree_and_silence_lets_a_proposal_stand(self) -> None:
        assert rules.after_answer(["buyer"]) == rules.PROPOSED
        assert rules.after_answer(["seller", "buyer"]) == rules.RESOLVED
        assert rules.after_silence(False, accepted_by=[]) == rules.RESOLVED

    def test_but_nobody_pays_for_more_by_silence(self) -> None:
        assert rules.after_silence(True, accepted_by=["seller"]) == rules.ESCALATED
        assert rules.after_silence(True, accepted_by=["buyer"]) == rules.RESOLVED

    def test_the_window_ends_seven_days_after_the_delivery_days_close(self) -> None:
        # 16:00 UTC is the first hour of 25 November in Shanghai, which is over at 16:00 UTC of the 25th.
        assert Deadlines().last(START) == START + timedelta(days=1 + 1 + 7)
        assert Deadlines().last(START - timedelta(hours=1)) == START + timedelta(days=1 + 7)


class TestReliability:
    def test_is_the_matched_share_less_a_penalty(self) -> None:
        found = reliability([Day(0, 1_000, 100, 90), Day(30, 500, 100, 60, lost=1)])

        assert found is not None
        # (90 + 60/2) / (100 + 100/2) - 0.02/2
        assert found.score == Decimal("0.79")
        assert (found.requests, found.lost) == (1_500, 1)

    def test_is_unknown_before_anything_was_compared(self) -> None:
        assert reliability([]) is None
        assert reliability([Day(0, 0, 0, 0)]) is None

    def test_its_interval_narrows_with_the_count(self) -> None:
        few, many = (reliability([Day(0, n, 100, 100)]) for n in (10, 10_000))

        assert few is not None and many is not None
        assert few.low < Decimal("0.75") < many.low < many.score == many.high == 1

    @given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10**6), st.integers(0, 10**15), st.integers(0, 10**6),
                              st.integers(0, 50))))  # fmt: skip
    def test_stays_between_nought_and_one(self, days: list[tuple[int, int, int, int, int]]) -> None:
        found = reliability(Day(age, n, st_, st_ * share // 10**6, lost) for age, n, st_, share, lost in days)

        if found is not None:
            assert 0 <= found.low <= found.score <= found.high <= 1
