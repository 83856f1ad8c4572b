"""What an engine says of itself at one instant, in one vocabulary for all engines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tokenspot_client.engines.exposition import Exposition, MalformedMetrics, Sample

MOST = 2**53  # a counter kept as a 64-bit float is no longer exact beyond
PROCESS_START = "process_start_time_seconds"
_PARTS_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count", "_created", "_total")

Series = tuple[str, tuple[tuple[str, str], ...]]


class MissingCounters(MalformedMetrics):
    """A name that this engine always sends is not there: cut short, another version, or metrics switched off."""

    code = "missing_counters"


class UnknownEngine(MalformedMetrics):
    """No known engine's names, or those of several."""

    code = "unknown_engine"


@dataclass(frozen=True)
class Names:
    """Where one engine keeps what. Of several spellings the first that the text has is read, newest first.

    ``prompt`` counts all prompt tokens, ``computed`` those that no cache served. A field without spellings is
    something the engine does not say: it stays None, never zero.
    """

    engine: str
    prefixes: tuple[str, ...]  # a text with such a name comes from this engine
    required: tuple[tuple[str, ...], ...] = ()  # one spelling of each must be there
    model_label: str = "model_name"
    prompt: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    cached_inexact: tuple[str, ...] = ()  # spellings of `cached` that also count what preemption looked up again
    generated: tuple[str, ...] = ()
    iteration: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    drafted: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    prompt_by: tuple[str, str] | None = None  # (name, label)
    cached_by: tuple[str, str] | None = None
    accepted_by: tuple[str, str] | None = None
    finished_by: tuple[str, str] | None = None
    finished: Mapping[str, str] = field(default_factory=dict)  # name by reason, where there is no label
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    seconds: Mapping[str, tuple[str, float]] = field(default_factory=dict)  # what → (name, seconds a unit)
    other_tokens: frozenset[str] = frozenset()  # families that speak of tokens and are known not to be usage
    versions: tuple[tuple[str, str], ...] = ()  # (a name that tells, the version it tells), newest first
    significant_digits: int | None = None  # the engine prints no more of a number
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """One reading. Counts are tokens since the engine's start; None is what the engine does not say."""

    engine: str
    version: str | None  # a guess by the names
    process_start: float | None  # seconds since 1970
    models: tuple[str, ...]
    prompt: int | None
    computed: int | None
    cached: int | None
    generated: int | None
    iteration: int | None
    drafts: int | None
    drafted: int | None
    accepted: int | None
    prompt_by_source: Mapping[str, int]
    cached_by_source: Mapping[str, int]
    accepted_by_position: Mapping[str, int]
    finished: Mapping[str, int]
    running: int | None
    waiting: int | None
    seconds: Mapping[str, float]
    cached_exact: bool
    rounded: Mapping[str, int]  # field → the step that its last digit stands for, where the engine rounds
    unknown: tuple[str, ...]  # families that look like tokens and that nobody here knows
    notes: tuple[str, ...]
    series: Mapping[Series, float] = field(repr=False)  # every counter read, for finding a restart

    @property
    def tells_tokens(self) -> bool:
        return self.generated is not None

    @property
    def in_flight(self) -> int | None:
        """Requests running or waiting; None when the engine says neither."""
        known = [count for count in (self.running, self.waiting) if count is not None]
        return sum(known) if known else None


def build(
    names: Names, text: Exposition, *, model: str | None, process_start: float | None, also_known: frozenset[str]
) -> Snapshot:
    """Fill a snapshot by an engine's names; only the series of `model`, or all.

    :raises MissingCounters: a required name is not there.
    :raises MalformedMetrics: a count that is not whole, below zero or beyond 2^53.
    """
    for spellings in names.required:
        if not any(text.says(name) for name in spellings):
            raise MissingCounters(f"{names.engine}: {' or '.join(spellings)} is not among the metrics")
    reading = _Reading(names, text, model)
    cached, computed, prompt = (reading.count(f) for f in ("cached", "computed", "prompt"))
    cached_by = reading.by(names.cached_by)
    if computed is None and prompt is not None and cached is not None and cached <= prompt:
        computed = prompt - cached
    started = text.samples.get(PROCESS_START)
    return Snapshot(
        engine=names.engine,
        version=next((version for name, version in names.versions if text.says(name)), None),
        process_start=process_start if process_start is not None else started[0].value if started else None,
        models=reading.models(),
        prompt=prompt,
        computed=computed,
        cached=cached,
        generated=reading.count("generated"),
        iteration=reading.count("iteration"),
        drafts=reading.count("drafts"),
        drafted=reading.count("drafted"),
        accepted=reading.count("accepted"),
        prompt_by_source=reading.by(names.prompt_by),
        cached_by_source=cached_by,
        accepted_by_position=reading.by(names.accepted_by),
        finished=reading.finished(),
        running=reading.gauge(names.running),
        waiting=reading.gauge(names.waiting),
        seconds=reading.seconds(),
        cached_exact=reading.spelling("cached") not in names.cached_inexact,
        rounded=reading.rounded,
        unknown=_unknown(names, text, also_known),
        notes=names.notes,
        series=reading.series,
    )


class _Reading:
    """Takes values out of a text, each checked, and remembers the counters it took."""

    def __init__(self, names: Names, text: Exposition, model: str | None) -> None:
        self._names, self._text, self._model = names, text, model
        self.series: dict[Series, float] = {}
        self.rounded: dict[str, int] = {}

    def spelling(self, what: str) -> str | None:
        spellings: tuple[str, ...] = getattr(self._names, what)
        return next((name for name in spellings if self._text.says(name)), None)

    def models(self) -> tuple[str, ...]:
        labels = (s.label(self._names.model_label) for group in self._text.samples.values() for s in group)
        return tuple(sorted({label for label in labels if label}))

    def count(self, what: str) -> int | None:
        """Sum of a field's series; None when the engine has no such name."""
        name = self.spelling(what)
        if name is None:
            return None
        total = 0
        for sample in self._of(name):
            total += self._whole(sample)
            if step := self._step(sample):
                self.rounded[what] = max(step, self.rounded.get(what, 0))
        return total

    def by(self, where: tuple[str, str] | None) -> dict[str, int]:
        """Sums of a name's series by one of its labels."""
        sums: dict[str, int] = {}
        if where is not None:
            for sample in self._of(where[0]):
                key = sample.label(where[1]) or ""
                sums[key] = sums.get(key, 0) + self._whole(sample)
        return sums

    def finished(self) -> dict[str, int]:
        found = self.by(self._names.finished_by)
        for reason, name in self._names.finished.items():
            if name in self._text.samples:
                found[reason] = sum(self._whole(sample) for sample in self._of(name))
        return found

    def gauge(self, spellings: tuple[str, ...]) -> int | None:
        """Sum of gauges of all the spellings: an engine may keep one a queue."""
        samples = [sample for name in spellings for sample in self._of(name)]
        return sum(_whole(sample) for sample in samples) if samples else None

    def seconds(self) -> dict[str, float]:
        found = {}
        for what, (name, unit) in self._names.seconds.items():
            if name in self._text.samples:
                found[what] = sum(self._positive(sample) for sample in self._of(name)) * unit
        return found

    def _of(self, name: str) -> list[Sample]:
        samples = self._text.samples.get(name, ())
        label = self._names.model_label
        return [s for s in samples if self._model is None or s.label(label) in (None, self._model)]

    def _whole(self, sample: Sample) -> int:
        self.series[sample.name, sample.labels] = sample.value
        return _whole(sample)

    def _positive(self, sample: Sample) -> float:
        if not 0 <= sample.value < float("inf"):
            raise MalformedMetrics(f"{sample.name} is {sample.written}, not a length of time", line=sample.line)
        self.series[sample.name, sample.labels] = sample.value
        return sample.value

    def _step(self, sample: Sample) -> int | None:
        """What the last printed digit stands for, where the engine prints too few to tell each token."""
        digits = self._names.significant_digits
        if digits is None or sample.value < 10**digits:
            return None
        return int(10 ** (Decimal(sample.written).adjusted() - digits + 1))


def _whole(sample: Sample) -> int:
    if not 0 <= sample.value <= MOST:  # catches NaN
        what = "beyond 2^53, where a float is no longer exact" if sample.value > MOST else "not a count"
        raise MalformedMetrics(f"{sample.name} is {sample.written}: {what}", line=sample.line)
    if not sample.value.is_integer():
        raise MalformedMetrics(f"{sample.name} is {sample.written}: a count is a whole number", line=sample.line)
    return int(sample.value)


def _unknown(names: Names, text: Exposition, also_known: frozenset[str]) -> tuple[str, ...]:
    """Families that speak of tokens and stand in no map: listed for people, never guessed at."""
    known = known_families(names) | also_known
    found = set()
    for name in text.samples:
        family = text.family_of(name)
        if "token" in family.lower() and not ({name, family, _bare(name)} & known):
            found.add(family)
    return tuple(sorted(found))


def known_families(names: Names) -> frozenset[str]:
    """Every family that an engine's map speaks of, with and without the endings of samples."""
    spelled: set[str] = set(names.other_tokens) | set(names.finished.values())
    for what in ("prompt", "computed", "cached", "generated", "iteration", "drafts", "drafted", "accepted"):
        spelled.update(getattr(names, what))
    spelled.update(where[0] for where in (names.prompt_by, names.cached_by, names.accepted_by) if where)
    spelled.update(name for name, _ in names.seconds.values())
    return frozenset(spelled | {_bare(name) for name in spelled})


def _bare(name: str) -> str:
    return re.sub(f"({'|'.join(_PARTS_OF_A_HISTOGRAM)})+$", "", name)
