"""The thread on a simulated clock: offers, rounds, delivery, metering, rating, invoices."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from billing import selectors as billing_reads
from billing import services as billing
from config import seeding
from market import selectors as market_reads
from market import services as market
from metering_ingest import selectors as metering_reads
from metering_ingest import services as metering
from metering_ingest.kernel.events import BATCH, TYPE
from providers import services as providers
from token_standard import usage
from token_standard.catalogue import card
from token_standard.traces import TraceRow, cached_tokens

LINE, GRADE = "llama-3-8b", "interactive"
# A Monday, 10:00 on the market's clock: the first request of every trace is moved to this instant.
START = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROUNDS_A_WINDOW = 12
HEADROOM = (3, 2)  # pools are rated at 1.5 times the busiest hour
BATCH_SIZE = 1_000
MICRO = 10**6
LOT = 1_000
_BUYERS = ("Lantern Search", "Harbour Assist", "Pine Labs", "Delta Code")
_PROVIDERS = (  # name, vendor, chip, devices, region, another line it serves, discount, floor in micro-yuan per M ST
    ("Yunling Compute", "moore-threads", "MTT S4000", 64, "cn-southwest", "qwen2.5-7b", 6_000, 900_000),
    ("Northern Halls", "huawei", "Ascend 910B", 32, "cn-north", "qwen3-32b", 5_000, 1_100_000),
    ("Delta Data", "kunlunxin", "Kunlun P800", 32, "cn-east", "qwen2.5-7b", 5_500, 1_000_000),
    ("Pearl Grid", "nvidia", "A100 80GB SXM", 16, "cn-south", "mistral-7b-v0.1", 4_000, 1_300_000),
)
_LISTED = {"interactive": 3_000_000, "batch": 2_000_000}


@dataclass(frozen=True, slots=True)
class Request:
    """One row of the trace, as it is delivered."""

    number: int
    buyer: int
    at: datetime
    prompt: int
    cached: int
    generated: int
    micro_st: int


@dataclass
class Outcome:
    """What a replay did; amounts in micro-yuan, tokens in micro-ST."""

    requests: int = 0
    prompt: int = 0
    generated: int = 0
    rounds: int = 0
    fills: int = 0
    sold_micro_st: int = 0
    delivered_micro_st: int = 0
    invoiced_micro_st: int = 0
    undrawn_micro_st: int = 0
    undrawn_exact: int = 0
    prices: list[int] = field(default_factory=list)
    buyers: list[tuple[str, str, int, int, int]] = field(default_factory=list)
    providers: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    stages: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage; the same name again adds up."""
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        known = dict(self.stages)
        known[name] = known.get(name, 0.0) + spent
        self.stages = list(known.items())


@dataclass(frozen=True)
class World:
    """Who takes part."""

    operator: Actor
    market_id: UUID
    buyers: tuple[Actor, ...]
    providers: tuple[Actor, ...]


def replay(rows: Sequence[TraceRow], *, cache: bool, out: Path) -> Outcome:
    """Run the whole thread; every request is delivered, metered, rated and invoiced."""
    outcome = Outcome()
    with outcome.stage("read and weigh"):
        windows = _by_window(rows, cache=cache)
        needs = {start: _needs(requests) for start, requests in windows.items()}
    with outcome.stage("seed"):
        world = _world(needs)
    for start, requests in windows.items():
        with outcome.stage("offers and rounds"):
            _buy(world, start, needs[start], outcome)
        with outcome.stage("deliver and meter"):
            _deliver(world, start, requests, outcome)
        with outcome.stage("settle and rate"):
            after = start + HOUR + timedelta(minutes=20)
            metering.settle(now=after, quiet_seconds=0, limit=10**6)
            market.obligations.close_windows(now=after)
            billing.rate_settled(now=after)
    last = max(windows)
    with outcome.stage("invoices and files"):
        _invoice(world, last + timedelta(days=5), out, outcome)
    with outcome.stage("close delivery days"):
        billing.close_days(now=last + timedelta(days=5))
        for provider in world.providers:
            earned = billing_reads.earned(provider.organisation_id)
            outcome.providers.append(
                (
                    provider.organisation_name,
                    earned.gross_micros,
                    earned.fee_micros,
                    earned.tax_micros,
                    earned.payable_micros,
                )
            )
    return outcome


def _by_window(rows: Sequence[TraceRow], *, cache: bool) -> dict[datetime, list[Request]]:
    """The requests by clock hour, in order; row i is buyer i mod 4's."""
    reference = card(LINE)
    first = rows[0].at_ns
    hits = [hit for _, hit in cached_tokens(rows)] if cache else [0] * len(rows)
    windows: dict[datetime, list[Request]] = defaultdict(list)
    for number, (row, hit) in enumerate(zip(rows, hits, strict=True)):
        at = START + timedelta(microseconds=(row.at_ns - first) // 1_000)
        micro_st = usage.micro_st(reference, n=row.prompt - hit, c=hit, g=row.generated)
        request = Request(number, number % len(_BUYERS), at, row.prompt, hit, row.generated, micro_st)
        windows[at.replace(minute=0, second=0, microsecond=0)].append(request)
    return dict(sorted(windows.items()))


def _needs(requests: Sequence[Request]) -> list[int]:
    """What each buyer needs of a window: ST, rounded up to lots."""
    exact = [0] * len(_BUYERS)
    for request in requests:
        exact[request.buyer] += request.micro_st
    return [-(-micro_st // (LOT * MICRO)) * LOT for micro_st in exact]


def _world(needs: dict[datetime, list[int]]) -> World:
    now = START - 2 * HOUR
    busiest = max(sum(need) for need in needs.values())
    rate = busiest * HEADROOM[0] // (HEADROOM[1] * 3_600 * len(_PROVIDERS)) + 1
    details = {"legal_name": "词元现货平台（示例）有限公司", "tax_number": "91310000MA1EXAMPL0"}
    staff, market_id = seeding.operator("Tokenspot", now=now, **details)
    for slug, publisher, name in (
        (LINE, "Meta", "Llama 3 8B"),
        ("qwen2.5-7b", "Alibaba", "Qwen2.5 7B"),
        ("qwen3-32b", "Alibaba", "Qwen3 32B"),
        ("mistral-7b-v0.1", "Mistral AI", "Mistral 7B"),
    ):
        seeding.line(seeding.LineSpec(slug, publisher, name, _LISTED), now=now)
    deposits = [sum(need[i] for need in needs.values()) * 2 * _LISTED[GRADE] // MICRO for i in range(len(_BUYERS))]
    buyers = [
        seeding.buyer(name, deposit_micros=-(-deposit // 10_000) * 10_000 + 10_000, staff=staff, now=now)
        for name, deposit in zip(_BUYERS, deposits, strict=True)
    ]
    sellers = [
        seeding.provider(
            name,
            [
                seeding.DeploymentSpec(
                    f"{chip} {served}", vendor, chip, devices, region, served, rate,
                    [(GRADE, discount, floor, 10_000)], f"https://{vendor}.example",
                )
                for served in (LINE, other)
            ],
            now=now,
        )
        for name, vendor, chip, devices, region, other, discount, floor in _PROVIDERS
    ]  # fmt: skip
    return World(staff, market_id, tuple(buyers), tuple(sellers))


def _buy(world: World, start: datetime, need: Sequence[int], outcome: Outcome) -> None:
    """Buy a window's need before it opens: a slice each round at a seeded limit, the rest at the collar's top."""
    now = start - HOUR
    providers.offers.post_due(now=now, limit=100_000)
    dice = random.Random(START.isoformat() + start.isoformat())  # noqa: S311  (a seeded example, not a secret)
    product = market_reads.product_at(LINE, GRADE, start)
    assert product is not None
    left = list(need)
    for step in range(ROUNDS_A_WINDOW + 1):
        quote = market_reads.quote(product, now=now)
        top = quote.collar.high if quote.collar else _LISTED[GRADE]
        for position, buyer in enumerate(world.buyers):
            lots = (
                -(-left[position] // (LOT * (ROUNDS_A_WINDOW - step)))
                if step < ROUNDS_A_WINDOW
                else left[position] // LOT
            )
            if lots:
                limit = top if step >= ROUNDS_A_WINDOW - 1 else top - 10_000 * dice.randrange(top // 50_000)
                _bid(buyer, start, lots * LOT, limit, now=now)
        now = market_reads.the_market().next_close_at
        summary = market.rounds.clear(world.market_id, now=now)
        assert summary is not None, "the round is due at its own close"
        outcome.rounds += 1
        outcome.fills += summary.fills
        left = [
            whole - sum(a.quantity_st for a in market_reads.product_fills(buyer.organisation_id, product.id))
            for whole, buyer in zip(need, world.buyers, strict=True)
        ]
        now += timedelta(seconds=1)
        if not any(left):
            break
    assert not any(left), f"{left} ST of the window at {start} could not be bought"
    bought = [a for buyer in world.buyers for a in market_reads.product_fills(buyer.organisation_id, product.id)]
    outcome.sold_micro_st += sum(a.quantity_st for a in bought) * MICRO
    outcome.prices += [a.price_micros for a in bought]


def _bid(buyer: Actor, start: datetime, quantity_st: int, limit_micros: int, *, now: datetime) -> None:
    draft = market.OrderDraft(
        organisation_id=buyer.organisation_id,
        side="buy",
        line=LINE,
        grade=GRADE,
        window_start=start,
        quantity_st=quantity_st,
        limit_micros=limit_micros,
        time_in_force="ioc",
    )
    market.orders.place(draft, actor=buyer, now=now)


def _deliver(world: World, start: datetime, requests: Sequence[Request], outcome: Outcome) -> None:
    """Draw each request on what was bought, and send the gateway's record of it through the public event format."""
    product = market_reads.product_at(LINE, GRADE, start)
    assert product is not None
    for offset in range(0, len(requests), BATCH_SIZE):
        batch = requests[offset : offset + BATCH_SIZE]
        now = batch[-1].at
        drawn = market.draws.draw_many(
            [
                market.draws.DrawItem(world.buyers[r.buyer].organisation_id, product.id, f"req-{r.number}", r.micro_st)
                for r in batch
            ],
            now=now,
        )
        events = [
            _event(request, parts[0].allocation_id, card(LINE).digest)
            for request, parts in zip(batch, drawn, strict=True)
        ]
        result = metering.ingest(msgspec.json.encode(events), content_type=BATCH, sender=world.operator, now=now)
        assert result.accepted == len(batch), result
        outcome.requests += len(batch)
        outcome.prompt += sum(request.prompt for request in batch)
        outcome.generated += sum(request.generated for request in batch)
        outcome.delivered_micro_st += sum(part.micro_st for parts in drawn for part in parts)


def _event(request: Request, allocation_id: UUID, digest: str) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"req-{request.number}",
        "source": "gateway/replay",
        "type": TYPE,
        "time": request.at,
        "subject": f"req-{request.number}",
        "data": {
            "allocation": ids.encode("alc", allocation_id),
            "card": digest,
            "prompt_tokens": request.prompt,
            "cached_tokens": request.cached,
            "completion_tokens": request.generated,
            "finish_reason": "stop",
        },
    }


def _invoice(world: World, now: datetime, out: Path, outcome: Outcome) -> None:
    """Finalise every buyer's invoice and write its files."""
    out.mkdir(parents=True, exist_ok=True)
    for buyer in world.buyers:
        invoice_id = billing.invoice_to_date(actor=buyer, now=now)
        row = billing_reads.invoice_row(invoice_id, actor=buyer)
        lines = list(billing_reads.lines_of(row))
        micro_st = sum(line.micro_st for line in lines if line.kind == "usage")
        outcome.undrawn_micro_st += sum(line.micro_st for line in lines if line.kind == "take_or_pay")
        outcome.undrawn_exact += sum(int(line.exact) for line in lines if line.kind == "take_or_pay")
        outcome.invoiced_micro_st += micro_st
        outcome.buyers.append(
            (buyer.organisation_name, row.figures["number"], micro_st, row.total_fen, row.settled_micros)
        )
        for kind, language in (("pdf", "zh"), ("pdf", "en"), ("csv", "en")):
            document = billing.invoice_file(invoice_id, kind=kind, language=language, actor=buyer, now=now)
            path = out / document.name
            path.write_bytes(document.content)
            outcome.files.append(path)
    totals = metering_reads.totals()
    assert (totals.records, totals.prompt_tokens) == (outcome.requests, outcome.prompt)
