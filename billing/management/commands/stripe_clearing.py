"""`manage.py stripe_clearing`: Stripe's balance transactions beside the ledger, with what differs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.kernel.decimals import plain
from accounts.selectors import clock
from billing import selectors, services
from billing.gateways.stripe_api import GatewayError


class Command(BaseCommand):
    """Exit code 0: no difference. 1: differences, named. 3: Stripe does not answer, or there is no key."""

    help = "Read Stripe's balance transactions, and list what they and the ledger do not say alike. Amounts in yuan."

    def handle(self, *_: Any, **__: Any) -> None:
        """Read, compare, print."""
        if not services.payments.configured():
            raise CommandError("There is no STRIPE_SECRET_KEY.", returncode=3)
        try:
            new = services.payments.clearing.read(now=clock.now())
        except GatewayError as error:
            raise CommandError(f"Stripe does not answer: {error}", returncode=3) from None
        found = selectors.payments.clearing()
        self.stdout.write(f"new balance transactions  {new}")
        for label, fen in (
            ("paid in, says Stripe", found.paid_in_fen), ("sent back, says Stripe", found.sent_back_fen),
            ("other, says Stripe", found.other_fen), ("fees, not in the ledger", found.fees_fen),
            ("in cash clearing", found.ledger_fen),
        ):  # fmt: skip
            self.stdout.write(f"{label:<26}{plain(fen, 2, at_least=2):>16}")
        for one in found.differences:
            theirs, ours = ("-" if fen is None else plain(fen, 2, at_least=2) for fen in (one.theirs_fen, one.ours_fen))
            self.stdout.write(f"  {one.what:<11} {one.subject}: Stripe {theirs}, ledger {ours}")
        self.stdout.write(f"{len(found.differences)} differences")
        if found.differences:
            raise SystemExit(1)
