"""Settled usage becomes rated lines and postings; what an invoice has stays as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import selectors, services
from billing.models import AllocationPosting, RatedLine, RatingException
from ledger import selectors as ledger
from ledger import services as ledger_services
from metering_ingest import selectors as metering
from tests.billing.scene import EXACT_PER_MICRO, LATER, drain, issue, tamper, use
from tests.metering_ingest.scene import HOUR, Bought, build, buy

MINUTE = timedelta(minutes=1)
ST = 10**6


def live() -> list[RatedLine]:
    return list(RatedLine.objects.filter(live=True).order_by("id"))


def said(lines: Iterable[RatedLine]) -> list[tuple[object, ...]]:
    return [(one.id, one.micro_st, one.exact, one.price_micros, one.input_tokens, one.cached_tokens, one.output_tokens,
             one.source, one.invoice_line_id) for one in lines]  # fmt: skip


def by_allocation() -> dict[tuple[str, UUID], int]:
    found: dict[tuple[str, UUID], int] = {}
    for line in live():
        found[(line.source, line.allocation_id)] = found.get((line.source, line.allocation_id), 0) + line.micro_st
    return found


def whole(bought: Bought, *, overflow: bool = False) -> None:
    """Rated parts add up to their buckets in standard tokens and in each kind of model token."""
    for bucket in metering.latest_settled([one.id for one in bought.allocations]):
        lines = [line for line in live() if line.bucket_id == bucket.bucket_id]
        if not overflow:
            assert sum(line.micro_st for line in lines) == bucket.micro_st
            assert sum(line.input_tokens + line.cached_tokens for line in lines) == bucket.prompt_tokens
            assert sum(line.output_tokens for line in lines) == bucket.completion_tokens
        assert sum(line.output_tokens for line in lines) <= bucket.completion_tokens
    for row in AllocationPosting.objects.all():
        exact = sum(int(line.exact) for line in live() if line.allocation_id == row.allocation_id)
        assert row.posted_micros == exact // EXACT_PER_MICRO
    assert selectors.verify() == [] and ledger.verify() == [] and metering.verify() == []


class TestWaterfall:
    def test_parts_add_up_to_the_bucket_own_first(self, bought: Bought) -> None:
        first, second = bought.allocations

        use(bought, 9_000, 1_000, times=13)

        (bucket,) = metering.latest_settled([first.id])
        assert bucket.micro_st > first.quantity_st * ST
        assert by_allocation() == {
            ("own", first.id): first.quantity_st * ST,
            ("surplus", second.id): bucket.micro_st - first.quantity_st * ST,
        }
        whole(bought)

    def test_own_usage_takes_its_allocation_back_from_surplus_that_no_invoice_has(self, bought: Bought) -> None:
        second = bought.allocations[1]
        use(bought, 9_000, 1_000, times=13)
        taken = by_allocation()[("surplus", second.id)]

        use(bought, 9_000, 1_000, times=3, allocation=1, name="own", at=MINUTE)

        (own,) = metering.latest_settled([second.id])
        assert by_allocation()[("own", second.id)] == own.micro_st
        assert by_allocation()[("surplus", second.id)] == min(taken, second.quantity_st * ST - own.micro_st)
        assert RatedLine.objects.filter(live=False).exists()

    def test_overflow_has_no_line_and_is_noticed_once(self, bought: Bought) -> None:
        for n in range(3):
            use(bought, 9_000, 9_000, times=15, name=f"b{n}", at=n * MINUTE)

        assert [one.reason for one in selectors.exceptions()] == ["overflow"]
        assert sum(one.micro_st for one in live()) == sum(a.quantity_st for a in bought.allocations) * ST
        whole(bought, overflow=True)

    def test_overflow_is_settled_once_enough_is_bought(self, bought: Bought) -> None:
        use(bought, 9_000, 9_000, times=45)
        assert [one.reason for one in selectors.exceptions()] == ["overflow"]

        buy(bought.buyer, 1_000_000)
        use(bought, 1, 1, name="more", at=MINUTE)

        assert not selectors.exceptions().exists()
        assert RatingException.objects.get().resolved_at is not None
        assert selectors.verify() == []


class TestReRating:
    def test_more_usage_replaces_the_waiting_line_and_posts_the_difference(self, bought: Bought) -> None:
        use(bought, 500, 100)
        (before,) = live()
        posted = AllocationPosting.objects.get().posted_micros

        use(bought, 500, 100, name="more", at=MINUTE)

        (after,) = live()
        assert after.id != before.id and after.micro_st == 2 * before.micro_st
        assert said([before])[0][:4] == said(RatedLine.objects.filter(id=before.id))[0][:4]
        assert AllocationPosting.objects.get().posted_micros == int(after.exact) // EXACT_PER_MICRO > posted
        whole(bought)

    def test_the_same_again_changes_nothing(self, bought: Bought) -> None:
        use(bought, 500, 100)
        before = said(RatedLine.objects.order_by("id"))

        assert services.rate_settled(now=LATER) == 0

        assert said(RatedLine.objects.order_by("id")) == before

    def test_after_an_invoice_only_the_difference_is_added(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=5)
        issue(bought)
        before = said(live())

        use(bought, 9_000, 1_000, times=2, name="more", at=MINUTE)

        assert said(live())[: len(before)] == before
        (added,) = [line for line in live() if line.invoice_line_id is None]
        assert added.micro_st * 5 == before[0][1] * 2  # type: ignore[operator]
        assert (added.input_tokens, added.output_tokens) == (18_000, 2_000)
        whole(bought)

    def test_usage_of_another_mix_after_an_invoice_is_billed_up_to_what_was_bought(self, bought: Bought) -> None:
        """The invoice has the prompts; what comes then is output, and runs into the next allocation."""
        use(bought, 9_000, 0, times=12)
        issue(bought)
        before = said(live())

        use(bought, 1, 1_000, times=45, name="out", at=MINUTE)

        assert said(live())[: len(before)] == before
        assert {line.source for line in live()} == {"own", "surplus"}
        assert not selectors.exceptions().exists()
        whole(bought)

    def test_surplus_that_an_invoice_has_is_not_taken_back_by_later_own_usage(self, db: None) -> None:
        bought = build(quantities=(20_000, 10_000, 10_000))
        _, second, third = bought.allocations
        use(bought, 9_000, 1_000, times=13)
        issue(bought)
        before = said(live())
        surplus = by_allocation()[("surplus", second.id)]

        use(bought, 9_000, 1_000, times=4, allocation=1, name="own", at=MINUTE)

        assert said(live())[: len(before)] == before
        (own,) = metering.latest_settled([second.id])
        found = by_allocation()
        assert found[("surplus", second.id)] == surplus
        assert found[("own", second.id)] == min(own.micro_st, second.quantity_st * ST - surplus)
        assert found[("own", second.id)] + found.get(("surplus", third.id), 0) == own.micro_st
        assert not selectors.exceptions().exists()
        whole(bought)

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.integers(0, 1), st.integers(1, 9_000), st.integers(0, 3_000), st.integers(1, 12), st.booleans()),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    def test_no_order_of_usage_and_invoices_loses_or_repeats_a_token(
        self, bought: Bought, steps: list[tuple[int, int, int, int, bool]]
    ) -> None:
        with transaction.atomic():
            for n, (allocation, prompt, generated, times, invoice) in enumerate(steps):
                invoiced = said(line for line in live() if line.invoice_line_id)
                use(bought, prompt, generated, times=times, allocation=allocation, name=f"h{n}", at=n * MINUTE)
                assert [row for row in said(live()) if row in invoiced] == invoiced
                if invoice:
                    with contextlib.suppress(services.NothingToInvoice):
                        issue(bought)
            used = sum(one.micro_st for one in metering.latest_settled([a.id for a in bought.allocations]))
            room = sum(a.quantity_st for a in bought.allocations) * ST
            assert sum(line.micro_st for line in live()) == min(used, room)
            assert selectors.exceptions().exists() == (used > room)
            whole(bought, overflow=used > room)
            transaction.set_rollback(True)

    def test_a_bucket_below_its_invoice_is_parked_and_posts_nothing(self, bought: Bought) -> None:
        use(bought, 9_000, 1_000, times=5)
        issue(bought)
        posted = AllocationPosting.objects.get().posted_micros
        tamper(
            "UPDATE metering_settled_bucket SET micro_st = 1, prompt_tokens = 1, completion_tokens = 0, sequence = 2; "
            "UPDATE metering_settle_counter SET last = 2",
            "metering_settled_bucket",
        )

        services.rate_settled(now=LATER)

        assert [one.reason for one in RatingException.objects.all()] == ["below_invoiced"]
        assert AllocationPosting.objects.get().posted_micros == posted


class TestPosting:
    @pytest.mark.parametrize("sizes", [[(7, 3)] * 12, [(84, 36)], [(1, 1)] * 3 + [(81, 33)], [(0, 36), (84, 0)]])
    def test_is_the_floor_of_the_whole_however_usage_is_split(
        self, bought: Bought, sizes: list[tuple[int, int]]
    ) -> None:
        for n, (prompt, generated) in enumerate(sizes):
            use(bought, prompt, generated, name=f"part{n}", at=timedelta(seconds=n))

        (line,) = live()
        assert line.exact == line.micro_st * bought.allocations[0].price_micros
        assert (line.input_tokens, line.output_tokens) == (84, 36)
        assert AllocationPosting.objects.get().posted_micros == int(line.exact) // EXACT_PER_MICRO
        whole(bought)

    def test_draws_on_the_wallet_once_the_hold_is_released(self, bought: Bought) -> None:
        ledger_services.expire_holds(now=HOUR + timedelta(hours=2), limit=100)
        before = ledger.wallet(bought.buyer.organisation_id)

        use(bought, 9_000, 1_000)

        row = AllocationPosting.objects.get()
        after = ledger.wallet(bought.buyer.organisation_id)
        assert before.held_micros == after.held_micros == row.owed_micros == 0
        assert before.posted_micros - after.posted_micros == row.posted_micros > 0

    def test_what_neither_hold_nor_wallet_covers_is_owed_and_due(self, bought: Bought) -> None:
        ledger_services.expire_holds(now=HOUR + timedelta(hours=2), limit=100)
        drain(bought.buyer, ledger.wallet(bought.buyer.organisation_id).available_micros - 5_000)

        use(bought, 9_000, 1_000, times=9)

        row = AllocationPosting.objects.get()
        assert row.owed_micros == row.posted_micros - 5_000 > 10_000
        receivable = ledger_services.open_account(organisation_id=bought.buyer.organisation_id, kind="receivable")
        assert ledger.balance(receivable).posted_micros == row.owed_micros
        assert ledger.wallet(bought.buyer.organisation_id).available_micros == 0
        invoice = issue(bought)
        assert (invoice.state, invoice.settled_micros) == ("open", 5_000)
        assert invoice.due_fen == (row.owed_micros + 5_000) // 10_000
        assert invoice.due_date is not None
        assert selectors.verify() == [] and ledger.verify() == []
