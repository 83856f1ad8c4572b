"""Prometheus text into samples. Pure; what cannot be read is refused with its line, and nothing becomes zero.

Reads text format 0.0.4 and the part of OpenMetrics that engines send. Source:
prometheus.io, "Exposition formats".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_CHARACTERS = 32 * 1024 * 1024
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Inf|NaN", re.IGNORECASE)
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_NEVER_BELOW_ZERO = ("counter", "histogram")
_PARTS = ("_bucket", "_sum", "_count", "_total", "_created")


class MalformedMetrics(ValueError):
    """The text is no complete set of metrics. ``line`` counts from 1; 0 is the text as a whole."""

    code = "malformed_metrics"

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a name with labels, its value, and the value as it was written."""

    name: str
    labels: tuple[tuple[str, str], ...]  # sorted
    value: float
    written: str
    line: int

    def label(self, name: str) -> str | None:
        """The label's value, or None."""
        return next((value for key, value in self.labels if key == name), None)


@dataclass(frozen=True)
class Exposition:
    """All samples of a text by name, in order, and the families' types."""

    samples: Mapping[str, tuple[Sample, ...]]
    types: Mapping[str, str]
    last_words: str = ""  # the family that the last line declares: its samples may have been cut off

    def says(self, name: str) -> bool:
        """Whether the name is there: with samples, or declared as one of which nothing was counted so far."""
        return name in self.samples or (name in self.types and name != self.last_words)

    def family_of(self, name: str) -> str:
        """The declared family that a sample belongs to; an undeclared one is its own."""
        for part in ("", *_PARTS):
            family = name.removesuffix(part) if part else name
            if family in self.types and name.endswith(part):
                return family
        return name


def parse(text: str) -> Exposition:
    """Read a whole text.

    :raises MalformedMetrics: HTML or JSON, an unreadable line, a text cut short, a counter below zero or not a number,
        the same series twice, a histogram without its sum.
    """
    _check_whole(text)
    samples: dict[str, list[Sample]] = {}
    types: dict[str, str] = {}
    seen: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#"):
            _comment(line, number, types)
        elif line.strip():
            sample = _sample(line.strip(), number)
            if earlier := seen.get((sample.name, sample.labels)):
                raise MalformedMetrics(f"{sample.name} with these labels stands on line {earlier} too", line=number)
            seen[sample.name, sample.labels] = number
            samples.setdefault(sample.name, []).append(sample)
    if not samples:
        raise MalformedMetrics("no metrics at all")
    last = text.rstrip("\n").rsplit("\n", 1)[-1].split()
    last_words = last[2] if last[:1] == ["#"] and len(last) > 2 else ""
    read = Exposition({name: tuple(group) for name, group in samples.items()}, types, last_words)
    _check_values(read)
    _check_histograms(read)
    return read


def _check_whole(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise MalformedMetrics(f"more than {MAX_CHARACTERS} characters of metrics")
    start = text.lstrip()[:1]
    if not start:
        raise MalformedMetrics("no metrics at all")
    if start in "<{[":
        what = "HTML or XML" if start == "<" else "JSON"
        raise MalformedMetrics(f"{what} instead of metrics: {text.lstrip()[:60]!r}", line=1)
    if not text.endswith("\n"):
        raise MalformedMetrics("the text ends in the middle of a line: it was cut short", line=text.count("\n") + 1)


def _comment(line: str, number: int, types: dict[str, str]) -> None:
    words = line.split()
    if len(words) >= 2 and words[1] == "TYPE":
        if len(words) != 4:
            raise MalformedMetrics("a TYPE line names a metric and its type", line=number)
        types[words[2]] = words[3].lower()


def _sample(line: str, number: int) -> Sample:
    match = _NAME.match(line)
    if match is None:
        raise MalformedMetrics(f"no metric name: {line[:60]!r}", line=number)
    name, rest = match.group(), line[match.end() :]
    labels: tuple[tuple[str, str], ...] = ()
    if rest.lstrip().startswith("{"):
        labels, rest = _labels(rest.lstrip()[1:], number)
    elif not rest[:1].isspace():
        raise MalformedMetrics(f"no value after {name}", line=number)
    words = rest.split("#", 1)[0].split()  # an exemplar may follow
    if not 1 <= len(words) <= 2:
        raise MalformedMetrics(f"{name} has no single value", line=number)
    for word in words:
        if not _NUMBER.fullmatch(word):
            raise MalformedMetrics(f"{word[:40]!r} is no number", line=number)
    return Sample(name, labels, float(words[0]), words[0], number)


def _labels(rest: str, number: int) -> tuple[tuple[tuple[str, str], ...], str]:
    found: dict[str, str] = {}
    at = 0
    while not rest[at:].lstrip().startswith("}"):
        match = _LABEL.match(rest, at)
        if match is None:
            raise MalformedMetrics(f"unreadable labels: {rest[at : at + 60]!r}", line=number)
        if match.group(1) in found:
            raise MalformedMetrics(f"the label {match.group(1)} stands twice", line=number)
        found[match.group(1)] = re.sub(r"\\[\\\"n]", lambda escape: _ESCAPES[escape.group()], match.group(2))
        at = match.end()
    return tuple(sorted(found.items())), rest[at:].lstrip()[1:]


def _check_values(read: Exposition) -> None:
    for sample in _all(read):
        kind = read.types.get(read.family_of(sample.name))
        if kind in _NEVER_BELOW_ZERO and not sample.value >= 0:
            raise MalformedMetrics(f"the {kind} {sample.name} is {sample.written}", line=sample.line)


def _check_histograms(read: Exposition) -> None:
    """A text cut between two lines shows itself by a histogram that lost its end."""
    for family in (name for name, kind in read.types.items() if kind == "histogram"):
        buckets = read.samples.get(f"{family}_bucket", ())
        others = {part: {s.labels for s in read.samples.get(f"{family}{part}", ())} for part in ("_sum", "_count")}
        wanted = {_without_bound(sample) for sample in buckets} | others["_sum"] | others["_count"]
        ended = {_without_bound(s) for s in buckets if _is_infinite(s.label("le"))}
        for labels in wanted:
            complete = all(labels in group for group in others.values()) and (not buckets or labels in ended)
            if not complete:
                line = max(sample.line for sample in _all(read) if read.family_of(sample.name) == family)
                raise MalformedMetrics(f"the histogram {family} is not complete: the text was cut short", line=line)


def _without_bound(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in sample.labels if pair[0] != "le")


def _is_infinite(bound: str | None) -> bool:
    try:
        return bound is not None and math.isinf(float(bound))
    except ValueError:
        return False


def _all(read: Exposition) -> Iterator[Sample]:
    for group in read.samples.values():
        yield from group
