"""Metering of an ONNX Runtime session: every run's time and shape; one run of ``every`` is profiled node by node.

Profiling belongs to a session, not to a run, so sampled runs go through a
second session of the same model: it holds the weights once more from the
first sample to the next reading of the table.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from token_standard.cards import Card
from tokenspot_client.hooks.calls import Books, MissingExtra, Request, Totals
from tokenspot_client.hooks.onnx_profile import ProfiledLayer, by_layer, read_profile
from tokenspot_client.hooks.work import CallPrice, CallShape, measured_st, version_of

_PAST = "past_key_values"


class UnknownInputs(ValueError):
    """A feed that does not tell the call's shape."""

    code = "unknown_inputs"


class OnnxMeter:
    """Runs a model as ``InferenceSession.run`` does, and counts.

    :param model: a path, or the model's bytes.
    :param card: what a token costs.
    :param every: one run of so many is profiled; 0 never.
    :param call_of: tells a call's shape by its feed, where :func:`feed_shape` cannot.
    :param options: makes SessionOptions, e.g. with the number of threads.
    :raises MissingExtra: onnxruntime is not installed.
    """

    def __init__(
        self,
        model: str | bytes,
        *,
        card: Card,
        every: int = 100,
        call_of: Callable[[Mapping[str, Any]], CallShape] | None = None,
        options: Callable[[], Any] | None = None,
        providers: Sequence[Any] = ("CPUExecutionProvider",),
    ) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra("onnx") from None
        self._runtime, self._model, self._providers = onnxruntime, model, list(providers)
        self._options = options or onnxruntime.SessionOptions
        self.card, self._every, self._call_of = card, every, call_of or feed_shape
        self.session = onnxruntime.InferenceSession(model, self._options(), providers=self._providers)
        self._books, self._lock = Books(), threading.Lock()
        self._profiling: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._layers: dict[str, ProfiledLayer] = {}
        self._number = 0
        self._price = CallPrice(card)
        self.profiled_runs = 0

    @property
    def prompt(self) -> Totals:
        """Sums over all runs that read prompts."""
        return self._books.prompt

    @property
    def decode(self) -> Totals:
        """Sums over all runs that generated one token a sequence."""
        return self._books.decode

    @contextmanager
    def request(self, *, limit: int | None = None) -> Iterator[Request]:
        """Runs inside belong to one request; afterwards ``request.usage`` has its tokens."""
        with self._books.request(limit) as request:
            yield request

    def run(self, outputs: Sequence[str] | None, feed: Mapping[str, Any]) -> list[Any]:
        """Run once; the answer is the session's."""
        problem, shape = "", None
        try:
            shape = self._call_of(feed)
        except Exception as error:  # never disturb the model
            problem = f"{type(error).__name__}: {error}"
        with self._lock:
            self._number += 1
            sampled = bool(self._every) and self._number % self._every == 0
            session = self._profiled() if sampled else self.session
            self.profiled_runs += sampled
        began = time.perf_counter()
        try:
            answer: list[Any] = session.run(outputs, dict(feed))
        except Exception:
            with self._lock:
                self._books.prompt.failed += 1
            raise
        seconds = time.perf_counter() - began
        with self._lock:
            self._books.call(shape, seconds, 0.0 if shape is None else self._price(shape), problem)
        return answer

    def layer_table(self) -> list[ProfiledLayer]:
        """The layers over all profiled runs so far; ends the second session, which the next sample makes again.

        Call it while no run is under way.

        :raises MalformedProfile: the runtime wrote something else than expected.
        """
        with self._lock:
            if self._profiling is not None and self._folder is not None:
                text = Path(self._profiling.end_profiling()).read_text(encoding="utf-8")
                self._profiling = None
                self._folder.cleanup()
                self._add(by_layer(read_profile(text)))
            return list(self._layers.values())

    def work_st(self, row: ProfiledLayer) -> float:
        """F/P + M/B of a row, by the card's version and format."""
        linear = row.linear_flops / self.card.format.pi
        return float(measured_st(linear, row.attention_flops, row.bytes_moved, version=version_of(self.card)))

    def _profiled(self) -> Any:
        if self._profiling is None:
            self._folder = tempfile.TemporaryDirectory(prefix="tokenspot-onnx-")
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._folder.name) / "profile")
            self._profiling = self._runtime.InferenceSession(self._model, options, providers=self._providers)
        return self._profiling

    def _add(self, rows: list[ProfiledLayer]) -> None:
        for row in rows:
            total = self._layers.setdefault(row.name, ProfiledLayer(row.name))
            total.seconds += row.seconds
            total.linear_flops += row.linear_flops
            total.attention_flops += row.attention_flops
            total.bytes_moved += row.bytes_moved
            total.uncounted |= row.uncounted


def feed_shape(feed: Mapping[str, Any]) -> CallShape:
    """A run's shape by the habits of exported decoders: ``input_ids``, and ``past_key_values…`` with positions third.

    :raises UnknownInputs: the feed does not tell it.
    """
    tokens = feed.get("input_ids")
    if tokens is None or len(tokens.shape) != 2:
        raise UnknownInputs("no input_ids of batch × positions: give call_of")
    past = next((value.shape[2] for name, value in feed.items() if name.startswith(_PAST)), 0)
    return CallShape(int(tokens.shape[0]), int(tokens.shape[1]), int(past))
