"""Continuous batching in steps, a prefix cache in blocks, speculation by n-grams, and what is counted of them."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

import numpy as np

from tests.fakes.llama.model import END, Floats, Llama, Sequence

BLOCK = 16  # positions that the prefix cache keeps or drops together
MOST_BLOCKS = 4_096
_NGRAM = 2
_DRAFT = 3


@dataclass
class Request:
    """One request: what to go on from, how far; its tokens come through ``output``, None at the end."""

    prompt: list[int]
    limit: int
    temperature: float = 0.0
    seed: int = 0
    ignore_end: bool = False
    output: queue.SimpleQueue[int | None] = field(default_factory=queue.SimpleQueue)
    cached: int = 0
    generated: int = 0
    finish_reason: str | None = None
    cancelled: bool = False
    sequence: Sequence | None = None


@dataclass
class Counts:
    """What a process counted since its start."""

    started: float = field(default_factory=time.time)
    of: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=lambda: Counter({"stop": 0, "length": 0, "abort": 0}))
    accepted_at: Counter[int] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)


class PrefixCache:
    """Keys and values of whole blocks by the tokens from the start to the block's end."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[int, ...], tuple[Floats, Floats]] = OrderedDict()

    def fill(self, sequence: Sequence) -> int:
        """Copy the longest known prefix in; the last token is always computed. Gives its length."""
        while sequence.computed + BLOCK < len(sequence.tokens):
            end = sequence.computed + BLOCK
            found = self._blocks.get(tuple(sequence.tokens[:end]))
            if found is None:
                break
            self._blocks.move_to_end(tuple(sequence.tokens[:end]))
            sequence.keys[:, end - BLOCK : end], sequence.values[:, end - BLOCK : end] = found
            sequence.computed = end
        return sequence.computed

    def keep(self, sequence: Sequence) -> None:
        """Remember every whole block that was computed."""
        for end in range(BLOCK, sequence.computed + 1, BLOCK):
            part = slice(end - BLOCK, end)
            key = tuple(sequence.tokens[:end])
            if key not in self._blocks:
                self._blocks[key] = (sequence.keys[:, part].copy(), sequence.values[:, part].copy())
        while len(self._blocks) > MOST_BLOCKS:
            self._blocks.popitem(last=False)


class Scheduler:
    """Runs the model in a thread of its own; each step serves every running request once."""

    def __init__(self, model: Llama, *, most_running: int = 8, speculate: bool = False, overrun: int = 0) -> None:
        self.model, self.counts, self.lock = model, Counts(), threading.Lock()
        self.running: list[Request] = []
        self.waiting: list[Request] = []
        self._cache, self._most, self._speculate, self._overrun = PrefixCache(), most_running, speculate, overrun
        self._work = threading.Condition(self.lock)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request."""
        with self._work:
            self.waiting.append(request)
            self._work.notify()

    def stop(self) -> None:
        """End the thread; requests under way end as aborted."""
        with self._work:
            self._stopped = True
            self._work.notify()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._stopped or self.running or self.waiting)
                if self._stopped:
                    for request in [*self.running, *self.waiting]:
                        self._finish(request, "abort")
                    return
                while self.waiting and len(self.running) < self._most:
                    self.running.append(self.waiting.pop(0))
            self._step()

    def _step(self) -> None:
        """One iteration. Its counts become visible together, as an engine's do."""
        produced = [(request, *self._advance(request)) for request in self.running if not request.cancelled]
        with self.lock:
            for request, prompt, tokens in produced:
                self._count(request, prompt, tokens)
                for token in tokens:
                    request.output.put(token)
                if request.finish_reason:
                    self._finish(request, request.finish_reason)
            for request in [request for request in self.running if request.cancelled]:
                self._finish(request, "abort")

    def _count(self, request: Request, prompt: int, tokens: list[int]) -> None:
        of = self.counts.of
        if prompt:
            of["prompt"] += prompt
            of["cached"] += request.cached
            of["iteration"] += prompt - request.cached
        of["generated"] += len(tokens)
        of["iteration"] += len(tokens)
        of["steps"] += 1

    def _advance(self, request: Request) -> tuple[int, list[int]]:
        """Read the prompt, or generate; gives the prompt tokens read and the new tokens."""
        began, prompt = time.perf_counter(), 0
        if request.sequence is None:
            prompt = len(request.prompt)
            room = request.limit + self._overrun + _DRAFT + 1
            request.sequence = Sequence.of(self.model.shape, request.prompt, room)
            request.cached = self._cache.fill(request.sequence)
        sequence = request.sequence
        drafts = [] if prompt or not self._speculate or request.temperature else _drafts(sequence.tokens)
        sequence.tokens += drafts
        logits = self.model.forward(sequence, len(sequence.tokens))
        known = len(sequence.tokens) - len(drafts)
        tokens = self._accept(request, logits, drafts)
        del sequence.tokens[known:]
        sequence.tokens += tokens
        sequence.computed = min(sequence.computed, len(sequence.tokens) - 1)
        if prompt:
            self._cache.keep(sequence)
        self.counts.seconds["prompt" if prompt else "decode"] += time.perf_counter() - began
        return prompt, tokens

    def _accept(self, request: Request, logits: Floats, drafts: list[int]) -> list[int]:
        """The drafts that the model would have chosen too, and its own next token."""
        tokens: list[int] = []
        for offset in range(len(drafts) + 1):
            token = _choose(request, logits[len(logits) - len(drafts) - 1 + offset])
            tokens.append(token)
            request.generated += 1
            if token == END and not request.ignore_end:
                request.finish_reason = "stop"
            elif request.generated >= request.limit + self._overrun:
                request.finish_reason = "length"
            if request.finish_reason or offset == len(drafts) or token != drafts[offset]:
                break
        if drafts:
            self._count_drafts(drafts, tokens)
        return tokens

    def _count_drafts(self, drafts: list[int], tokens: list[int]) -> None:
        matching = [a == b for a, b in zip(drafts, tokens, strict=False)]
        accepted = next((i for i, same in enumerate(matching) if not same), len(matching))
        with self.lock:
            self.counts.of.update(drafts=1, drafted=len(drafts), accepted=accepted)
            self.counts.accepted_at.update(range(accepted))

    def _finish(self, request: Request, reason: str) -> None:
        request.finish_reason = reason
        self.counts.finished[reason] += 1
        of = self.counts.of
        of["finished prompt"] += len(request.prompt)
        of["finished cached"] += request.cached
        of["finished generated"] += request.generated
        for group in (self.running, self.waiting):
            if request in group:
                group.remove(request)
        request.output.put(None)


def _choose(request: Request, logits: Floats) -> int:
    """Greedy, or by a chance that only the request's seed and the position decide."""
    if not request.temperature:
        return int(logits.argmax())
    weights = np.exp((logits - logits.max()) / request.temperature)
    chance = np.random.default_rng([request.seed, request.generated])
    return int(chance.choice(len(logits), p=weights / weights.sum()))


def _drafts(tokens: list[int]) -> list[int]:
    """What followed the last time these two tokens stood together."""
    last = tokens[-_NGRAM:]
    for start in range(len(tokens) - _NGRAM - 1, -1, -1):
        if tokens[start : start + _NGRAM] == last:
            return tokens[start + _NGRAM : start + _NGRAM + _DRAFT]
    return []
