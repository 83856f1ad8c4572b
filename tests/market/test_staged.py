"""What happens to a round, and beside it, between its freeze and its writing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.selectors import actors
from ledger import selectors as ledger
from market import locks, selectors, services
from market.kernel.errors import OrderEnded, RoundRunning
from market.matching_engine import components as engine
from market.models import ComponentTask, Market, ModelLine, OrderEnd, Round
from market.services import amending, components, freezing, orders, rounds
from market.services.clearing import clear_book, freeze_book
from market.services.sealing import Name
from tests.market.conftest import YUAN
from tests.market.test_flexible import flexible, offer_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("whole")]


@pytest.fixture
def while_clearing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Have something happen once, after the next freeze and before its round is written."""
    clear_book = rounds.clear_book

    def arrange(act: Callable[[], Any]) -> None:
        def patched(*arguments: Any, **named: Any) -> Any:
            monkeypatch.setattr(rounds, "clear_book", clear_book)
            act()
            return clear_book(*arguments, **named)

        monkeypatch.setattr(rounds, "clear_book", patched)

    return arrange


def close(world: Any) -> rounds.RoundSummary | None:
    """One tick at the time of the open round."""
    world.now = selectors.the_market().next_close_at
    return rounds.clear(world.market_id, now=world.now)


def held(actor: Any) -> int:
    return ledger.wallet(actor.organisation_id, "CNY").held_micros


class TestCancelWhileClearing:
    def test_takes_what_the_round_leaves(self, world: Any, buyer: Any, seller: Any, while_clearing: Any) -> None:
        bid = world.bid(buyer, 5_000, 2 * YUAN)
        world.offer(seller, 3_000, 1_900_000)
        seen = []
        while_clearing(lambda: seen.append(orders.cancel(bid.id, actor=buyer, now=world.now)))

        summary = close(world)

        assert summary is not None and summary.volume_st == 3_000
        assert (seen[0].status, seen[0].is_open, seen[0].held_micros) == ("pending_cancel", True, 10_000)
        after = world.order(bid)
        assert (after.status, after.filled_st, after.left_st) == ("cancelled", 3_000, 0)
        assert held(buyer) == sum(one.cost_micros for one in selectors.allocations(buyer))

    def test_of_what_fills_whole_ends_as_filled(self, world: Any, buyer: Any, seller: Any, while_clearing: Any) -> None:
        bid = world.bid(buyer, 3_000, 2 * YUAN)
        world.offer(seller, 3_000, 1_900_000)
        while_clearing(lambda: orders.cancel_all(actor=buyer, now=world.now))

        close(world)

        assert world.order(bid).status == "filled"
        with pytest.raises(OrderEnded):
            orders.cancel(bid.id, actor=buyer, now=world.now)

    def test_twice_is_the_same(self, world: Any, buyer: Any, while_clearing: Any) -> None:
        bid = world.bid(buyer, 3_000, 2 * YUAN)
        seen = []

        def cancel_twice() -> None:
            seen.extend(orders.cancel(bid.id, actor=buyer, now=world.now).status for _ in range(2))
            seen.append(orders.cancel_all(actor=buyer, now=world.now))
            seen.append([one.status for one in selectors.orders(buyer, status="pending_cancel")])

        while_clearing(cancel_twice)
        close(world)

        assert seen == ["pending_cancel", "pending_cancel", 0, ["pending_cancel"]]
        assert (world.order(bid).status, held(buyer)) == ("cancelled", 0)

    def test_of_an_order_of_the_next_round_is_done_at_once(self, world: Any, buyer: Any, while_clearing: Any) -> None:
        seen = []

        def place_and_cancel() -> None:
            late = world.bid(buyer, 3_000, 2 * YUAN)
            seen.append(orders.cancel(late.id, actor=buyer, now=world.now).status)

        while_clearing(place_and_cancel)
        close(world)

        assert seen == ["cancelled"]


class TestExpiryWhileClearing:
    def test_leaves_what_was_frozen_to_its_round(
        self, world: Any, buyer: Any, seller: Any, while_clearing: Any
    ) -> None:
        until = selectors.the_market().next_close_at + timedelta(seconds=1)
        bid = world.bid(buyer, 5_000, 2 * YUAN, time_in_force="gtt", expires_at=until)
        world.offer(seller, 3_000, 1_900_000)
        later = until + timedelta(seconds=1)
        seen = []

        def sweep() -> None:
            seen.append(services.sweep.expire_orders(world.market_id, now=later))
            seen.append(world.order(bid).status)

        while_clearing(sweep)
        close(world)

        after = world.order(bid)
        assert seen == [1, "open"]
        assert (after.status, after.filled_st) == ("expired", 3_000)


class TestIntakeWhileClearing:
    def test_goes_to_the_next_round(self, world: Any, buyer: Any, seller: Any, while_clearing: Any) -> None:
        world.bid(buyer, 1_000, 2 * YUAN)
        world.offer(seller, 5_000, 1_900_000)
        late: list[selectors.OrderView] = []
        while_clearing(lambda: late.append(world.bid(buyer, 1_000, 2 * YUAN)))
        number = selectors.the_market().collecting

        first = close(world)
        second = close(world)

        assert first is not None and second is not None
        assert (first.number, first.volume_st, second.number, second.volume_st) == (number, 1_000, number + 1, 1_000)
        assert late[0].cohort == number + 1

    def test_stays_there_when_the_round_is_frozen_anew(
        self, world: Any, buyer: Any, seller: Any, while_clearing: Any
    ) -> None:
        world.bid(buyer, 1_000, 2 * YUAN)
        world.offer(seller, 5_000, 1_900_000)

        def crash() -> None:
            world.bid(buyer, 1_000, 2 * YUAN)
            raise ZeroDivisionError

        while_clearing(crash)
        assert close(world) is None
        again = close(world)

        assert again is not None and again.volume_st == 1_000
        assert Market.objects.get().failures == 0
        last = close(world)
        assert last is not None and last.volume_st == 1_000

    def test_knows_the_commitment_of_its_round(self, world: Any, buyer: Any, while_clearing: Any) -> None:
        seen = []
        while_clearing(lambda: seen.append(bytes(Round.objects.get(state="open").seed_commitment)))
        close(world)
        close(world)

        assert bytes(Round.objects.get(number=2).seed_commitment) == seen[0]
        assert Round.objects.get(number=2).state == "cleared"


class TestAmendWhileClearing:
    def test_waits_and_says_so(
        self, world: Any, buyer: Any, while_clearing: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(amending, "LONGEST_WAIT_SECONDS", 0.05)
        bid = world.bid(buyer, 3_000, 2 * YUAN)
        change = services.Change(quantity_st=2_000)
        seen = []

        def amend() -> None:
            with pytest.raises(RoundRunning) as error:
                amending.amend(bid.id, change, actor=buyer, now=world.now)
            seen.append(error.value)

        while_clearing(amend)
        close(world)

        assert (seen[0].code, seen[0].status, seen[0].retryable) == ("round_running", 409, True)
        assert amending.amend(bid.id, change, actor=buyer, now=world.now).quantity_st == 2_000


class TestHaltWhileClearing:
    def test_of_the_market_stops_the_round(self, world: Any, buyer: Any, seller: Any, while_clearing: Any) -> None:
        bid, other = world.bid(buyer, 1_000, 2 * YUAN), world.bid(buyer, 2_000, 2 * YUAN)
        world.offer(seller, 3_000, 1_900_000)
        staff = actors.of_organisation(world.operator)

        def cancel_and_halt() -> None:
            assert orders.cancel(bid.id, actor=buyer, now=world.now).status == "pending_cancel"
            services.markets.halt(world.market_id, reason="test", actor=staff, now=world.now)

        while_clearing(cancel_and_halt)
        assert close(world) is None

        assert world.order(bid).status == "cancelled", "it ends with the halt"
        assert held(buyer) == 4_000
        assert Round.objects.get(number=1).state == "frozen"
        assert selectors.verify() == []
        assert orders.cancel(other.id, actor=buyer, now=world.now).status == "cancelled"
        services.markets.resume(world.market_id, actor=staff, now=world.now)
        again = close(world)
        assert again is not None and (again.number, again.volume_st) == (1, 0)

    def test_of_a_line_sends_the_round_back(self, world: Any, buyer: Any, seller: Any, while_clearing: Any) -> None:
        world.bid(buyer, 1_000, 2 * YUAN)
        world.offer(seller, 3_000, 1_900_000)
        line = ModelLine.objects.get(slug=world.line).id
        staff = actors.of_organisation(world.operator)
        while_clearing(lambda: services.halts.impose(reason="test", actor=staff, now=world.now, line_id=line))

        assert close(world) is None
        again = close(world)

        assert again is not None and (again.number, again.volume_st) == (1, 0)


class TestFence:
    def test_only_who_froze_last_may_write(self, world: Any, buyer: Any, seller: Any, while_clearing: Any) -> None:
        world.bid(buyer, 1_000, 2 * YUAN)
        world.offer(seller, 3_000, 1_900_000)
        taken: list[Any] = []

        def another() -> None:
            later = world.now + freezing.LEASE
            assert freezing.freeze(world.market_id, now=world.now, is_alone=False) is None, "its lease lasts"
            taken.append(freezing.freeze(world.market_id, now=later, is_alone=False))

        while_clearing(another)

        assert close(world) is None, "the first is refused"
        assert taken[0].fence == 2
        assert Round.objects.get(number=1).fence == 2
        again = close(world)
        assert again is not None and (again.number, again.volume_st) == (1, 1_000)

    def test_a_frozen_round_keeps_its_root_under_the_same_fence(self, world: Any, while_clearing: Any) -> None:
        def tamper() -> None:
            with pytest.raises(IntegrityError), transaction.atomic():
                Round.objects.filter(state="frozen").update(root=bytes(32))
            with pytest.raises(IntegrityError), transaction.atomic():
                Round.objects.filter(state="frozen").update(state="open", root=None, closed_at=None)

        while_clearing(tamper)
        assert close(world) is not None

    def test_three_failures_park_the_market_and_let_its_orders_go(
        self, world: Any, buyer: Any, while_clearing: Any
    ) -> None:
        bid = world.bid(buyer, 1_000, 2 * YUAN)
        for _ in range(3):
            while_clearing(lambda: 1 / 0)
            assert close(world) is None

        market = Market.objects.get()
        assert (market.state, market.state_reason) == ("parked", "ZeroDivisionError: division by zero")
        assert orders.cancel(bid.id, actor=buyer, now=world.now).status == "cancelled"
        assert OrderEnd.objects.get().reason == "cancelled"

    def test_a_round_taken_three_times_from_the_living_parks_the_market(self, world: Any, while_clearing: Any) -> None:
        """Each clearer holds it beyond its lease; that nobody writes it is not passed over in silence."""
        now = selectors.the_market().next_close_at
        assert freezing.freeze(world.market_id, now=now, is_alone=True) is not None
        for _ in range(3):
            now += freezing.LEASE
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(locks, "clearer", lambda _: contextlib.nullcontext(False))
                patch.setattr(rounds, "_write", lambda *_: None)
                rounds.clear(world.market_id, now=now)

        market = Market.objects.get()
        assert (market.state, market.state_reason.split(":")[0]) == ("parked", "RoundTaken")


@pytest.fixture
def two_components(world: Any, buyer: Any, seller: Any) -> list[selectors.OrderView]:
    """Bids for one of hours 0–1, and for one of hours 2–3, with offers in each."""
    for hour in range(4):
        offer_in(world, seller, hour, 2_000 + 1_000 * hour, 1_700_000 + 10_000 * hour)
    return [flexible(world, buyer, 6_000, {first: 1_900_000, first + 1: 1_900_000}) for first in (0, 2)]


class TestSharedComponents:
    @pytest.fixture(autouse=True)
    def _shared(self, settings: Any) -> None:
        settings.MARKET_SHARED_COMPONENT_ORDERS = 1

    @pytest.fixture(autouse=True)
    def _told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(components, "_tell", lambda *_: None)  # no broker in this process

    def test_come_out_as_they_do_here(self, world: Any, two_components: list[selectors.OrderView]) -> None:
        book = selectors.frozen_book(world.market_id, now=selectors.the_market().next_close_at)
        quotes, seed = selectors.quotes(book.products, now=world.now), bytes(Market.objects.get().seed)
        name = Name("main", 1, bytes(32))
        standing = selectors.standing(book)
        here = clear_book(freeze_book(book, quotes, seed=seed, standing=standing, pinned={}, name=name))

        summary = close(world)

        assert summary is not None and summary.volume_st == int(here.fill[here.book.side == 0].sum())
        assert [world.order(one).filled_st for one in two_components] == [5_000, 6_000]
        assert ComponentTask.objects.count() == 0

    def test_are_taken_by_other_workers(
        self, world: Any, two_components: list[selectors.OrderView], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever asks first clears; the process that froze only waits for what it did not get."""
        by_others = []
        store = components._store

        def store_and_help(running: Any, parts: Any) -> None:
            store(running, parts)
            by_others.append(components.work(running.round_id, running.fence))

        monkeypatch.setattr(components, "_store", store_and_help)

        assert close(world) is not None
        assert by_others == [2]
        assert [world.order(one).filled_st for one in two_components] == [5_000, 6_000]

    def test_one_that_raises_is_left_out_with_its_reason(
        self, world: Any, two_components: list[selectors.OrderView], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clear_component = engine.clear_component
        monkeypatch.setattr(components, "clear_component", lambda one: 1 / 0 if _first(one) else clear_component(one))

        assert close(world) is not None
        assert sorted(world.order(one).filled_st for one in two_components) in ([0, 5_000], [0, 6_000])

    def test_one_that_ends_its_workers_is_given_up(
        self, world: Any, two_components: list[selectors.OrderView], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each try ends in a process that is gone: the round is frozen anew, and the count goes with it."""

        class Gone(BaseException):
            pass

        clear_component = engine.clear_component

        def fatal(one: Any) -> Any:
            if _first(one):
                raise Gone
            return clear_component(one)

        monkeypatch.setattr(components, "clear_component", fatal)
        for tries in range(1, components.TRIES + 1):
            with pytest.raises(Gone):
                close(world)
            unfinished = ComponentTask.objects.filter(outcome__isnull=True)
            assert max(unfinished.values_list("tries", flat=True)) == tries
        # Nobody waits for a lease that has run out.
        ComponentTask.objects.update(taken_until=None)
        assert close(world) is not None

        assert sorted(world.order(one).filled_st for one in two_components) in ([0, 5_000], [0, 6_000])
        assert ComponentTask.objects.count() == 0


def _first(component: Any) -> bool:
    """Tells one of the two components by its supply."""
    return sum(one.quantity for one in component.orders if one.side == 1) == 5
