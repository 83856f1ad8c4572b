"""`tokenspot agent calibrate`: measure, solve, print, submit."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from token_standard import catalogue, ratings
from token_standard.cards import Card, from_json
from token_standard.errors import TokenStandardError
from tokenspot_client.api import Client
from tokenspot_client.calibration import load, report
from tokenspot_client.calibration.engine import Engine, Refused, Settings
from tokenspot_client.calibration.load import Load, Measured, Shape
from tokenspot_client.calibration.problems import NO_RATING, WRONG_USE, CalibrationProblem

_SHAPE = re.compile(r"([1-9]\d{0,6})/([1-9]\d{0,6})")
_USUAL_WINDOWS = 6
_CHECK_SHAPE = Shape(ratings.MIX[0][0], ratings.MIX[0][2])  # the chat of the mix
_UNKNOWN_FIELD = (400, 422)


@dataclass(frozen=True)
class _Plan:
    """What was asked for, checked."""

    settings: Settings
    card: Card
    shapes: tuple[Shape, ...]
    load: Load


def run(client: Client, options: argparse.Namespace) -> None:
    """Rate an engine, or check its rating.

    :raises SystemExit: 1 the runs give no rating, 2 wrong use, 3 the engine cannot be measured.
    :raises ApiProblem: the platform refused.
    """
    try:
        if options.runs:
            _submit(client, options, _kept(options))
            return
        plan = _plan(options)
        deployment = _deployment(client, options, plan.card)
        name, version, runs = asyncio.run(_measure(plan))
        setup = report.Setup(
            engine=options.engine or name or "unknown",
            engine_version=options.engine_version or version,
            driver=options.driver,
            served_format=deployment.get("served_format", plan.card.format.name),
            tensor_parallel=options.tensor_parallel,
            devices=plan.load.devices,
        )
        if options.check:
            _check(client, options, plan, setup, runs[0])
        else:
            _rate(client, options, plan, setup, runs)
    except CalibrationProblem as problem:
        print(f"{problem.code}: {problem}", file=sys.stderr)
        raise SystemExit(problem.exit_code) from None


def _rate(
    client: Client, options: argparse.Namespace, plan: _Plan, setup: report.Setup, runs: Sequence[Measured]
) -> None:
    body = report.submission(plan.card, setup, runs, plan.load.concurrency, datetime.now(UTC))
    kept: dict[str, Any] = {"submission": body, "rating": None}
    try:
        rating = ratings.solve(plan.card, [each.run for each in runs])
        kept["rating"] = report.solution(rating)
    except ratings.RatingError as error:
        raise CalibrationProblem(error.code, str(error), exit_code=NO_RATING) from None
    finally:
        _keep(options.json, kept)  # the runs took long: they are kept whatever they say
    print(report.table(rating, devices=plan.load.devices))
    if options.submit:
        _submit(client, options, body)


def _submit(client: Client, options: argparse.Namespace, body: dict[str, Any]) -> None:
    """Store the runs. The same runs have the same key, so that a repeat after a lost answer stores nothing twice."""
    told = json.dumps([options.deployment, body], sort_keys=True)
    key = hashlib.sha256(told.encode()).hexdigest()
    stored = client.post(f"/provider/deployments/{options.deployment}/ratings", body, idempotency_key=key)
    print(f"stored as {stored['id']}: valid until {stored['expires_at']}")


def _kept(options: argparse.Namespace) -> dict[str, Any]:
    if not options.submit or not options.deployment:
        raise _wrong("--runs needs --submit and --deployment dep_...")
    try:
        body = json.loads(options.runs.read_text(encoding="utf-8"))["submission"]
        if isinstance(body, dict) and "runs" in body:
            return body
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _wrong(f"--runs {options.runs}: {error!r}") from None
    raise _wrong(f"--runs {options.runs}: not what --json keeps of a rating")


def _check(client: Client, options: argparse.Namespace, plan: _Plan, setup: report.Setup, measured: Measured) -> None:
    body = report.check_submission(plan.card, setup, measured, datetime.now(UTC))
    _keep(options.json, {"submission": body})
    found = client.post(f"/provider/deployments/{options.deployment}/rating-checks", body)
    print(f"took {found['ratio']} times what the rating says; its interval, widened: {found['low']} to {found['high']}")
    print(f"state: {found['state']}, from {found['requests']} of the {found['needed']} requests that judge it")
    if found["state"] in {"drifting", "changed"}:
        raise SystemExit(NO_RATING)


async def _measure(plan: _Plan) -> tuple[str, str, list[Measured]]:
    """The engine's name and version, and a run of each shape."""
    engine = Engine(plan.settings, concurrency=plan.load.concurrency)
    try:
        chance = random.Random(plan.load.seed)  # noqa: S311 - words, not a secret
        try:
            measure = await load.measure_words(engine, chance)
        except Refused as refused:
            if refused.status not in _UNKNOWN_FIELD:
                raise
            engine.settings = replace(plan.settings, keep_going=False)  # some refuse members they do not know
            measure = await load.measure_words(engine, chance)
        name, version = await engine.version()
        runs = []
        for shape in plan.shapes:
            print(f"{shape}: {plan.load.concurrency} at a time ...", file=sys.stderr)
            measured = await load.run_shape(engine, shape, plan.load, measure, tell=partial(_tell, plan.load.windows))
            print(report.run_line(measured, devices=plan.load.devices))
            for sentence in report.oddities(measured):
                print(f"note: {sentence}", file=sys.stderr)
            runs.append(measured)
        return name, version, runs
    finally:
        await engine.close()


def _tell(windows: int, number: int) -> None:
    """A run takes minutes: say how far it is."""
    print(f"  window {number} of {windows}" if number else "  warm", file=sys.stderr)


def _plan(options: argparse.Namespace) -> _Plan:
    missing = [f"--{name}" for name in ("endpoint", "model", "card", "devices") if getattr(options, name) is None]
    if missing:
        raise _wrong(f"{', '.join(missing)} must be given")
    if options.submit and options.check:
        raise _wrong("--submit stores a rating and --check looks at one: give one of them")
    if (options.submit or options.check) and not options.deployment:
        raise _wrong("--submit and --check need --deployment dep_...")
    for name in ("devices", "concurrency", "tensor_parallel"):
        if getattr(options, name) < 1:
            raise _wrong(f"--{name.replace('_', '-')} is at least 1")
    if not 0 < options.scale <= 10 or options.time_limit <= 0:
        raise _wrong("--scale lies between 0 and 10, and --time-limit is above zero")
    shapes = (_CHECK_SHAPE,) if options.check else _shapes(options.shapes)
    wanted = options.requests or (1 if options.check else _USUAL_WINDOWS) * options.concurrency
    fewest = max(ratings.FEWEST_REQUESTS, 1 if options.check else ratings.FEWEST_WINDOWS * options.concurrency)
    return _Plan(
        settings=Settings(
            base_url=options.endpoint,
            model=options.model,
            key=options.engine_key or os.environ.get("TOKENSPOT_ENGINE_KEY", ""),
            chat=options.api == "chat",
            time_limit=options.time_limit,
        ),
        card=_card(options.card),
        shapes=tuple(_scaled(shape, options.scale) for shape in shapes),
        load=Load(
            concurrency=options.concurrency,
            windows=-(-max(wanted, fewest) // options.concurrency),
            devices=options.devices,
            seed=secrets.randbits(64) if options.seed is None else options.seed,
        ),
    )


def _shapes(text: str) -> tuple[Shape, ...]:
    found = [_SHAPE.fullmatch(part.strip()) for part in text.split(",")]
    if len(found) < 2 or not all(found):
        raise _wrong("--shapes is two or more PROMPT/GENERATED, as in 2048/128,128/2048")
    return tuple(Shape(int(match[1]), int(match[2])) for match in found if match)


def _scaled(shape: Shape, scale: float) -> Shape:
    return Shape(max(round(shape.prompt * scale), 1), max(round(shape.limit * scale), 1))


def _card(text: str) -> Card:
    try:
        if text.endswith(".json") or Path(text).is_file():
            return from_json(json.loads(Path(text).read_text(encoding="utf-8")))
        model, _, form = text.partition("/")
        return catalogue.card(model, form or catalogue.DEFAULT_FORMAT)
    except (OSError, ValueError) as error:
        raise _wrong(f"--card {text}: {error}") from None
    except TokenStandardError as error:
        raise CalibrationProblem(error.code, str(error), exit_code=WRONG_USE) from None


def _deployment(client: Client, options: argparse.Namespace, card: Card) -> dict[str, Any]:
    """The deployment as the platform knows it, before anything is measured: a wrong card would waste the run."""
    if not (options.submit or options.check):
        return {}
    for each in client.pages("/provider/deployments"):
        if each["id"] == options.deployment:
            if each["card"] != card.digest:
                raise _wrong(f"{each['line']} is sold by card {each['card'][:16]}, --card is {card.digest[:16]}")
            return each
    raise _wrong(f"you have no deployment {options.deployment}")


def _keep(path: Path | None, kept: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _wrong(message: str) -> CalibrationProblem:
    return CalibrationProblem("wrong_use", message, exit_code=WRONG_USE)
