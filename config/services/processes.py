"""Small truths about child processes that every service here needs."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ServiceError(Exception):
    """A local server could not be prepared or started; the text is one sentence for people."""


def die_with_parent(signal_number: int) -> Callable[[], None] | None:
    """A preexec function: the kernel sends the child this signal when its parent ends, however it ends."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number)

    return arrange


def running(pid: int, name: str) -> bool:
    """Whether this pid lives and is a program of this name: a stale pid may belong to another program by now."""
    command = Path(f"/proc/{pid}/cmdline")
    try:
        return name in command.read_text(errors="replace")
    except OSError:
        return False
