"""Steps that tests of billing share: use what was bought, issue the invoice, read it as its owner."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.test import Client

from accounts import services as accounts
from accounts.kernel.actor import Actor
from accounts.models import User
from accounts.services import members
from billing import services
from billing.models import Invoice
from ledger import services as ledger
from metering_ingest import services as metering
from tests.metering_ingest.scene import HOUR, NOW, Bought, event

SENT = HOUR + timedelta(minutes=2)
LATER = HOUR + timedelta(days=3)
EXACT_PER_MICRO = 10**12
EXACT_PER_FEN = 10**16


def use(bought: Bought, prompt: int, generated: int, *, times: int = 1, allocation: int = 0, name: str = "r",
        at: timedelta = timedelta(0)) -> None:  # fmt: skip
    """Meter equal requests, settle and rate."""
    one = bought.allocations[allocation]
    events = [event(one, f"{name}-{n}", prompt=prompt, generated=generated) for n in range(times)]
    result = metering.ingest_records(events, sender=bought.operator, now=SENT + at)
    assert result.accepted == times
    metering.settle(now=SENT + at, quiet_seconds=0)
    services.rate_settled(now=SENT + at)


def issue(bought: Bought) -> Invoice:
    """The buyer's invoice to date."""
    return Invoice.objects.get(id=services.invoice_to_date(actor=bought.buyer, now=LATER))


def drain(organisation: Actor, micros: int) -> None:
    """Money leaves a wallet for the bank."""
    wallet = ledger.open_account(organisation_id=organisation.organisation_id, kind="wallet")
    cash = ledger.open_account(organisation_id=None, kind="cash_clearing")
    legs = (ledger.Leg(wallet, "debit", micros), ledger.Leg(cash, "credit", micros))
    ledger.post([ledger.TransferDraft(key="test:drain", kind="top_up", legs=legs)], now=LATER)


def tamper(statement: str, *tables: str) -> None:
    """Change what no service would, with these tables' triggers off for the rest of the test's transaction."""
    connection.check_constraints()
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement)


def keyed(actor: Actor, *scopes: str) -> Client:
    """A client with an API key."""
    key = accounts.keys.create(actor=actor, name="t", scopes=list(scopes or ("billing:read",)), now=NOW).secret
    return Client(headers={"authorization": f"Bearer {key}"})


def signed_in(actor: Actor, role: str = "finance", *, language: str = "en") -> Client:
    """A client of a member in the browser."""
    user_id = members.add(
        organisation_id=actor.organisation_id, email=f"{role}@{actor.organisation_id}.example", role=role, now=NOW
    )
    client = Client(headers={"accept-language": language})
    client.force_login(User.objects.get(id=user_id))
    return client
