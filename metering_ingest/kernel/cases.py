"""Known ways for a count to go wrong, as streams whose verdict is known: for tests, the documents and demonstrations.

Figures of each case: docs/reconciliation.md, "Known cases".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from metering_ingest.kernel import comparing, work
from metering_ingest.kernel.comparing import AGENT, GATEWAY, Count
from metering_ingest.kernel.work import Rating, Work
from token_standard import usage
from token_standard.cards import Card

START = datetime(2026, 11, 24, 16, tzinfo=UTC)
END = START + timedelta(hours=1)
REQUESTS = 240


@dataclass(frozen=True, slots=True)
class CountCase:
    """Two meters' streams of one hour, and what comparing them says once nothing more is waited for."""

    name: str
    counts: tuple[Count, ...]
    state: str
    causes: frozenset[str]


@dataclass(frozen=True, slots=True)
class WorkCase:
    """Billed work, the deployment's rating, and the judgement."""

    name: str
    work: Work
    rating: Rating
    state: str


def record(
    card: Card, meter: str, number: int, *, prompt: int = 1_000, cached: int = 0, completion: int = 200,
    max_tokens: int | None = None, served_format: str = "", late_by: timedelta = timedelta(0),
) -> Count:  # fmt: skip
    """One record of a stream that makes four requests a minute."""
    at = START + timedelta(seconds=15 * number) + late_by
    billable = completion if max_tokens is None else min(completion, max_tokens)
    micro_st = usage.micro_st(card, n=prompt - cached, c=cached, g=billable)
    return Count(meter, f"req-{number}", at, prompt, cached, completion, billable, micro_st, max_tokens,
                 at + timedelta(seconds=5), served_format)  # fmt: skip


def count_cases(card: Card) -> tuple[CountCase, ...]:
    """The cases that comparing counts finds, for a line sold by this card."""

    def both(agent: Callable[[int], Count], gateway: Callable[[int], Count] | None = None) -> tuple[Count, ...]:
        ours = gateway or (lambda number: record(card, GATEWAY, number))
        return tuple(one for number in range(REQUESTS) for one in (ours(number), agent(number)))

    def reset(number: int) -> Count:
        # The agent reads counters of an engine that restarted in the middle of request 120.
        return record(card, AGENT, number, completion=37 if number == REQUESTS // 2 else 200)

    def case(name: str, counts: Sequence[Count], state: str, *causes: str) -> CountCase:
        return CountCase(name, tuple(counts), state, frozenset(causes))

    return (
        case("honest", both(lambda n: record(card, AGENT, n)), comparing.MATCHED),
        case("agent's clock ten minutes slow", both(lambda n: record(card, AGENT, n, late_by=-timedelta(minutes=10))),
             comparing.MATCHED),
        case("overrun: 29 % beyond the limit", both(lambda n: record(card, AGENT, n, completion=258),
             lambda n: record(card, GATEWAY, n, max_tokens=200)), comparing.MATCHED, comparing.OVERRUN),
        case("counter reset", both(reset), comparing.HARD, comparing.COMPLETION),
        case("cached billed as uncached", both(lambda n: record(card, AGENT, n, cached=960)), comparing.HARD,
             comparing.CACHED),
        case("served in a coarser format", both(lambda n: record(card, AGENT, n, served_format="4bit")), comparing.SOFT,
             comparing.WORSE_FORMAT),
    )  # fmt: skip


def work_cases() -> tuple[WorkCase, ...]:
    """The cases that only device time shows. Billed: 1,000 ST a second of an honest device, in each."""
    measured = Rating(Fraction(960), Fraction(1_040))

    def case(name: str, measured_share: Fraction, state: str, *, requests: int = REQUESTS) -> WorkCase:
        """`measured_share`: device time as a share of what an honest device would need for the bill."""
        seconds = 10**6 * requests
        return WorkCase(name, Work(requests, 10**9 * requests, int(seconds * measured_share)), measured, state)

    return (
        case("honest", Fraction(1), work.WITHIN),
        case("honest, at the rating's edge", Fraction(9, 10), work.WITHIN),
        case("speculative decoding not declared: 1.8 tokens a step", 1 / Fraction(18, 10), work.HARD),
        case("served in a coarser format: half the bytes", Fraction(55, 100), work.HARD),
        case("fused attention not counted: a quarter of the work unbilled", 1 / Fraction(75, 100), work.SOFT),
        case("overrun: 29 % more work than the limit lets bill", Fraction(129, 100), work.SOFT),
        case("experts' card without its correction: 2.2 times the work", Fraction(22, 10), work.HARD),
        case("one request twice as fast", Fraction(1, 2), work.TOO_FEW, requests=1),
    )
