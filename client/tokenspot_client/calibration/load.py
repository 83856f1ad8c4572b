"""A shape of requests at load: a bounded number always under way, and what the engine finished, window by window.

A window is as many completions as requests are under way. Where all run in step, as they do when all are alike, each
window then begins and ends at the same point of the step, and nothing half done is counted at either edge.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from token_standard.ratings import Requests, Run, Window
from tokenspot_client.calibration import prompts
from tokenspot_client.calibration.engine import Engine, Refused
from tokenspot_client.calibration.problems import CalibrationProblem
from tokenspot_client.engines import Usage

_MICRO = 10**6
_PROBE_LIMIT = 1


@dataclass(frozen=True)
class Shape:
    """Prompt and generated tokens of the requests of a run."""

    prompt: int
    limit: int

    def __str__(self) -> str:
        return f"{self.prompt}/{self.limit}"


@dataclass(frozen=True)
class Load:
    """How a shape is run: ``concurrency`` requests always under way, ``windows`` counted after one of warm-up."""

    concurrency: int
    windows: int
    devices: int
    seed: int = 1


@dataclass(frozen=True)
class Measured:
    """A run, and what was odd about its answers."""

    run: Run
    seconds: Fraction  # of wall time
    overrun: int  # tokens generated beyond what was asked for; never counted
    short: int  # answers that ended before what was asked for
    silent: int  # answers whose engine did not say how much of the prompt it had cached

    @property
    def requests(self) -> int:
        return self.run.totals.times


async def measure_words(engine: Engine, chance: random.Random) -> prompts.Measure:
    """How many tokens the engine makes of words, from two short requests.

    :raises CalibrationProblem: as :meth:`Engine.ask`.
    """
    tokens = [
        (await engine.ask(prompts.text(words, chance), limit=_PROBE_LIMIT)).prompt
        for words in (prompts.SHORT_PROBE, prompts.LONG_PROBE)
    ]
    return prompts.Measure.of(*tokens)


async def run_shape(
    engine: Engine,
    shape: Shape,
    load: Load,
    measure: prompts.Measure,
    *,
    tell: Callable[[int], None] = lambda _number: None,
) -> Measured:
    """Keep the engine busy with one shape until the last window is full; ``tell`` hears of each full one, 0 is warm-up.

    :raises CalibrationProblem: the first request that failed, or no tokens at all.
    """
    wanted = load.concurrency * (load.windows + 1)  # the first window is warm-up
    words = measure.words(shape.prompt)
    chance = random.Random(f"{load.seed}/{shape}")  # noqa: S311 - words, not a secret
    finished: list[tuple[int, Usage]] = []
    full = asyncio.Event()

    async def keep_asking() -> None:
        while not full.is_set():
            usage = await engine.ask(prompts.text(words, chance), limit=shape.limit)
            finished.append((time.perf_counter_ns(), usage))
            number, inside = divmod(len(finished), load.concurrency)
            if not inside and len(finished) <= wanted:
                tell(number - 1)
            if len(finished) >= wanted:
                full.set()

    await _until(full, [keep_asking() for _ in range(load.concurrency)])
    return _measured(shape, load, finished[:wanted])


async def _until(full: asyncio.Event, workers: list[object]) -> None:
    """Run the workers until the event; what is under way then is dropped. The first failure ends all."""
    tasks = [asyncio.ensure_future(worker) for worker in workers]  # type: ignore[call-overload]
    waiting = asyncio.ensure_future(full.wait())
    try:
        while not waiting.done():
            done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                tasks.remove(task)
                task.result()
    finally:
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)


def _measured(shape: Shape, load: Load, finished: list[tuple[int, Usage]]) -> Measured:
    size = load.concurrency
    marks = [finished[number * size - 1][0] // 1000 for number in range(1, load.windows + 2)]  # microseconds
    counted = [usage for _, usage in finished[size:]]
    windows = tuple(
        Window(
            Fraction((marks[number + 1] - marks[number]) * load.devices, _MICRO),
            _grouped(counted[number * size : (number + 1) * size]),
        )
        for number in range(load.windows)
    )
    if not any(usage.billable for usage in counted):
        raise CalibrationProblem("no_tokens", f"the engine generated nothing for shape {shape}")
    return Measured(
        run=Run(shape.prompt, shape.limit, windows),
        seconds=Fraction(marks[-1] - marks[0], _MICRO),
        overrun=sum(usage.overrun for usage in counted),
        short=sum(usage.generated < shape.limit for usage in counted),
        silent=sum(usage.cached is None for usage in counted),
    )


def _grouped(usages: list[Usage]) -> tuple[Requests, ...]:
    """Equal counts together. What an engine does not say of its cache is taken as none: the prompts were random."""
    counts = Counter((usage.prompt - (usage.cached or 0), usage.cached or 0, usage.billable) for usage in usages)
    return tuple(Requests(n, c, g, times) for (n, c, g), times in sorted(counts.items()))


__all__ = ["Load", "Measured", "Refused", "Shape", "measure_words", "run_shape"]
