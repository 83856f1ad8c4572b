"""A buyer with a wallet, and Stripe's stand-in over real HTTP; the SDK talks to it as it would to Stripe."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import override_settings

from accounts.kernel.actor import Actor
from accounts.kernel.roles import ROLES
from accounts.selectors import clock
from billing import services
from billing.payment_models import Payment
from config import seeding
from ledger import selectors as ledger
from tests.fakes.engine.serving import served
from tests.fakes.stripe import signing
from tests.fakes.stripe.app import Stripe
from tests.fakes.stripe.faults import Faults

SECRET = "whsec_for_tests"


@dataclass
class Till:
    """What a test needs: our side, Stripe's side, and the webhooks between, sent by hand."""

    stripe: Stripe
    address: str
    buyer: Actor
    staff: Actor
    stranger: Actor
    sent: set[str] = field(default_factory=set)

    @property
    def books(self) -> Any:
        return self.stripe.books

    def plan(self, *faults: tuple[str, str]) -> None:
        self.stripe.faults.planned += faults

    def wallet(self) -> int:
        """Micro-yuan."""
        return ledger.wallet(self.buyer.organisation_id).posted_micros

    def open(self, fen: int = 10_000, *, now: datetime | None = None) -> UUID:
        now = now or clock.now()
        made = services.payments.attempts.open_top_up(actor=self.buyer, amount_fen=fen, now=now)
        services.payments.attempts.go_on(made, now=now)
        return made

    def pay(self, payment_id: UUID, **how: Any) -> str:
        """What the buyer does on Stripe's page."""
        return self.books.pay(Payment.objects.get(id=payment_id).session_id, **how)

    def paid(self, fen: int = 10_000) -> UUID:
        made = self.open(fen)
        self.pay(made)
        services.payments.check(made, now=clock.now())
        return made

    def refund(self, payment_id: UUID, fen: int) -> UUID:
        now = clock.now()
        made = services.payments.refunds.open_refund(actor=self.staff, payment_id=payment_id, amount_fen=fen, now=now)
        services.payments.refunds.go_on(made, now=now)
        return made

    def state(self, payment_id: UUID) -> str:
        return Payment.objects.values_list("state", flat=True).get(id=payment_id)

    def webhook(self, event: dict[str, Any], *, now: datetime | None = None) -> bool:
        """One event arrives, signed as Stripe signs."""
        body = signing.body_of(event)
        return services.payments.webhooks.receive(
            body=body, signature=signing.signature(body, SECRET), now=now or clock.now()
        )

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return [one for one in self.books.events if not kinds or one["type"] in kinds]

    def deliver_all(self) -> None:
        for event in self.books.events:
            self.webhook(event)
        services.payments.webhooks.work_due(now=clock.now(), limit=10_000)

    def member(self, role: str) -> Actor:
        """The buyer with only this role's rights."""
        return replace(self.buyer, role=role, scopes=ROLES[role])

    def captured_fen(self) -> int:
        """What Stripe took and did not send back."""
        return sum(one["amount"] - one["amount_refunded"] for one in self.books.captured())


@pytest.fixture
def till(db: None) -> Iterator[Till]:
    now = clock.now()
    operator, _ = seeding.operator("Operator", now=now)
    buyer = seeding.buyer("Buyer", deposit_micros=1_000 * 10**6, staff=operator, now=now)
    stranger = seeding.buyer("Stranger", deposit_micros=0, staff=operator, now=now)
    stripe = Stripe(faults=Faults(seconds=1.5))
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # broken-off answers are meant
    with (
        served(stripe) as address,
        override_settings(
            STRIPE_SECRET_KEY="sk_test_tests", STRIPE_WEBHOOK_SECRET=SECRET, STRIPE_API_BASE=address,
            STRIPE_TIMEOUT_SECONDS=0.7,
        ),
    ):  # fmt: skip
        yield Till(stripe, address, buyer, replace(operator, is_staff=True), stranger)


def later(minutes: float) -> datetime:
    """An instant ahead of the database's clock."""
    return clock.now() + timedelta(minutes=minutes)
