"""Server commands as the `tokenspot` program finds them, where the server is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_MANAGE = Path(__file__).resolve().parent.parent / "manage.py"


def verify(arguments: list[str]) -> int:
    """`tokenspot verify`: every invariant readable from the live database."""
    return _manage("verify", arguments)


def replay(arguments: list[str]) -> int:
    """`tokenspot replay`: a trace through market, meter and bill."""
    return _manage("replay", arguments)


def verify_chain(arguments: list[str]) -> int:
    """`tokenspot verify-chain`: the audit log's hash chain, from the first event to the last."""
    return _manage("verify_chain", arguments)


def _manage(name: str, arguments: list[str]) -> int:
    runner = [sys.executable, "-m", "config.services.run", "--", sys.executable, str(_MANAGE), name, *arguments]
    return subprocess.run(runner, check=False, cwd=_MANAGE.parent).returncode
