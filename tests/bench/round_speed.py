"""One round from frozen book to commit, at 1,000, 10,000 and 100,000 live orders, against a bare COPY of its rows.

The workload is the reference one: bids and offers in turn, prices ~ Normal(10000, 200) ticks, 1–100 lots, seed 42. The
COPY goes to tables with the same columns and indexes but without constraints and triggers. Run by `make bench`, in a
database of its own; `--large` adds 100,000 orders. Prints a table, then one JSON line a figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

import django
import numpy as np
from django.core.management import call_command
from django.db import connection, transaction

NAME = "tokenspot_bench_round"
BUYERS = SELLERS = 50
RUNS = {1_000: 5, 10_000: 3, 100_000: 2}
TARGETS = {1_000: 0.1, 10_000: 0.35, 100_000: 2.5}
TICK, LOT = 10_000, 1_000
BATCH = 10_000
# What a round writes, and how to find the rows of the newest one.
WRITTEN = {
    "market_fill": "round_id = %(round)s",
    "market_allocation": "round_id = %(round)s",
    "market_orderend": "order_id IN (SELECT order_id FROM market_fill WHERE round_id = %(round)s)",
    "ledger_hold": "id IN (SELECT id FROM market_allocation WHERE round_id = %(round)s)",
    "ledger_holdevent": "id > %(event)s",
}


def main() -> int:
    """Measure, print, and give 1 when a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="100,000 live orders too")
    options = parser.parse_args()
    django.setup()
    sizes = [1_000, 10_000, *([100_000] if options.large else [])]
    with own_database():
        figures = [figure for size in sizes for figure in measure(size)]
    report(figures)
    return 0 if all(figure["ok"] for figure in figures) else 1


@contextmanager
def own_database() -> Iterator[None]:
    """A database of its own with a small market, gone afterwards."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {NAME}")
    live = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = NAME
    try:
        call_command("migrate", "market", verbosity=0, interactive=False)
        _world()
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = live
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def _world() -> None:
    from accounts.selectors import clock
    from accounts.services import organisations
    from market import services

    now = clock.now()
    operator = organisations.create(name="Operator", kind="operator", now=now)
    services.markets.create(slug="bench", name="Bench", operator_id=operator, now=now)
    services.catalogue.add_line(
        slug="llama-3-8b", publisher="Meta", model="llama-3-8b", display_name="Llama 3 8B", card_name="llama-3-8b",
        card_format="fp16", context_limit=8_192, reference_context=2_048, tokenizer="bytes", now=now,
    )  # fmt: skip
    services.catalogue.set_list_price(
        line="llama-3-8b", grade="interactive", price_micros=10_000 * TICK, valid_from=now.date(), source="bench"
    )


def measure(size: int) -> list[dict[str, Any]]:
    """Medians over some rounds, each with a fresh book of this size."""
    from market import selectors, services

    took, engine, bare = [], [], []
    for run in range(RUNS[size]):
        _fill_book(size)
        state = selectors.the_market()
        with connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(max(id), 0) FROM ledger_holdevent")
            event = cursor.fetchone()[0]
            cursor.execute("ANALYZE")
        began = time.perf_counter()
        summary = services.rounds.clear(state.id, now=state.next_close_at)
        took.append(time.perf_counter() - began)
        assert summary is not None and summary.orders == size, summary
        engine.append(summary.engine_micros / 10**6)
        bare.append(_bare_copy({"round": summary.round_id, "event": event}))
        print(f"{size:>9,} orders, round {run + 1}: {took[-1]:.3f} s, {summary.fills:,} fills, "
              f"{summary.allocations:,} allocations", file=sys.stderr)  # fmt: skip
        _empty_book()
    assert not selectors.verify()
    value, against = statistics.median(took), statistics.median(bare)
    share = statistics.median(engine) / value
    return [
        _figure(f"market: round of {size:,} live orders", value, "s", against, TARGETS[size]),
        _figure(f"market: engine's share, {size:,} live orders", share, "of the round", None, 0.02),
    ]


def _figure(name: str, value: float, unit: str, against: float | None, target: float) -> dict[str, Any]:
    ratio = round(value / against, 2) if against else None
    shown = round(against, 4) if against else None
    return {"name": name, "value": round(value, 4), "unit": unit, "against": shown, "ratio": ratio, "target": target,
            "ok": value <= target}  # fmt: skip


def _fill_book(size: int) -> None:
    """The reference workload for the next window, over 50 buyers and 50 sellers."""
    from accounts.selectors import clock
    from accounts.services import organisations
    from ledger import services as ledger
    from market import selectors, services
    from market.services import CellTerms, OrderDraft, SupplyDraft

    now = clock.now()
    window = selectors.open_windows(now)[1][0]
    buyers = [organisations.create(name=f"Buyer {uuid4()}", kind="buyer", now=now) for _ in range(BUYERS)]
    sellers = [organisations.create(name=f"Seller {uuid4()}", kind="provider", now=now) for _ in range(SELLERS)]
    cash = ledger.open_account(organisation_id=None, kind="cash_clearing")
    ledger.post(
        [
            ledger.TransferDraft(f"top_up:{buyer}", "top_up", (
                ledger.Leg(cash, "debit", 10**13),
                ledger.Leg(ledger.open_account(organisation_id=buyer, kind="wallet"), "credit", 10**13),
            ))
            for buyer in buyers
        ],
        now=now,
    )  # fmt: skip
    supplies = [
        services.supply.declare(
            SupplyDraft(
                organisation_id=seller, pool_id=uuid4(), exclusive_group=uuid4(), deployment_id=uuid4(),
                line="llama-3-8b", grade="interactive", window_start=window,
                terms=CellTerms("cn-east", "listed", "nvidia", "no-retention"), offered_st=100 * LOT * size,
                rate_st_per_second=10**8,
            ),
            now=now,
        )
        for seller in sellers
    ]  # fmt: skip
    rng = np.random.default_rng(42)
    price = np.clip(np.rint(rng.normal(10_000, 200, size)), 1, None).astype(int).tolist()
    quantity = rng.integers(1, 101, size).tolist()
    drafts = []
    for row in range(size):
        party = row // 2 % BUYERS
        sells = row % 2 == 1
        drafts.append(
            OrderDraft(
                sellers[party] if sells else buyers[party], "sell" if sells else "buy", "llama-3-8b", "interactive",
                window, quantity[row] * LOT, price[row] * TICK, supply_id=supplies[party] if sells else None,
            )
        )  # fmt: skip
    for start in range(0, size, BATCH):
        services.orders.place_many(drafts[start : start + BATCH], actor=None, now=now)


def _empty_book() -> None:
    from market import selectors, services

    later = selectors.the_market().next_close_at + timedelta(hours=3)
    services.sweep.expire_orders(selectors.the_market().id, now=later)


def _bare_copy(values: dict[str, Any]) -> float:
    """Seconds to COPY the rows of the last round into tables with the same indexes and no rules, and to commit."""
    rows = {}
    with connection.cursor() as cursor:
        for table, where in WRITTEN.items():
            cursor.execute(f"DROP TABLE IF EXISTS bare_{table}")
            cursor.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING INDEXES)")
            with cursor.copy(f"COPY (SELECT * FROM {table} WHERE {where}) TO STDOUT (FORMAT binary)", values) as copy:
                rows[table] = b"".join(copy)
    began = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor:
        for table, raw in rows.items():
            with cursor.copy(f"COPY bare_{table} FROM STDIN (FORMAT binary)") as copy:
                copy.write(raw)
    return time.perf_counter() - began


def report(figures: list[dict[str, Any]]) -> None:
    """A table for people, then lines for programs."""
    print(f"{'':<52}{'value':>9}{'bare COPY':>11}{'ratio':>7}{'target':>8}")
    for figure in figures:
        against = f"{figure['against']:>11.3f}{figure['ratio']:>7.2f}" if figure["against"] else f"{'':>18}"
        verdict = "" if figure["ok"] else "  MISSED"
        print(f"{figure['name']:<52}{figure['value']:>9.3f}{against}{figure['target']:>8.2f}{verdict}")
    for figure in figures:
        print(json.dumps(figure))


if __name__ == "__main__":
    sys.exit(main())
