"""Where other processes of the same machine leave their usage: the hooks of PyTorch and ONNX Runtime.

from tokenspot_client.agent import inbox
inbox.leave("/var/lib/tokenspot-agent", usage_event(request.usage, id=..., source=..., ...))
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FULL = 8 * 1024 * 1024


def path_of(state: Path) -> Path:
    """The file that the agent follows."""
    return state / "inbox" / "events.jsonl"


def leave(state: str | Path, event: Mapping[str, Any]) -> None:
    """Hand one usage event to the agent; it is in the kernel's hands when this returns.

    :raises OSError: the folder is not there or full; nothing was written.
    """
    line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    descriptor = os.open(path_of(Path(state)), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o660)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        if written != len(line):
            os.ftruncate(descriptor, size)
            raise OSError("the inbox is full")
    finally:
        os.close(descriptor)


def empty(state: Path, read_up_to: int) -> bool:
    """Empty the file once it is large and read to its end; whether it was."""
    if read_up_to < _FULL:
        return False
    descriptor = os.open(path_of(state), os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_size != read_up_to:
            return False
        os.ftruncate(descriptor, 0)
        return True
    finally:
        os.close(descriptor)
