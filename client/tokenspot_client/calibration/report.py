"""A calibration in words and in JSON: the runs, the rating, and what goes to the platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from token_standard.cards import Card
from token_standard.figures import decimal, significant
from token_standard.ratings import MIX_NAME, Cost, Rating, Run, Window
from tokenspot_client.calibration.load import Measured

_UNBOUND = "no bound"


@dataclass(frozen=True)
class Setup:
    """What a rating holds for: another engine, version, driver, format or parallelism needs another rating."""

    engine: str
    engine_version: str
    driver: str
    served_format: str
    tensor_parallel: int
    devices: int

    def to_json(self) -> dict[str, Any]:
        """As the platform takes it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def table(rating: Rating, *, devices: int) -> str:
    """The rating as text: GPU-seconds a million ST, and ST/s of one device and of all."""
    lines = [f"{'':<10}{'GPU-s per M ST':>16}{'ST/s a device':>16}{'95 % interval':>24}{f'ST/s of {devices}':>16}"]
    for name, cost in (("compute", rating.compute), ("memory", rating.memory), ("blended", rating.blended)):
        rate = cost.rate
        interval = f"{significant(rate.low)} to {_number(rate.high)}"
        whole = None if rate.point is None else rate.point * devices
        per_million = significant(cost.point * 10**6)
        lines.append(f"{name:<10}{per_million:>16}{_number(rate.point):>16}{interval:>24}{_number(whole):>16}")
    lines.append(
        f"blended: mix {MIX_NAME}; the shapes' memory shares lie {decimal(rating.separation * 100, 1)} % apart; "
        f"residual {decimal(rating.residual * 100, 1)} %"
    )
    if rating.reduced:
        lines.append("reduced: other shapes than 2048/128 and 128/2048 were run, or answers fell short of them")
    return "\n".join(lines)


def run_line(measured: Measured, *, devices: int) -> str:
    """One run as text."""
    n, c, g, times = measured.run.totals
    shape = f"{measured.run.prompt}/{measured.run.limit}"
    return (
        f"{shape}: {times} requests in {decimal(measured.seconds, 1)} s on {devices} devices, a request "
        f"{decimal(Fraction(n + c, times), 1)} prompt ({decimal(Fraction(c, times), 1)} cached) and "
        f"{decimal(Fraction(g, times), 1)} generated tokens"
    )


def oddities(measured: Measured) -> list[str]:
    """What a reader should know of a run's answers, in whole sentences."""
    found, times, shape = [], measured.requests, f"{measured.run.prompt}/{measured.run.limit}"
    if measured.overrun:
        found.append(
            f"{shape}: the engine generated {measured.overrun} tokens beyond max_tokens. They are delivered and never "
            "billed, so they count as lost time."
        )
    if measured.short:
        found.append(
            f"{shape}: {measured.short} of {times} answers ended before max_tokens: the engine does not heed ignore_eos."
        )
    if measured.silent:
        found.append(
            f"{shape}: {measured.silent} of {times} answers do not say how much of the prompt was cached. The prompts "
            "are random words, so nothing is assumed."
        )
    return found


def submission(card: Card, setup: Setup, runs: Sequence[Measured], concurrency: int, at: datetime) -> dict[str, Any]:
    """The body of `POST /provider/deployments/{id}/ratings`: what was measured, and no conclusion."""
    return {
        "card": card.digest,
        **setup.to_json(),
        "measured_at": _instant(at),
        "runs": [_run(each.run, setup.devices, concurrency) for each in runs],
    }


def check_submission(card: Card, setup: Setup, measured: Measured, at: datetime) -> dict[str, Any]:
    """The body of `POST /provider/deployments/{id}/rating-checks`: the run as one window."""
    requests = [list(each) for window in measured.run.windows for each in window.requests]
    window = {"seconds": decimal(measured.seconds, 6), "requests": requests}
    return {"card": card.digest, **setup.to_json(), "measured_at": _instant(at), "window": window}


def solution(rating: Rating) -> dict[str, Any]:
    """The rating as JSON, ST/s of one device, for `--json`."""
    return {
        "mix": MIX_NAME,
        "reduced": rating.reduced,
        "separation": decimal(rating.separation, 6),
        "residual": decimal(rating.residual, 6),
        **{name: _rate(getattr(rating, name)) for name in ("compute", "memory", "blended")},
    }


def _rate(cost: Cost) -> dict[str, Any]:
    rate = cost.rate
    return {
        "gpu_seconds_per_st": significant(cost.point, 6),
        "st_per_second": None if rate.point is None else significant(rate.point, 6),
        "low": significant(rate.low, 6),
        "high": None if rate.high is None else significant(rate.high, 6),
    }


def _run(run: Run, devices: int, concurrency: int) -> dict[str, Any]:
    windows = [_window(each, devices) for each in run.windows]
    return {"prompt_tokens": run.prompt, "max_tokens": run.limit, "concurrency": concurrency, "windows": windows}


def _window(window: Window, devices: int) -> dict[str, Any]:
    return {
        "seconds": decimal(window.gpu_seconds / devices, 6),
        "requests": [list(each) for each in window.requests],
    }


def _number(value: Fraction | None) -> str:
    return _UNBOUND if value is None else significant(value)


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
