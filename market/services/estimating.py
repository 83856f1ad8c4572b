"""What requests would cost: standard tokens of a line, card, configuration or graph, and yuan where the market has a price.

Nothing is stored, and nothing that was sent is run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from market import selectors
from market.kernel.costs import Cost, cost
from market.kernel.errors import MarketError
from market.selectors import HourPrice, LineView
from token_standard import catalogue, estimates, uploads, usage
from token_standard.cards import Card, Priced
from token_standard.errors import TokenStandardError
from token_standard.estimates import Estimate
from token_standard.graphs import Counted, Program
from token_standard.huggingface import InvalidConfig, Reading
from token_standard.huggingface.quantised import UNQUANTISED, named_format

MOST_TOKENS = 10**9
MOST_REQUESTS = 10**9
MOST_ROWS = 1_000
WAIT_SECONDS = 10
DEFAULT_GRADE = "interactive"
# The lengths that a curve is drawn at, up to the model's context where that is known.
CONTEXTS = tuple(2**power for power in range(8, 18))
USUAL_CONTEXT = 32_768
_counting = threading.BoundedSemaphore(1)


class BadEstimate(MarketError):
    """The model cannot be read or counted; details: `field`, and `reason`, the code of what read it."""

    code = "bad_model"
    status = 400


class DigestDiffers(MarketError):
    """The card has another digest than was expected; details: `digest`."""

    code = "digest_differs"


class NoCache(MarketError):
    """The graph has no key/value cache, so cached and output tokens cannot be estimated."""

    code = "no_cache"


class Busy(MarketError):
    """Other graphs are being counted."""

    code = "busy"
    status = 503
    retryable = True


@dataclass(frozen=True)
class Requests:
    """Requests alike: uncached and cached prompt tokens, output tokens, and how many there are."""

    uncached: int
    cached: int
    output: int
    count: int = 1


@dataclass(frozen=True)
class Subject:
    """What is valued. `line` is set where the market trades exactly this card; `run_st` for a program of fixed shapes."""

    title: str
    priced: Priced | None
    digest: str
    provisional: bool
    notes: tuple[str, ...] = ()
    line: LineView | None = None
    program: Program | None = None
    form: str = ""

    @property
    def has_cache(self) -> bool:
        """Whether output and cached tokens can be valued."""
        return not isinstance(self.priced, Counted) or self.priced.has_cache


@dataclass(frozen=True)
class Costed:
    """An estimate with what the market asks for it. Price and costs are None where the market has no price."""

    subject: Subject
    estimate: Estimate
    parts: usage.Shares | None
    grade: str
    price: HourPrice | None
    cost: Cost | None
    hours: tuple[HourPrice, ...]  # cheapest first
    beyond_context: int  # requests longer than the line takes: they would be refused

    @property
    def cheapest(self) -> Cost | None:
        """The cost in the cheapest hour ahead."""
        return cost(self.estimate, self.hours[0].price_micros) if self.hours else None

    @property
    def dearest(self) -> Cost | None:
        """The cost in the dearest hour ahead."""
        return cost(self.estimate, self.hours[-1].price_micros) if self.hours else None


def of_line(slug: str, organisation_id: UUID | None) -> Subject:
    """A line that this organisation may see.

    :raises UnknownLine: there is none.
    """
    line = selectors.line_for(slug, organisation_id)
    card = catalogue.card_by_digest(line.card_digest)
    return Subject(line.display_name, card, card.digest, card.provisional, line=line)


def of_card(name: str, organisation_id: UUID | None) -> Subject:
    """A card of the catalogue, `MODEL/FORMAT`, fp16 where no format is named.

    :raises BadEstimate: there is none.
    """
    model, _, form = name.partition("/")
    try:
        card = catalogue.card(model, form or catalogue.DEFAULT_FORMAT)
    except TokenStandardError as error:
        raise _bad(error, "card") from error
    return _of_card(card, f"{model} {card.format.name}", (), organisation_id)


def of_config(reading: Reading, form: str | None, organisation_id: UUID | None) -> Subject:
    """A model's own configuration, in its own format or another.

    :raises BadEstimate: no such format.
    """
    try:
        card = reading.card(form or None)
    except TokenStandardError as error:
        raise _bad(error, "number_format") from error
    return _of_card(card, f"{card.model} {card.format.name}", reading.notes, organisation_id)


def _of_card(card: Card, title: str, notes: tuple[str, ...], organisation_id: UUID | None) -> Subject:
    traded = (line for line in selectors.lines(organisation_id) if line.card_digest == card.digest)
    return Subject(title, card, card.digest, card.provisional, notes, line=next(traded, None))


def read_config(raw: bytes, name: str) -> Reading:
    """A configuration that was sent.

    :raises BadEstimate: it gives no card; `field` names its field.
    """
    try:
        return uploads.read_config(raw, name)
    except TokenStandardError as error:
        raise _bad(error, "config") from error


def config_of(plain: dict[str, object]) -> Reading:
    """The same from the object in it.

    :raises BadEstimate: it gives no card.
    """
    try:
        return uploads.from_config(plain)
    except TokenStandardError as error:
        raise _bad(error, "config") from error


def of_graph(chunks: Iterable[bytes], kind: uploads.GraphKind, *, name: str, form: str = "") -> Subject:
    """A graph that is sent piece by piece. One is counted at a time.

    :raises BadEstimate: it cannot be read or counted.
    :raises Busy: others are being counted.
    """
    with _turn():
        try:
            found = uploads.count(chunks, kind, name=name, form=form or UNQUANTISED)
        except TokenStandardError as error:
            raise _bad(error, "number_format" if isinstance(error, InvalidConfig) else "graph") from error
    if isinstance(found, Program):
        return Subject(name, None, "", True, program=found, form=form or UNQUANTISED)
    return Subject(name, found, "", True, form=found.format.name)


def trace(raw: bytes, name: str) -> list[Requests]:
    """The requests of a trace that was sent, equal ones put together.

    :raises BadEstimate: it is none; the message names the line.
    """
    counted: dict[tuple[int, int, int], int] = {}
    try:
        for row in uploads.read_trace(raw, name):
            counted[row] = counted.get(row, 0) + 1
    except TokenStandardError as error:
        raise _bad(error, "trace") from error
    return [Requests(n, c, g, count) for (n, c, g), count in counted.items()]


def check_digest(subject: Subject, expected: str) -> None:
    """Refuse a card that is not the expected one; its full digest, or the short one.

    :raises DigestDiffers: it is another.
    """
    known = {subject.digest, subject.digest[:16], f"card_{subject.digest[:16]}"} if subject.digest else set()
    if expected.lower() not in known:
        found = f"card_{subject.digest[:16]}" if subject.digest else "none, for a graph is no card"
        raise DigestDiffers(f"The card's digest is {found}, not the expected one.", digest=subject.digest)


def costed(
    subject: Subject, requests: Sequence[Requests], *, grade: str, organisation_id: UUID | None, now: datetime
) -> Costed:
    """Value requests, and price them where the market trades this card.

    :raises NoCache: cached or output tokens of a graph that has no cache.
    """
    return priced_at(
        subject, _estimate(subject, requests), requests, grade=grade, organisation_id=organisation_id, now=now
    )


def priced_at(
    subject: Subject, found: Estimate, requests: Sequence[Requests], *, grade: str, organisation_id: UUID | None,
    now: datetime,
) -> Costed:  # fmt: skip
    """An estimate with the market's prices."""
    price, hours = None, tuple[HourPrice, ...]()
    if subject.line is not None:
        slug = subject.line.slug
        price = selectors.price_now(slug, grade, organisation_id=organisation_id, now=now)
        hours = tuple(selectors.hours_ahead(slug, grade, organisation_id=organisation_id, now=now))
    parts = None
    if subject.priced is not None:
        each = [
            (usage.shares(subject.priced, n=one.uncached, c=one.cached, g=one.output), one.count) for one in requests
        ]
        parts = usage.Shares(
            *(sum((getattr(share, kind) * count for share, count in each), Fraction(0)) for kind in _KINDS)
        )
    return Costed(
        subject, found, parts, grade, price, cost(found, price.price_micros) if price else None, hours,
        _beyond_context(subject, requests),
    )  # fmt: skip


def _beyond_context(subject: Subject, requests: Sequence[Requests]) -> int:
    if subject.line is None:
        return 0
    most = subject.line.context_limit
    return sum(one.count for one in requests if one.uncached + one.cached + one.output > most)


_KINDS = ("input", "cached", "output")


def _estimate(subject: Subject, requests: Sequence[Requests]) -> Estimate:
    if subject.program is not None:
        if any(one.cached or one.output for one in requests):
            raise NoCache("A StableHLO module is one program of fixed shapes: leave cached and output tokens at 0.")
        st = subject.program.st(named_format(subject.form))
        return estimates.of_runs(st, sum(one.count for one in requests))
    assert subject.priced is not None
    if not subject.has_cache and any(one.cached or one.output for one in requests):
        raise NoCache("The graph has no key/value cache: export it with past_key_values, or leave these at 0.")
    return estimates.weighted(subject.priced, ((one.uncached, one.cached, one.output, one.count) for one in requests))


def curve(subject: Subject) -> list[tuple[int, Fraction, Fraction | None]]:
    """(context, ST of a prompt token as a mean, ST of an output token) at lengths up to the model's context."""
    if subject.priced is None:
        return []
    most = subject.line.context_limit if subject.line else USUAL_CONTEXT
    priced = subject.priced
    return [
        (
            context,
            usage.st_per_prompt(priced, prompt=context),
            usage.st_per_generated(priced, context=context) if subject.has_cache else None,
        )
        for context in CONTEXTS
        if context <= most
    ]


def with_title(subject: Subject, title: str) -> Subject:
    """The same under the name that its sender gave it."""
    return replace(subject, title=title[:80]) if title else subject


@contextmanager
def _turn() -> Iterator[None]:
    if not _counting.acquire(timeout=WAIT_SECONDS):
        raise Busy("Other model files are being counted; try again in a moment.")
    try:
        yield
    finally:
        _counting.release()


def _bad(error: TokenStandardError, field: str) -> BadEstimate:
    inner = getattr(error, "field", "") or ""
    return BadEstimate(str(error), field=field, reason=error.code, inner=inner)
