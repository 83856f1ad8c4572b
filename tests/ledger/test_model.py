"""Random operations against the ledger and against a naive model of it, which must never differ."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from ledger import selectors, services
from ledger.services import HoldChange, HoldDraft
from tests.ledger.books import NOW, Books, draft, new_key

amounts = st.integers(1, 60)
wallets = st.integers(0, 1)


@dataclass
class Held:
    """A hold as the model sees it."""

    wallet: int
    rest: int
    minutes: int | None


class LedgerMachine(RuleBasedStateMachine):
    """Two wallets; money comes in, is held, split, posted, given back, moved and taken."""

    holds = Bundle("holds")
    done = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.books = [Books(), Books()]
        self.posted = [0, 0]
        self.outside = selectors.balance(self.books[0].cash).posted_micros
        self.spent = [0, 0]
        self.held: dict[UUID, Held] = {}
        self.minute = 0

    def available(self, wallet: int) -> int:
        return self.posted[wallet] - sum(hold.rest for hold in self.held.values() if hold.wallet == wallet)

    @rule(target=done, wallet=wallets, amount=amounts)
    def top_up(self, wallet: int, amount: int) -> Any:
        transfer = draft(self.books[wallet].cash, self.books[wallet].wallet, amount)
        services.post([transfer], now=NOW)
        self.posted[wallet] += amount
        self.outside += amount
        return lambda: services.post([transfer], now=NOW)

    @rule(target=done, wallet=wallets, amount=amounts)
    def spend(self, wallet: int, amount: int) -> Any:
        transfer = draft(self.books[wallet].wallet, self.books[wallet].unbilled, amount)
        if amount > self.available(wallet):
            with pytest.raises(services.InsufficientFunds):
                services.post([transfer], now=NOW)
            return None
        services.post([transfer], now=NOW)
        self.posted[wallet] -= amount
        self.spent[wallet] += amount
        return lambda: services.post([transfer], now=NOW)

    @rule(amount=amounts, there=amounts)
    def swap(self, amount: int, there: int) -> None:
        """Two transfers in one call, one each way: all or none."""
        one, two = self.books
        both = [draft(one.wallet, two.wallet, amount), draft(two.wallet, one.wallet, there)]
        if self.available(0) - amount + there < 0 or self.available(1) - there + amount < 0:
            with pytest.raises(services.InsufficientFunds):
                services.post(both, now=NOW)
        else:
            services.post(both, now=NOW)
            self.posted[0] += there - amount
            self.posted[1] += amount - there

    @rule(target=holds, wallet=wallets, amount=amounts, minutes=st.none() | st.integers(1, 9))
    def place(self, wallet: int, amount: int, minutes: int | None) -> UUID | None:
        expires_at = None if minutes is None else NOW + timedelta(minutes=minutes)
        drafts = [HoldDraft(new_key(), self.books[wallet].wallet, amount, expires_at)]
        if amount > self.available(wallet):
            with pytest.raises(services.InsufficientFunds):
                services.place_holds(drafts, now=NOW)
            return None
        [hold] = services.place_holds(drafts, now=NOW)
        assert services.place_holds(drafts, now=NOW) == [hold]
        self.held[hold] = Held(wallet, amount, minutes)
        return hold

    def step(self, hold: UUID, action: Any, amount: int | None) -> tuple[bool, list[UUID | None], HoldChange]:
        """One change; whether the model expects it to go through, and what came."""
        model, step = self.held[hold], HoldChange(new_key(), hold, action, amount)
        refusal: type[services.LedgerError] | None = None
        if model.rest == 0:
            refusal = services.HoldClosed
        elif action == "increase":
            refusal = services.InsufficientFunds if (amount or 0) > self.available(model.wallet) else None
        elif amount is not None and amount > model.rest:
            refusal = services.HoldExhausted
        if refusal:
            with pytest.raises(refusal):
                services.change_holds([step], now=NOW)
            return False, [], step
        return True, services.change_holds([step], now=NOW), step

    @rule(target=done, hold=holds, action=st.sampled_from(["increase", "decrease", "release"]), amount=amounts)
    def adjust(self, hold: UUID | None, action: str, amount: int) -> Any:
        if hold is None:
            return None
        went, _, step = self.step(hold, action, amount)
        if went:
            self.held[hold].rest += amount if action == "increase" else -amount
        return (lambda: services.change_holds([step], now=NOW)) if went else None

    @rule(target=done, hold=holds, action=st.sampled_from(["release", "void", "expire"]))
    def resolve(self, hold: UUID | None, action: str) -> Any:
        if hold is None:
            return None
        went, _, step = self.step(hold, action, None)
        if went:
            self.held[hold].rest = 0
        return (lambda: services.change_holds([step], now=NOW)) if went else None

    @rule(target=holds, hold=holds, amount=amounts)
    def split(self, hold: UUID | None, amount: int) -> UUID | None:
        if hold is None:
            return None
        went, made, _ = self.step(hold, "split", amount)
        if not went:
            return None
        [child] = made
        assert child is not None
        self.held[hold].rest -= amount
        self.held[child] = Held(self.held[hold].wallet, amount, None)
        return child

    @rule(target=done, hold=holds, amount=amounts, more=st.integers(0, 20))
    def capture(self, hold: UUID | None, amount: int, more: int) -> Any:
        """Post from the hold, and take a little more from the wallet."""
        if hold is None:
            return None
        model = self.held[hold]
        books, key = self.books[model.wallet], new_key()
        changes = [HoldChange(f"{key}:hold", hold, "post", amount, transfer_key=key)]
        drafts = [draft(books.wallet, books.unbilled, amount + more, key=key)]

        def run() -> object:
            return services.capture(hold_changes=changes, drafts=drafts, now=NOW)

        refusal: type[services.LedgerError] | None = None
        if model.rest < amount:
            refusal = services.HoldExhausted if model.rest else services.HoldClosed
        elif more > self.available(model.wallet):
            refusal = services.InsufficientFunds
        if refusal:
            with pytest.raises(refusal):
                run()
            return None
        run()
        model.rest -= amount
        self.posted[model.wallet] -= amount + more
        self.spent[model.wallet] += amount + more
        return run

    @rule(replay=consumes(done))
    def replay(self, replay: Any) -> None:
        """What went through goes through again, and changes nothing."""
        if replay is not None:
            replay()

    @rule(minutes=st.integers(0, 2))
    def sweep(self, minutes: int) -> None:
        self.minute += minutes
        due = [h for h in self.held.values() if h.minutes is not None and h.minutes <= self.minute and h.rest]
        assert services.expire_holds(now=NOW + timedelta(minutes=self.minute), limit=100) == len(due)
        for hold in due:
            hold.rest = 0

    @invariant()
    def agree(self) -> None:
        for wallet, books in enumerate(self.books):
            held = sum(hold.rest for hold in self.held.values() if hold.wallet == wallet)
            assert books.totals() == (self.posted[wallet], held)
            assert self.posted[wallet] >= held >= 0
            assert selectors.balance(books.unbilled).posted_micros == self.spent[wallet]
        assert selectors.balance(self.books[0].cash).posted_micros == self.outside
        assert selectors.hold_rests(list(self.held)) == {hold: model.rest for hold, model in self.held.items()}

    def teardown(self) -> None:
        # The examples share one transaction, and a sweep must find this example's holds only.
        open_holds = [hold for hold, model in self.held.items() if model.rest]
        services.change_holds([HoldChange(new_key(), hold, "void", None) for hold in open_holds], now=NOW)
        assert selectors.verify() == []


@pytest.mark.django_db
def test_ledger_never_differs_from_a_naive_model() -> None:
    # `MODEL_EXAMPLES=5000` for the long run.
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "40")),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
