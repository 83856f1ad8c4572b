"""A second opinion: reads the rows of one snapshot and adds them up in Python, without the site's own checks."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.faults.market.stack import Journal, Stack

MILLION = 10**6


@dataclass(frozen=True)
class Count:
    """What stands in the tables."""

    rounds: list[tuple]
    orders: dict[UUID, dict[str, Any]]
    fills: list[tuple]
    problems: list[str]

    @property
    def filled(self) -> dict[int, int]:
        """Rows of fills by round number."""
        return Counter(number for number, *_ in self.fills)


def count(stack: Stack) -> Count:
    """Count everything, and name each thing that does not add up."""
    with stack.database() as cursor:

        def rows(statement: str) -> list[tuple]:
            return cursor.execute(statement).fetchall()

        [(next_number, is_frozen)] = rows("SELECT round_number, frozen_round IS NOT NULL FROM market_market")
        rounds = rows(
            "SELECT number, state, fills, volume_st, closed_at, seed IS NOT NULL FROM market_round ORDER BY number"
        )
        frames = [number for (number,) in rows("SELECT sequence FROM market_feedframe")]
        told = [
            number
            for (number,) in rows("SELECT (payload->>'number')::int FROM accounts_outboxrow WHERE topic='market.round'")
        ]
        orders = {
            row[0]: dict(zip(("id", "owner", "side", "quantity", "limit", "client", "hold"), row, strict=True))
            for row in rows(
                "SELECT id, organisation_id, side, quantity_st, limit_micros, client_order_id, hold_id FROM market_order"
            )
        }
        book = dict(rows("SELECT order_id, quantity_left_st FROM market_book"))
        ends = rows("SELECT order_id, reason, unfilled_st FROM market_orderend")
        fills = rows(
            "SELECT r.number, f.order_id, f.cell_id, f.side, f.quantity_st, f.price_micros "
            "FROM market_fill f JOIN market_round r ON r.id = f.round_id"
        )
        allocations = rows(
            "SELECT round_number, buy_order_id, sell_order_id, cell_id, quantity_st, price_micros, hold_id, buyer_id "
            "FROM market_allocation"
        )
        rests = dict(rows("SELECT id, rest_micros FROM ledger_hold"))
        wallets = rows("SELECT organisation_id, posted_micros, held_micros FROM ledger_account WHERE kind = 'wallet'")
    problems: list[str] = []

    def same(what: str, found: object, expected: object) -> None:
        if found != expected:
            problems.append(f"{what}: {found} and not {expected}")

    # Every round once and without a gap; all are cleared, framed and told of, once each, but one that is being cleared
    # and the one that collects orders.
    ahead = ["frozen", "open"] if is_frozen else ["open"]
    same("numbers of rounds", [row[0] for row in rounds], list(range(1, next_number + len(ahead))))
    same("states of rounds", [row[1] for row in rounds], ["cleared"] * (next_number - 1) + ahead)
    same("seeds shown", [row[5] for row in rounds], [True] * (next_number - 1) + [False] * len(ahead))
    same("frames of the feed", sorted(frames), list(range(1, next_number)))
    same("rounds in the outbox", sorted(told), list(range(1, next_number)))

    # Fills: what each round says of itself, no order twice in a cell of a round, bought is sold.
    same("fills twice", [key for key, n in Counter((f[0], f[1], f[2]) for f in fills).items() if n > 1], [])
    by_round: dict[int, list[tuple]] = defaultdict(list)
    for fill in fills:
        by_round[fill[0]].append(fill)
    for number, _, said, volume, _, _ in rounds:
        own = by_round.pop(number, [])
        same(f"fills of round {number}", len(own), said)
        same(f"bought in round {number}", sum(f[4] for f in own if f[3] == 0), volume)
        same(f"sold in round {number}", sum(f[4] for f in own if f[3] == 1), volume)
    same("fills of no round", dict(by_round), {})

    # Orders: asked = filled + open + given back, and either open or ended, once.
    filled: Counter[UUID] = Counter()
    for _, order, _, _, quantity, _ in fills:
        filled[order] += quantity
    same("ends twice", [order for order, n in Counter(row[0] for row in ends).items() if n > 1], [])
    unfilled = {order: rest for order, _, rest in ends}
    for key, order in orders.items():
        same(f"quantity of {key}", filled[key] + book.get(key, 0) + unfilled.get(key, 0), order["quantity"])
        same(f"open or ended {key}", (key in book) + (key in unfilled), 1)

    # Allocations are the fills, seen from both sides.
    bought: Counter[tuple] = Counter()
    for number, buy, sell, cell, quantity, price, _, _ in allocations:
        bought[number, buy, cell, price] += quantity
        bought[number, sell, cell, price] += quantity
    same("allocations against fills", bought, Counter({(f[0], f[1], f[2], f[5]): f[4] for f in fills}))

    # Holds: each wallet holds its open bids at their limits and what it bought at the price, and nothing else.
    held: Counter[UUID] = Counter()
    for key, left in book.items():
        if orders[key]["side"] == 0:
            worst = left * orders[key]["limit"] // MILLION
            held[orders[key]["owner"]] += worst
            same(f"hold of {key}", rests[orders[key]["hold"]], worst)
    for *_, quantity, price, hold, buyer in allocations:
        held[buyer] += quantity * price // MILLION
        same(f"hold {hold} of an allocation", rests[hold], quantity * price // MILLION)
    for owner, posted, holds in wallets:
        same(f"held by {owner}", holds, held.pop(owner, 0))
        same(f"posted to {owner}", posted, stack.about["deposit_micros"])
    same("held by nobody", dict(held), {})
    return Count(rounds, orders, fills, problems)


def assert_whole(stack: Stack, *journals: Journal) -> Count:
    """Both verifiers and the count agree, and the clients were told nothing that is not so."""
    assert stack.run("verify") == []
    found = count(stack)
    assert found.problems == []
    for journal in journals:
        assert journal.faults() == []
        _assert_kept(stack, found, journal)
    return found


def _assert_kept(stack: Stack, found: Count, journal: Journal) -> None:
    placed = {line["client"]: UUID(line["id"]) for line in journal.acknowledged("place")}
    stored = {order["client"]: key for key, order in found.orders.items() if order["client"]}
    assert placed.items() <= stored.items(), "an acknowledged order is missing, or another than was said"
    # What was never acknowledged is there only where its client never learned how it ended.
    prefixes = {line["client"].split(":")[0] for line in journal.lines() if line.get("client")}
    unknown = {line["client"] for line in journal.lines() if line.get("unknown")}
    extra = {client for client in stored if client.split(":")[0] in prefixes} - placed.keys() - unknown
    assert not extra, "orders that nobody was told of"
    cancels = journal.acknowledged("cancel")
    ended = dict(stack.rows("SELECT order_id, reason FROM market_orderend"))
    marked = {key for (key,) in stack.rows("SELECT order_id FROM market_book WHERE ending = 'cancelled'")}
    for line in cancels:
        # What was being cleared when it was cancelled ends with what its round left of it, if anything.
        allowed = {"cancelled"} if line["stands"] == "cancelled" else {"cancelled", "filled"}
        order = UUID(line["id"])
        assert ended.get(order) in allowed or (line["stands"] == "pending_cancel" and order in marked), line


def assert_cleared_once(found: Count, journal: Journal) -> None:
    """Each round was reported by at most one clearer, with the fills that are stored."""
    said = [(line["number"], line["fills"]) for line in journal.acknowledged("clear")]
    assert len({number for number, _ in said}) == len(said)
    assert {number: fills for number, fills in said if fills} == {
        number: found.filled[number] for number, _ in said if found.filled[number]
    }


def percentile(values: list[float], part: float) -> float:
    """The value below which this part of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
