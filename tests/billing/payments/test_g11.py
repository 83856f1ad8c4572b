"""All orders of six events, each doubled, and random lives with lost, doubled and unanswered messages.

Whatever happens: what the wallets got is what Stripe captured less what it sent back, nobody is charged twice, and
nothing stays unknown. `FAULTS_TIMES` multiplies the number of lives.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from accounts.kernel.errors import DomainError
from accounts.selectors import clock
from billing import selectors, services
from billing.payment_models import Payment, PaymentProfile, Refund
from ledger import selectors as ledger
from tests.billing.payments.conftest import Till
from tests.billing.payments.test_automatic import save_card

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(1_200)]  # a minute on a quiet machine
LIVES = 500 * int(os.environ.get("FAULTS_TIMES", "1"))


class TestEveryOrder:
    def test_of_six_events_credits_once(self, till: Till) -> None:
        """A card is declined, another pays. The answer that names the page was lost, so only the events tell of it."""
        before, now = till.wallet(), clock.now()
        till.plan(("POST /v1/checkout/sessions", "cut"))
        made = till.open(10_000)
        session = till.books.of("checkout.session")[0]["id"]
        till.books.pay(session, number="4000000000000002")
        till.books.pay(session)
        assert len(till.books.events) == 6

        ends = set()
        for order in itertools.permutations(till.books.events):
            with transaction.atomic():
                _deliver_doubled(till, order, now)
                ends.add((till.state(made), till.wallet() - before))
                transaction.set_rollback(True)

        assert ends == {("settled", 100 * 10**6)}

    def test_of_a_refunds_events_takes_once(self, till: Till) -> None:
        """The answer to the refund's call was lost; then the bank sent the money back."""
        before, now = till.wallet(), clock.now()
        made = till.paid(10_000)
        till.plan(("POST /v1/refunds", "cut"))
        opened = till.refund(made, 4_000)
        assert Refund.objects.get(id=opened).state == "unknown"
        till.books.fail_refund(till.books.of("refund")[0]["id"])
        events = till.events("refund.created", "charge.refunded", "refund.failed")

        ends = set()
        for order in itertools.permutations(events):
            with transaction.atomic():
                _deliver_doubled(till, order, now)
                ends.add((Refund.objects.get(id=opened).state, till.wallet() - before))
                transaction.set_rollback(True)

        assert ends == {("failed", 100 * 10**6)}


def _deliver_doubled(till: Till, order: Iterable[dict[str, Any]], now: datetime) -> None:
    for event in order:
        till.webhook(event, now=now)
        services.payments.webhooks.work(event["id"], now=now)
        assert till.webhook(event, now=now) is False  # stored before: there is nothing to work again


class TestRandomLives:
    def test_credit_what_was_captured_and_leave_nothing_unknown(self, till: Till) -> None:
        """30 % of webhooks doubled, 5 % lost, all out of order; 5 % of calls take effect without an answer."""
        chance = random.Random(11)
        save_card(till)
        till.stripe.faults.random = random.Random(12)
        till.stripe.faults.cut_rate = 0.05
        start, before = till.wallet(), till.captured_fen()
        sent = len(till.books.events)
        now = clock.now()
        lives: list[UUID] = []

        for number in range(LIVES):
            lives.append(_begin(till, chance))
            if number % 3 == 2:
                _refund_one(till, chance, lives)
            if number % 25 == 24:
                now = _charge_saved_card(till, now)
            if number % 10 == 9:
                sent = _deliver(till, chance, sent)

        till.stripe.faults.cut_rate = 0.0
        _look(now + timedelta(minutes=1))
        for session in till.books.of("checkout.session", status="open"):
            till.books.expire(session["id"])
        _deliver(till, chance, sent)
        for step in (20, 45, 90):
            services.payments.webhooks.work_due(now=now + timedelta(minutes=step), limit=10_000)
            _look(now + timedelta(minutes=step))

        states = set(Payment.objects.values_list("state", flat=True))
        assert states <= {"settled", "failed", "expired"}, states
        assert set(Refund.objects.values_list("state", flat=True)) <= {"settled", "failed"}
        assert till.wallet() - start == (till.captured_fen() - before) * 10_000
        assert till.captured_fen() > before and Refund.objects.filter(state="settled").count() > LIVES // 20
        _nobody_was_charged_twice(till)
        assert ledger.wallet(till.buyer.organisation_id).held_micros == 0
        assert ledger.verify() == [] and selectors.verify() == []
        services.payments.clearing.read(now=now + timedelta(minutes=91))
        assert selectors.payments.clearing().differences == []


def _begin(till: Till, chance: random.Random) -> UUID:
    made = till.open(chance.randrange(100, 50_000))
    session = next((one for one in till.books.of("checkout.session") if one["client_reference_id"] == str(made)), None)
    if session is not None:
        how: list[dict[str, Any]] = [
            {}, {}, {}, {"method": "alipay"}, {"number": "4000000000000002"}, {"method": "wechat_pay", "later": True},
        ]  # fmt: skip
        if chance.random() < 0.9:
            choice = chance.choice(how)
            till.books.pay(session["id"], **choice)
            if choice.get("later"):
                till.books.finish_later(session["id"], paid=chance.random() < 0.7)
    if chance.random() < 0.3:
        services.payments.check(made, now=clock.now())  # the buyer came back
    return made


def _refund_one(till: Till, chance: random.Random, lives: list[UUID]) -> None:
    payment = Payment.objects.get(id=chance.choice(lives))
    try:
        made = till.refund(payment.id, chance.randrange(1, payment.amount_fen + 1))
    except DomainError:
        return
    refund = Refund.objects.get(id=made)
    if refund.stripe_id and chance.random() < 0.1:
        till.books.fail_refund(refund.stripe_id)


def _charge_saved_card(till: Till, now: Any) -> Any:
    """An automatic top-up, at an instant far enough from the last one."""
    PaymentProfile.objects.update(
        automatic=True, automatic_since=now, threshold_micros=10**15, amount_fen=1_000, monthly_cap_fen=10**9
    )
    later = max(now, clock.now()) + timedelta(minutes=6)
    services.payments.automatic.top_up(now=later)
    return later


def _deliver(till: Till, chance: random.Random, sent: int) -> int:
    """The events since the last time, in any order; some twice, some never."""
    events = till.books.events[sent:]
    copies = [event for event in events if chance.random() >= 0.05 for _ in range(2 if chance.random() < 0.3 else 1)]
    chance.shuffle(copies)
    for event in copies:
        till.webhook(event)
    services.payments.webhooks.work_due(now=clock.now(), limit=10_000)
    return sent + len(events)


def _look(now: datetime) -> None:
    while services.payments.look_at_undecided(now=now):
        pass


def _nobody_was_charged_twice(till: Till) -> None:
    charged = [one["metadata"].get("payment") for one in till.books.captured()]
    assert len(charged) == len(set(charged))
    for payment_id in charged:
        assert Payment.objects.get(id=payment_id).state == "settled"
