"""Both local servers together, started in order and stopped in the opposite one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config.services.postgres import Postgres, left_running
from config.services.processes import ServiceError
from config.services.valkey import Valkey


@contextmanager
def local_services(state: Path, *, fast: bool = False) -> Iterator[None]:
    """Run the servers that no URL names, and note in `services.json` where they are.

    :raises ServiceError: a server could not start, or one of an earlier start still runs here.
    """
    state.mkdir(parents=True, exist_ok=True)
    # The socket's folder must be short: unix socket addresses end at 107 bytes.
    if len(str(state / "pg" / "run" / ".s.PGSQL.5432")) > 100:
        raise ServiceError(f"The path {state} is too long for a unix socket: set TOKENSPOT_STATE to a shorter folder.")
    _let_nobody_in(state)
    yield from _run(state, fast)


def _let_nobody_in(state: Path) -> None:
    """As root the database runs as `nobody`, which must be able to walk to the state folder."""
    if os.geteuid() != 0:
        return
    state.chmod(0o711)
    closed = next((p for p in state.resolve().parents if not p.stat().st_mode & 0o001), None)
    if closed:
        raise ServiceError(
            f"The database cannot run as root, and user nobody cannot enter {closed}: "
            "set TOKENSPOT_STATE to a folder outside it, or run as an ordinary user."
        )


def _run(state: Path, fast: bool) -> Iterator[None]:
    note: dict[str, Any] = {}
    started: list[tuple[Postgres | Valkey, subprocess.Popen[bytes]]] = []
    try:
        if not os.environ.get("DATABASE_URL"):
            if left_running(state):
                raise ServiceError(f"A database server already runs in {state}: stop the other demo first.")
            postgres = Postgres(state, fast=fast)
            note |= postgres.prepare()
            started.append((postgres, postgres.start()))
        if not os.environ.get("REDIS_URL"):
            valkey = Valkey(state)
            note |= valkey.prepare()
            started.append((valkey, valkey.start()))
        path = state / "services.json"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(json.dumps(note))
        yield
    finally:
        for server, process in reversed(started):
            server.stop(process)


def services_answer(state: Path) -> bool:
    """Whether both servers of this state folder already run and answer."""
    return left_running(state) and Postgres(state).answers() and Valkey(state).answers()
