"""Runs the processes of one site together: restarts what dies, and ends everything when told to.

A child gets SIGTERM from the kernel when the supervisor itself is killed, so
nothing is left running however this ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.services.processes import die_with_parent

_GIVE_UP_AFTER = 5  # restarts in a row of a process that lived less than _HEALTHY seconds
_HEALTHY = 20.0
_GRACE = 12.0


@dataclass(frozen=True)
class Program:
    """One process to keep alive."""

    name: str
    argv: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)


class GaveUp(Exception):
    """A program kept dying; its log says why."""


async def keep_running(programs: Sequence[Program], *, logs: Path, stop: asyncio.Event) -> None:
    """Run all programs until `stop` is set; then end them, gently first.

    :raises GaveUp: a program died five times in a row soon after its start.
    """
    logs.mkdir(parents=True, exist_ok=True)
    tasks = [asyncio.create_task(_keep(program, logs / f"{program.name}.log", stop)) for program in programs]
    stopper = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopper], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    stopper.cancel()
    for task in done - {stopper}:
        task.result()


async def _keep(program: Program, log: Path, stop: asyncio.Event) -> None:
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *program.argv,
                env=os.environ | program.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            await _end(process, ended)
            return
        failures = 0 if time.monotonic() - began > _HEALTHY else failures + 1
        if failures >= _GIVE_UP_AFTER:
            raise GaveUp(f"{program.name} ended {failures} times in a row: see {log}")
        print(f"{program.name} ended with {process.returncode}; starting it again", file=sys.stderr)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(0.5 * 2**failures, 10))


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    """Ask the leader, which passes it on to its own children; then end the whole group."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(ended), _GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await ended
