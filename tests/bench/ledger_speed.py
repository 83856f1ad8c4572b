"""How long the ledger takes for 10,000 transfers, holds and hold changes, against a bare COPY of the same rows.

Run by `make bench`, in a database of its own. The COPY goes to tables with the
same columns and indexes but without constraints and triggers: what is left of
the difference is the price of the rules. Prints a table, then one JSON line a
figure.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

import django
from django.core.management import call_command
from django.db import connection, transaction

SIZE = 10_000
WALLETS = 100
RUNS = 3
NAME = "tokenspot_bench_ledger"
AMOUNT = 1_000_000


def main() -> int:
    """Measure, print, and give 1 when a target is missed."""
    django.setup()
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {NAME}")
    live = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = NAME
    try:
        call_command("migrate", "ledger", verbosity=0, interactive=False)
        figures = measure()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = live
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
    report(figures)
    return 0 if all(figure["ok"] for figure in figures) else 1


def measure() -> list[dict[str, Any]]:
    """The figures: medians over the runs; the tables grow from run to run, as they do in life."""
    from accounts.services import organisations
    from ledger import selectors, services

    now = _now()
    cash = services.open_account(organisation_id=None, kind="cash_clearing")
    wallets, unbilled = [], []
    for number in range(WALLETS):
        owner = organisations.create(name=f"Buyer {number}", kind="buyer", now=now)
        wallets.append(services.open_account(organisation_id=owner, kind="wallet"))
        unbilled.append(services.open_account(organisation_id=owner, kind="unbilled"))

    times: dict[str, list[float]] = {}
    for run in range(RUNS):
        holds: list[UUID] = []
        children: list[UUID | None] = []
        steps: dict[str, Callable[[], None]] = {
            "post 10,000 transfers of two legs": lambda run=run: _fill(services, cash, wallets, run, now),
            "place 10,000 holds": lambda run=run, holds=holds: holds.extend(_place(services, wallets, run, now)),
            "split and release 10,000 holds": lambda run=run, holds=holds, children=children: children.extend(
                _split(services, holds, run, now)
            ),
            "capture 10,000 holds with their transfers": lambda run=run, children=children: _capture(
                services, children, wallets, unbilled, run, now
            ),
            "post one transfer": lambda run=run: _one(services, cash, wallets[0], run, now),
            "place one hold": lambda run=run: _one_hold(services, wallets[0], run, now),
        }
        for name, step in steps.items():
            marks = _marks()
            took = _timed(step)
            times.setdefault(name, []).append(took)
            if SIZE > 1 and "one" not in name.split():
                times.setdefault(f"{name}: bare COPY", []).append(_bare_copy(marks))
    began = time.perf_counter()
    broken = selectors.verify()
    times["verify all of it"] = [time.perf_counter() - began]
    assert not broken, broken[:3]
    return _figures(times)


def _fill(services: Any, cash: UUID, wallets: list[UUID], run: int, now: Any) -> None:
    legs = [(services.Leg(cash, "debit", 2 * AMOUNT), services.Leg(wallet, "credit", 2 * AMOUNT)) for wallet in wallets]
    services.post(
        [services.TransferDraft(f"top_up:{run}:{i}", "top_up", legs[i % WALLETS]) for i in range(SIZE)], now=now
    )


def _place(services: Any, wallets: list[UUID], run: int, now: Any) -> list[UUID]:
    drafts = [services.HoldDraft(f"order:{run}:{i}", wallets[i % WALLETS], AMOUNT) for i in range(SIZE)]
    return services.place_holds(drafts, now=now)


def _split(services: Any, holds: list[UUID], run: int, now: Any) -> list[UUID | None]:
    splits = [services.HoldChange(f"fill:{run}:{i}", hold, "split", AMOUNT // 2) for i, hold in enumerate(holds)]
    releases = [services.HoldChange(f"end:{run}:{i}", hold, "release", None) for i, hold in enumerate(holds)]
    return services.change_holds([*splits, *releases], now=now)[:SIZE]


def _capture(
    services: Any, children: list[UUID | None], wallets: list[UUID], unbilled: list[UUID], run: int, now: Any
) -> None:
    changes, drafts = [], []
    for i, child in enumerate(children):
        key = f"usage:{run}:{i}"
        legs = (
            services.Leg(wallets[i % WALLETS], "debit", AMOUNT // 4),
            services.Leg(unbilled[i % WALLETS], "credit", AMOUNT // 4),
        )
        drafts.append(services.TransferDraft(key, "usage", legs))
        changes.append(services.HoldChange(f"{key}:hold", child, "post", AMOUNT // 4, transfer_key=key))
    services.capture(hold_changes=changes, drafts=drafts, now=now)


def _one(services: Any, cash: UUID, wallet: UUID, run: int, now: Any) -> None:
    legs = (services.Leg(cash, "debit", 1), services.Leg(wallet, "credit", 1))
    services.post([services.TransferDraft(f"one:{run}", "top_up", legs)], now=now)


def _one_hold(services: Any, wallet: UUID, run: int, now: Any) -> None:
    services.place_holds([services.HoldDraft(f"one:{run}", wallet, 1)], now=now)


_TABLES = {
    "ledger_transfer": "created_at >= %s AND id > %s",
    "ledger_entry": "id > %s",
    "ledger_hold": "id > %s",
    "ledger_holdevent": "id > %s",
}


def _marks() -> dict[str, Any]:
    """The last id of each table before a step."""
    with connection.cursor() as cursor:
        found = {}
        for table in _TABLES:
            cursor.execute(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")
            row = cursor.fetchone()
            found[table] = row[0] if row else None
    return found


def _bare_copy(marks: dict[str, Any]) -> float:
    """Seconds to COPY what the step wrote into tables with the same indexes and no rules, and to commit."""
    with connection.cursor() as cursor:
        rows = {}
        for table, last in marks.items():
            cursor.execute(f"CREATE TABLE IF NOT EXISTS bare_{table} (LIKE {table} INCLUDING INDEXES)")
            where = "true" if last is None else f"id > '{last}'"
            cursor.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY id")
            rows[table] = cursor.fetchall()
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        for table, values in rows.items():
            if values:
                with cursor.copy(f"COPY bare_{table} FROM STDIN") as copy:
                    for row in values:
                        copy.write_row(row)
    return time.perf_counter() - began


def _timed(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _figures(times: dict[str, list[float]]) -> list[dict[str, Any]]:
    targets = {"split and release 10,000 holds": 3.0, "capture 10,000 holds with their transfers": 3.0,
               "post one transfer": 0.05, "place one hold": 0.05, "verify all of it": 10.0}  # fmt: skip
    found = []
    for name, taken in times.items():
        if name.endswith(": bare COPY"):
            continue
        value, target = statistics.median(taken), targets.get(name, 2.0)
        bare = times.get(f"{name}: bare COPY")
        against = statistics.median(bare) if bare else None
        found.append(
            {
                "name": f"ledger: {name}",
                "value": round(value, 4),
                "unit": "s",
                "against": round(against, 4) if against else None,
                "ratio": round(value / against, 2) if against else None,
                "target": target,
                "ok": value <= target,
            }
        )
    return found


def report(figures: list[dict[str, Any]]) -> None:
    """A table for people, then lines for programs."""
    print(f"{'':<52}{'seconds':>9}{'bare COPY':>11}{'ratio':>7}{'target':>8}")
    for figure in figures:
        against = f"{figure['against']:>11.3f}{figure['ratio']:>7.2f}" if figure["against"] else f"{'':>18}"
        verdict = "" if figure["ok"] else "  MISSED"
        print(f"{figure['name']:<52}{figure['value']:>9.3f}{against}{figure['target']:>8.2f}{verdict}")
    for figure in figures:
        print(json.dumps(figure))


def _now() -> Any:
    from accounts.selectors import clock

    return clock.now()


if __name__ == "__main__":
    sys.exit(main())
