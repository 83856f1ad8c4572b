"""The state folder: one agent at a time, and what it says of itself for `status` to read."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from tokenspot_client.agent import aside, cursor, files
from tokenspot_client.agent.losses import AT_RISK

_LIVE = "status.json"


class AlreadyRunning(Exception):
    """Another agent holds the folder."""


class Lock:
    """Held until the process ends, however it ends."""

    def __init__(self, state: Path) -> None:
        """Take the folder.

        :raises AlreadyRunning: another has it.
        """
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise AlreadyRunning(f"another agent is running on {state}") from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())

    def release(self) -> None:
        os.close(self._descriptor)


def is_running(state: Path) -> bool:
    """Whether an agent holds the folder now."""
    try:
        descriptor = os.open(state / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_live(state: Path, told: dict[str, Any]) -> None:
    """What the running agent says of itself."""
    files.replace_json(state / _LIVE, told, durable=False)


def read_all(state: Path) -> dict[str, Any]:
    """All that the folder says; needs no running agent, and no secret is read out."""
    known = files.read_json(state / "identity.json") or {}
    stored = cursor.load(state / "cursor.json")
    losses = files.read_json(state / "losses.json") or {}
    return {
        "state": str(state),
        "registered": bool(known.get("keyid")),
        **{name: known.get(name) for name in ("agent", "keyid", "organisation", "url")},
        "running": is_running(state),
        "epoch": stored.epoch if stored else None,
        "epoch_closed": stored.closed if stored else None,
        "confirmed": {"records": stored.seq, "prompt": stored.prompt, "completion": stored.completion}
        if stored
        else None,
        "promised": stored.promised if stored else None,
        "spool_bytes": sum(path.stat().st_size for path in (state / "spool").glob("*.jsonl")),
        "losses": {reason: told for reason, told in losses.items() if told.get("records") and reason != AT_RISK},
        "in_memory_only": losses.get(AT_RISK, {}).get("records", 0),
        "kept_aside": aside.tally(state / "aside.jsonl"),
        "live": files.read_json(state / _LIVE),
    }
