"""`manage.py verify`: every invariant that can be read from the database, with the rows that break it."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, connections
from django.db.utils import OperationalError

import accounts.selectors.chain
import billing.selectors
import ledger.selectors
import market.selectors
import metering_ingest.selectors
from config.replay.database import NAME, replay_database_exists, use_replay_database

CHECKS: dict[str, Callable[[], Iterable[Any]]] = {
    "accounts": accounts.selectors.chain.verify,
    "ledger": ledger.selectors.verify,
    "market": market.selectors.verify,
    "metering": metering_ingest.selectors.verify,
    "billing": billing.selectors.verify,
}


class Command(BaseCommand):
    """Exit code 0: all hold. 1: a breach, named. 3: there is no database to check."""

    help = "Check every invariant: audit log, ledger, market, metering, billing. Names the rows that break one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--replay", action="store_true", help="only the database that `replay` left")

    def handle(self, *_: Any, **options: Any) -> None:
        """Check the live database, and the replay's where there is one."""
        names = [] if options["replay"] else [connections["default"].settings_dict["NAME"]]
        checked = [self._check(name) for name in names if self._is_migrated()]
        if replay_database_exists():
            use_replay_database(fresh=False)
            checked.append(self._check(NAME))
        if not checked:
            self.stderr.write("There is no migrated database to verify.")
            raise SystemExit(3)
        if sum(checked):
            raise SystemExit(1)

    def _is_migrated(self) -> bool:
        try:
            return "ledger_account" in connection.introspection.table_names()
        except OperationalError:
            return False

    def _check(self, name: str) -> int:
        self.stdout.write(f"Database {name}")
        breaches = 0
        for part, check in CHECKS.items():
            began = time.monotonic()
            found = list(check())
            breaches += len(found)
            verdict = "holds" if not found else f"{len(found)} BREACHES"
            self.stdout.write(f"  {part:<9} {verdict:<14} {time.monotonic() - began:6.2f} s")
            for breach in found:
                self.stdout.write(f"    {breach.rule}: {breach.subject}: {breach.detail}")
        return breaches
