"""Programs that live on the public API of the demo: they bid, and spend what they bought on a real trace's shapes.

They hold ordinary API keys and do nothing that a customer's program could not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from config.settings.addresses import BASE_DIR, state_dir
from token_standard.traces import read_trace

_TRACE = BASE_DIR / "tests" / "data" / "tokens" / "AzureLLMInferenceTrace_conv.csv.gz"
_WORDS = ("price", "token", "market", "hour", "model", "offer", "grade", "meter", "window", "buyer", "round", "fair")


@dataclass(frozen=True)
class Trader:
    """One buying program: whom it trades for, what it wants, and how dear it may be."""

    name: str
    key: str
    line: str
    grade: str
    ceiling_micros: int
    lots: tuple[int, int]


async def main() -> None:
    """Trade until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    options = parser.parse_args()
    about = json.loads((state_dir() / "demo.json").read_text())
    traders = [Trader(**{**trader, "lots": tuple(trader["lots"])}) for trader in about["traders"]]
    async with asyncio.TaskGroup() as group:
        for position, trader in enumerate(traders):
            group.create_task(_live(options.address, trader, position))


async def _live(address: str, trader: Trader, position: int) -> None:
    chance = random.Random(f"{trader.name}{position}")  # noqa: S311  (a demo's dice, not a secret)
    headers = {"Authorization": f"Bearer {trader.key}"}
    shapes = _shapes(chance)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as client:
        await asyncio.sleep(position * 0.7)
        async with asyncio.TaskGroup() as group:
            group.create_task(_forever(lambda: _bid(client, trader, chance), lambda: chance.uniform(4, 9)))
            group.create_task(_forever(lambda: _spend(client, trader, chance, shapes), lambda: chance.uniform(0.5, 2)))


async def _forever(step: Any, pause: Any) -> None:
    while True:
        with contextlib.suppress(httpx.HTTPError):  # the site restarts, the trader stays
            await step()
        await asyncio.sleep(pause())


async def _bid(client: httpx.AsyncClient, trader: Trader, chance: random.Random) -> None:
    """One bid for the current hour or one of the next, between the best offer and what the trader can bear."""
    answer = await client.get("/api/v1/products", params={"line": trader.line, "grade": trader.grade})
    offered = [one for one in answer.json()["data"] if one["best_offer_per_million"]] if answer.is_success else []
    if not offered:
        return
    product = chance.choice([offered[0], *offered[:4]])
    best = int(Decimal(product["best_offer_per_million"]) * 100)
    highest = max(trader.ceiling_micros // 10_000, best - 20)
    limit = chance.randint(min(best - 15, highest), highest)
    body = {
        "side": "buy",
        "line": trader.line,
        "grade": trader.grade,
        "window_start": product["window_start"],
        "quantity_st": str(1_000 * chance.randint(*trader.lots)),
        "price_per_million": str(Decimal(limit) / 100),
        "time_in_force": "gtt",
        "expires_in_seconds": 120,
    }
    placed = await client.post("/api/v1/orders", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
    if placed.status_code == 422 and (bound := placed.json().get("highest_micros")):
        body["price_per_million"] = str(Decimal(int(bound)) / 10**6)
        await client.post("/api/v1/orders", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})


async def _spend(
    client: httpx.AsyncClient, trader: Trader, chance: random.Random, shapes: Iterator[tuple[int, int]]
) -> None:
    """One streamed completion, of the next shape of the trace."""
    prompt, generated = next(shapes)
    words = " ".join(chance.choices(_WORDS, k=max(1, prompt // 3)))
    body = {
        "model": trader.line,
        "messages": [{"role": "user", "content": words}],
        "max_tokens": generated,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for _ in response.aiter_lines():
            pass


def _shapes(chance: random.Random) -> Iterator[tuple[int, int]]:
    """(prompt, generated) tokens of a real hour of chat, from a random row on; long ones are cut for the demo."""
    rows = [(row.prompt, row.generated) for row in read_trace(_TRACE)]
    position = chance.randrange(len(rows))
    while True:
        prompt, generated = rows[position % len(rows)]
        yield min(prompt, 8_000), min(generated, 200)
        position += 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
