"""What a meter keeps: calls, layers and requests. Pure bookkeeping, shared by all hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from tokenspot_client.engines.usage import Usage
from tokenspot_client.hooks.work import CallShape


class NotCounted(ValueError):
    """A request whose tokens the calls alone do not tell: say them with ``request.count``."""

    code = "not_counted"


class MissingExtra(ImportError):
    """The framework that a meter needs is not installed."""

    code = "missing_extra"

    def __init__(self, extra: str) -> None:
        super().__init__(f"install the framework: pip install 'tokenspot-client[{extra}]'")


@dataclass
class Totals:
    """Sums over calls."""

    calls: int = 0
    failed: int = 0  # raised by the model
    unread: int = 0  # calls whose shape could not be read
    positions: int = 0
    seconds: float = 0.0
    nominal_st: float = 0.0
    last_problem: str = ""


@dataclass
class LayerRow:
    """One layer over its sampled calls."""

    name: str
    calls: int = 0
    seconds: float = 0.0
    linear_flops: int = 0
    attention_flops: int = 0
    bytes_moved: int = 0
    work_st: float = 0.0
    nominal_st: float = 0.0

    @property
    def flops(self) -> int:
        return self.linear_flops + self.attention_flops


@dataclass
class Request:
    """The calls of one request of one sequence, in order."""

    limit: int | None = None
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    finish_reason: str | None = None
    _seen: int = 0
    _decoding: bool = False
    _problem: str = ""
    _said: Usage | None = field(default=None, repr=False)

    def add(self, shape: CallShape | None) -> None:
        """Take one call in: first the prompt, in one call or several, then one position a token."""
        if shape is None:
            self._problem = self._problem or "a call's shape could not be read"
            return
        if shape.batch != 1:
            self._problem = "a batch of several sequences"
        elif not self._seen:
            self.cached, self.prompt, self.generated = shape.past, shape.past + shape.new, 1
        elif shape.past != self._seen:
            self._problem = f"a call goes on from {shape.past} positions where {self._seen} were computed"
        elif shape.new == 1:
            self.generated, self._decoding = self.generated + 1, True
        elif not self._decoding:
            self.prompt += shape.new
        else:
            self._problem = "a call of several positions while generating (speculation)"
        self._seen = shape.past + shape.new

    def count(self, *, prompt: int, generated: int, cached: int | None = None) -> None:
        """Say the tokens, where calls do not tell them: batches, speculation."""
        self._said = Usage(prompt, generated, cached, limit=self.limit, finish_reason=self.finish_reason)

    @property
    def usage(self) -> Usage:
        """The request's tokens.

        :raises NotCounted: the calls do not tell them, and nobody said them.
        """
        if self._said is not None:
            return self._said
        if self._problem or not self._seen:
            raise NotCounted(self._problem or "no call was seen")
        return Usage(self.prompt, self.generated, self.cached, limit=self.limit, finish_reason=self.finish_reason)


@dataclass
class Books:
    """All that one meter counted since :meth:`clear`."""

    prompt: Totals = field(default_factory=Totals)
    decode: Totals = field(default_factory=Totals)
    layers: dict[str, LayerRow] = field(default_factory=dict)
    _current: ContextVar[Request | None] = field(default_factory=lambda: ContextVar("request", default=None))

    def clear(self) -> None:
        """Forget everything."""
        self.prompt, self.decode = Totals(), Totals()
        self.layers.clear()

    @contextmanager
    def request(self, limit: int | None) -> Iterator[Request]:
        """Calls made inside, in this thread or task, belong to the request."""
        request = Request(limit)
        token = self._current.set(request)
        try:
            yield request
        finally:
            self._current.reset(token)

    def call(self, shape: CallShape | None, seconds: float, nominal_st: float, problem: str = "") -> None:
        """Note one call; without a shape it is counted as unread."""
        request = self._current.get()
        if request is not None:
            request.add(shape)
        totals = self.decode if shape is not None and shape.decode else self.prompt
        totals.calls += 1
        totals.seconds += seconds
        if shape is None:
            totals.unread += 1
            totals.last_problem = problem
            return
        totals.positions += shape.positions
        totals.nominal_st += nominal_st

    def layer(self, name: str) -> LayerRow:
        return self.layers.setdefault(name, LayerRow(name))

    def table(self) -> list[LayerRow]:
        """The sampled layers in the order in which they were first seen."""
        return list(self.layers.values())
