"""Three meters side by side: differences are found where they are, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering_ingest.kernel import comparing
from metering_ingest.kernel.cases import END, START, CountCase, count_cases, record
from metering_ingest.kernel.comparing import AGENT, BUYER, GATEWAY, Comparison, Count, Minute, Sums, Terms, compare
from token_standard.catalogue import card

CARD = card("llama-3-8b")
TERMS = Terms(CARD, END)
LATER = END + timedelta(hours=7)


def run(counts: Sequence[Count], *, now: object = None) -> Comparison:
    return compare(counts, TERMS, now=LATER if now is None else now)  # type: ignore[arg-type]


def states(found: Comparison) -> set[str]:
    return {one.state for one in found.minutes}


def both(*numbers: int, **changed: object) -> list[Count]:
    return [record(CARD, meter, n, **changed) for n in numbers for meter in (GATEWAY, AGENT)]  # type: ignore[arg-type]


def aggregate(number: int, requests: int, **changed: int) -> Count:
    one = record(CARD, AGENT, number, **changed)
    return one._replace(request_id="", requests=requests)


@pytest.mark.parametrize("case", count_cases(CARD), ids=lambda case: case.name)
def test_known_cases(case: CountCase) -> None:
    found = run(case.counts)

    bad = [one for one in found.minutes if one.state != comparing.MATCHED] or found.minutes
    assert {one.state for one in bad} == {case.state}
    assert {cause for one in found.minutes for cause in one.causes} == case.causes


class TestRequests:
    def test_a_request_lies_in_the_gateways_minute(self) -> None:
        found = run([record(CARD, GATEWAY, 0), record(CARD, AGENT, 0, late_by=timedelta(minutes=9))])

        assert [one.minute for one in found.minutes] == [START]

    @pytest.mark.parametrize(
        ("there", "cause"), [(GATEWAY, comparing.MISSING_AT_AGENT), (AGENT, comparing.MISSING_AT_GATEWAY)]
    )
    def test_what_one_side_lacks_is_named_and_contested(self, there: str, cause: str) -> None:
        found = run([*both(0), record(CARD, there, 9)])

        first, second = found.minutes
        worth = record(CARD, there, 9).micro_st
        assert (first.state, second.state, second.causes) == (comparing.MATCHED, comparing.HARD, (cause,))
        assert (second.over_micro_st, second.under_micro_st) == ((worth, 0) if there == GATEWAY else (0, worth))

    def test_one_request_counted_twice_by_one_side_is_no_match(self) -> None:
        twice = record(CARD, AGENT, 0)._replace(at=START + timedelta(seconds=1))
        found = run([*both(0), twice])

        assert found.minutes[0].state == comparing.HARD
        assert comparing.MISSING_AT_GATEWAY in found.minutes[0].causes

    def test_the_gateways_limit_holds_for_a_witness_that_does_not_know_it(self) -> None:
        found = run([record(CARD, GATEWAY, 0, completion=300, max_tokens=200), record(CARD, AGENT, 0, completion=258)])

        (minute,) = found.minutes
        assert (minute.state, minute.causes) == (comparing.MATCHED, (comparing.OVERRUN,))
        assert minute.agent == minute.gateway and minute.agent.completion == 200

    def test_a_stored_number_that_its_counters_do_not_give_is_hard(self) -> None:
        one = record(CARD, GATEWAY, 0)
        found = run([one._replace(micro_st=one.micro_st + 1), record(CARD, AGENT, 0)])

        (minute,) = found.minutes
        assert (minute.state, minute.causes, minute.over_micro_st) == (comparing.HARD, (comparing.ST,), 1)

    def test_a_served_format_finer_than_sold_is_nothing(self) -> None:
        found = run([record(CARD, GATEWAY, 0), record(CARD, AGENT, 0, served_format="fp32")])

        assert (found.minutes[0].state, found.minutes[0].causes) == (comparing.MATCHED, ())


class TestWitnesses:
    def test_a_silent_agent_is_one_witness_and_no_difference(self) -> None:
        assert states(run([record(CARD, GATEWAY, n) for n in range(5)])) == {comparing.SINGLE}

    def test_receipts_of_all_requests_are_a_second_witness(self) -> None:
        counts = [record(CARD, meter, n) for n in range(4) for meter in (GATEWAY, BUYER)]

        assert states(run(counts)) == {comparing.MATCHED}
        assert states(run(counts[:-1])) == {comparing.SINGLE}

    def test_missing_receipts_prove_nothing_and_differing_ones_do(self) -> None:
        assert states(run([*both(0, 1), record(CARD, BUYER, 0)])) == {comparing.MATCHED}

        (minute,) = run([*both(0), record(CARD, BUYER, 0, prompt=900)]).minutes
        assert (minute.state, minute.causes) == (comparing.HARD, (comparing.PROMPT,))
        assert minute.over_micro_st == record(CARD, GATEWAY, 0).micro_st - record(CARD, BUYER, 0, prompt=900).micro_st

    def test_a_receipt_that_nobody_knows_costs_nobody(self) -> None:
        (minute,) = run([record(CARD, BUYER, 0)]).minutes

        assert (minute.state, minute.over_micro_st, minute.under_micro_st) == (comparing.SOFT, 0, 0)


class TestWaiting:
    @pytest.mark.parametrize(
        ("after", "state"),
        [(timedelta(minutes=14, seconds=59), comparing.WAITING), (timedelta(minutes=15), comparing.HARD)],
    )
    def test_a_difference_waits_for_the_grace_after_the_window(self, after: timedelta, state: str) -> None:
        found = run([*both(0), record(CARD, GATEWAY, 1)], now=END + after)

        assert found.minutes[0].state == state
        assert found.due_at == (END + timedelta(minutes=15) if state == comparing.WAITING else None)

    def test_each_arrival_prolongs_it_but_not_for_ever(self) -> None:
        def late(by: timedelta) -> Minute:
            one = record(CARD, AGENT, 0, prompt=1)._replace(received_at=END + by)
            return run([record(CARD, GATEWAY, 0), one]).minutes[0]

        assert late(timedelta(hours=1)).due_at == END + timedelta(hours=1, minutes=15)
        assert late(timedelta(days=3)).due_at == END + timedelta(hours=6)

    def test_what_matches_does_not_wait(self) -> None:
        assert states(run(both(0, 1), now=START + timedelta(minutes=2))) == {comparing.MATCHED}


class TestSums:
    def test_of_an_agent_that_adds_up_are_compared_as_sums(self) -> None:
        gateway = [record(CARD, GATEWAY, n) for n in range(4)]

        (minute,) = run([*gateway, aggregate(0, 4, prompt=4_000, completion=800)]).minutes
        assert (minute.state, minute.causes, minute.agent.records) == (comparing.MATCHED, (comparing.AGGREGATE,), 4)

    def test_that_agree_over_the_hour_but_not_by_minute_are_soft(self) -> None:
        gateway = [record(CARD, GATEWAY, n) for n in range(8)]
        sums = [aggregate(0, 3, prompt=3_000, completion=600), aggregate(4, 5, prompt=5_000, completion=1_000)]

        assert states(run([*gateway, *sums])) == {comparing.SOFT}

    def test_that_lack_tokens_are_hard_and_contested_by_their_share(self) -> None:
        gateway = [record(CARD, GATEWAY, n) for n in range(4)]

        (minute,) = run([*gateway, aggregate(0, 4, prompt=4_000, completion=600)]).minutes
        assert (minute.state, minute.causes) == (comparing.HARD, (comparing.COMPLETION, comparing.AGGREGATE))
        assert minute.over_micro_st == -(-minute.gateway.micro_st // 4)

    def test_that_hold_more_prove_no_request(self) -> None:
        (minute,) = run([record(CARD, GATEWAY, 0), aggregate(0, 2, prompt=2_000, completion=400)]).minutes

        assert (minute.state, minute.over_micro_st, minute.under_micro_st) == (comparing.HARD, 0, 0)


_counts = st.lists(
    st.builds(
        lambda meter, number, prompt, cached, completion, limit, skew: record(
            CARD, meter, number, prompt=prompt, cached=min(cached, prompt), completion=completion, max_tokens=limit,
            late_by=timedelta(seconds=skew),
        ),
        st.sampled_from(comparing.METERS), st.integers(0, 12), st.integers(0, 50), st.integers(0, 50),
        st.integers(0, 50), st.none() | st.integers(0, 50), st.integers(-600, 600),
    ),
    max_size=30,
)  # fmt: skip


class TestAlways:
    @given(_counts, st.randoms(use_true_random=False))
    def test_the_order_of_records_changes_nothing(self, counts: list[Count], dice: object) -> None:
        shuffled = list(counts)
        dice.shuffle(shuffled)  # type: ignore[attr-defined]

        assert run(shuffled) == run(counts)

    @given(_counts)
    def test_every_record_lies_in_one_minute_and_no_more_is_contested_than_was_counted(
        self, counts: list[Count]
    ) -> None:
        found = run(counts)

        for meter in comparing.METERS:
            sent = [one for one in counts if one.meter == meter]
            total = [sum(getattr(one, meter)[i] for one in found.minutes) for i in range(3)]
            assert total == [len(sent), sum(one.prompt for one in sent), sum(one.cached for one in sent)]
        stored = sum(one.micro_st for one in counts if one.meter == GATEWAY)
        assert sum(one.gateway.micro_st for one in found.minutes) == stored
        for minute in found.minutes:
            assert 0 <= minute.over_micro_st <= minute.gateway.micro_st
            assert minute.state in comparing.STATES
            assert (minute.state == comparing.HARD) == bool(set(minute.causes) & set(comparing.DIFFERENCES))

    @given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 99), st.integers(0, 99), st.integers(-600, 600)),
                    min_size=1, unique_by=lambda one: one[0]))  # fmt: skip
    def test_equal_streams_match_whatever_the_agents_clock(self, requests: list[tuple[int, int, int, int]]) -> None:
        counts = []
        for number, prompt, completion, skew in requests:
            counts.append(record(CARD, GATEWAY, number, prompt=prompt, completion=completion))
            counts.append(record(CARD, AGENT, number, prompt=prompt, completion=completion,
                                 late_by=timedelta(seconds=skew)))  # fmt: skip

        found = run(counts)
        assert states(found) == {comparing.MATCHED}
        assert all(one.gateway == one.agent != Sums() and not one.over_micro_st for one in found.minutes)

    @given(st.sets(st.integers(0, 40), min_size=2), st.data())
    def test_lost_records_are_found_and_no_others(self, numbers: set[int], data: st.DataObject) -> None:
        lost = data.draw(st.sets(st.sampled_from(sorted(numbers)), max_size=len(numbers) - 1))
        counts = both(*numbers)
        kept = [one for one in counts if not (one.meter == AGENT and int(one.request_id[4:]) in lost)]

        found = {one.request_id for one in run(kept).requests if one.causes == (comparing.MISSING_AT_AGENT,)}
        assert found == {f"req-{number}" for number in lost}


def test_terms_are_values() -> None:
    assert replace(TERMS, grace=timedelta(0)).due(START) == END
