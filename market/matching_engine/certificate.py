"""The checker of a round's certificate: plain Python, no solver, nothing of the engine. Copy it, and check what was printed.

Sides are 0 (bid) and 1 (offer); cells are numbered in the order printed; all numbers are integers.
`python certificate.py FILE` checks a certificate as the API gives it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def check_round(document: dict[str, Any]) -> list[str]:
    """What a published round breaks: its seed, its order set, and each of its components. Numbers may be strings."""
    seed, root = bytes.fromhex(document["seed"]), bytes.fromhex(document["root"])
    broken, leaves = [], list(document["other_leaves"])
    if hashlib.sha256(seed).hexdigest() != document["commitment"]:
        broken.append("the seed is the one committed to")
    for position, printed in enumerate(document["components"]):
        component = _whole(printed) | {"seed": document["seed"]}
        leaves += [order["leaf"] for order in component["orders"]]
        ties = [hashlib.sha256(seed + root + bytes.fromhex(order["leaf"])).hexdigest() for order in component["orders"]]
        if ties != [order["tie"] for order in component["orders"]]:
            broken.append(f"component {position}: ties come from seed, root and leaf")
        broken += [f"component {position}: {rule}" for rule in check_certificate(component)]
    if _root(sorted(bytes.fromhex(leaf) for leaf in leaves)) != root:
        broken.append("the root is that of all orders")
    return broken


def _whole(value: Any) -> Any:
    """The same with every decimal integer, also of a key, as a number; hexadecimal texts of 64 digits stay texts."""
    if isinstance(value, dict):
        return {int(key) if key.isdigit() else key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, str) and len(value) < 64 and value.lstrip("-").isdigit() else value


def _root(level: list[bytes]) -> bytes:
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [hashlib.sha256(b"\1" + a + b).digest() for a, b in pairs] + odd
    return level[0]


def check_certificate(c: dict[str, Any]) -> list[str]:
    """The rules that the printed result of one component breaks; empty: it is the equilibrium that the rules choose."""
    broken: list[str] = []

    def need(holds: bool, rule: str) -> None:
        if not holds and rule not in broken:
            broken.append(rule)

    cells, tick, live = c["cells"], c["tick"], [o for o in c["orders"] if not o["rejected"]]
    traded, worth, stands = [[0, 0] for _ in cells], 0, defaultdict[int, set[int]](set)
    for o in c["orders"]:
        o["lots"] = sum(o["fills"].values())
        # A fallback takes minimums as wishes; else an accepted block has its minimum before anything is shared.
        o["least"] = o["minimum"] if o["lots"] and c["path"] != "fallback" else 0
        is_block = o["minimum"] > 0 or o["group"] is not None
        need(all(x in o["limits"] and lots > 0 for x, lots in o["fills"].items()), "fills lie in an order's cells")
        need(o["lots"] == 0 or o["minimum"] <= o["lots"] <= o["quantity"], "fills lie between minimum and quantity")
        need(not o["rejected"] or (o["lots"] == 0 and is_block), "only blocks are rejected, and fill with nothing")
        if o["group"] is not None and not o["rejected"]:
            stands[o["group"]].add(o["deployment"])
        for x, lots in o["fills"].items():
            traded[x][o["side"]] += lots
            worth += (1 - 2 * o["side"]) * o["limits"].get(x, 0) * lots
    need(traded == [[cell["volume"]] * 2 for cell in cells], "bought = sold in every cell")
    need(worth == c["welfare"], "welfare is the sum of limits times fills")
    grouped = [o for o in c["orders"] if o["group"] is not None]
    one_stands = all(len(stands[o["group"]]) == 1 and o["minimum"] == 0 for o in grouped)
    whole = all(o["rejected"] != (o["deployment"] in stands[o["group"]]) for o in grouped)
    need(one_stands and whole, "of an exclusive group one deployment stands, with all its offers")
    low, high, price = ([cell[name] for cell in cells] for name in ("least", "greatest", "price"))
    need(price == [(a // tick + b // tick) // 2 * tick for a, b in zip(low, high, strict=True)], "the floored midpoint")
    need(all(x["low"] <= x["least"] <= x["greatest"] <= x["high"] for x in cells), "prices lie in the collar")
    for at, end in ((low, "low"), (high, "high"), (price, "")):
        for o in live:
            gain = {x: (limit - at[x]) * (1 - 2 * o["side"]) for x, limit in o["limits"].items()}
            o["best"], o["tight"] = max(gain.values()), {x for x in gain if gain[x] == max(gain.values())}
            need(o["lots"] == o["quantity"] or o["best"] <= 0, "everyone in the money is full")
            need(
                not o["fills"] or (o["best"] >= 0 and set(o["fills"]) <= o["tight"]), "fills gain most, and none loses"
            )
        if end:
            held = {x for x, cell in enumerate(cells) if at[x] == cell[end]} | _held(live, end == "high")
            need(len(_reach(held, _ways(live, down=end == "low"))) == len(cells), f"the {end} end is the outermost")
    for rule in _margin(live, bytes.fromhex(c["seed"])):
        need(False, rule)
    return broken


def _held(live: list[dict[str, Any]], is_high: bool) -> set[int]:
    """Cells whose price cannot leave its end: an order at the margin would lose, or be left out."""
    held = set[int]()
    for o in live:
        loses, left_out = o["lots"] > 0 and o["side"] != is_high, o["lots"] < o["quantity"] and o["side"] == is_high
        if o["best"] == 0 and (loses or left_out):
            held |= set(o["fills"]) if loses else o["tight"]
    return held


def _ways(live: list[dict[str, Any]], down: bool) -> dict[int, set[int]]:
    """From cell to cell: a bid that draws on one could as well draw on the other (down), or the reverse."""
    ways = defaultdict[int, set[int]](set)
    for o in live:
        for x in o["fills"]:
            for y in o["tight"] - {x}:
                ways[x if down else y].add(y if down else x)
    return ways


def _margin(live: list[dict[str, Any]], seed: bytes) -> list[str]:
    """Most volume, then older classes, then in proportion: what an exchange at the margin could better."""
    broken, classes = [], defaultdict[Any, list[dict[str, Any]]](list)
    ways = (_ways(live, down=True), _ways(live, down=False))
    for o in live:
        if o["best"] == 0:
            text = ";".join(
                (str(o["side"]), *(",".join(map(str, part)) for part in zip(*sorted(o["limits"].items()), strict=True)))
            )
            classes[o["side"], o["cohort"], hashlib.sha256(seed + f"{text};{o['cohort']}".encode()).digest()].append(o)
    for (side, *rank), members in classes.items():
        wanted, given = (sum(o[name] - o["least"] for o in members) for name in ("quantity", "lots"))
        if wanted:
            parts = [((o["quantity"] - o["least"]) * given // wanted, o) for o in members]
            parts.sort(key=lambda part: (-((part[1]["quantity"] - part[1]["least"]) * given % wanted), part[1]["tie"]))
            extra = given - sum(part for part, _ in parts)
            if any(o["lots"] - o["least"] != part + (n < extra) for n, (part, o) in enumerate(parts)):
                broken.append("a class shares in proportion, then by remainder and tie")
        if given < wanted:
            reached = _reach(set[int]().union(*(o["tight"] for o in members)), ways[side])
            rivals = [(key, o) for key, found in classes.items() for o in found]
            if any(key[0] != side and o["lots"] < o["quantity"] and o["tight"] & reached for key, o in rivals):
                broken.append("no more volume is possible")
            later = (o for key, o in rivals if key[0] == side and [*key[1:]] > rank and o["lots"] > o["least"])
            if any(set(o["fills"]) & reached for o in later):
                broken.append("older classes come first, then the order that the seed gives")
    return broken


def _reach(start: set[int], ways: dict[int, set[int]]) -> set[int]:
    reached, todo = set(start), list(start)
    while todo:
        for y in ways.get(todo.pop(), set()) - reached:
            reached.add(y)
            todo.append(y)
    return reached


if __name__ == "__main__":
    found = check_round(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print("\n".join(found) or "The round holds.")
    sys.exit(1 if found else 0)
