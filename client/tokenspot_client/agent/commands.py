"""What the agent's commands do. Each answers the process's exit code."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tokenspot_client.agent import config as settings
from tokenspot_client.agent import identity, report, state
from tokenspot_client.agent.transport import Transport, Unreachable


def register(options: argparse.Namespace) -> int:
    """Make the key and tell the platform."""
    url = options.platform or os.environ.get("TOKENSPOT_URL", "")
    token = options.token or os.environ.get("TOKENSPOT_AGENT_TOKEN", "")
    if not url or not token:
        return _say("give --url and --token (or TOKENSPOT_URL and TOKENSPOT_AGENT_TOKEN)", 2)
    folder = _folder(options)
    try:
        lock = state.Lock(folder)
        with Transport(url) as transport:
            registered, server_time = identity.register(folder, transport, url=url, token=token)
        lock.release()
    except (identity.Refused, Unreachable, state.AlreadyRunning, OSError, ValueError) as error:
        return _say(f"not registered: {error}", 1)
    print(f"{registered.agent} is registered with key {registered.keyid}; its state is in {folder}")
    if server_time is not None and abs(server_time - time.time()) > 60:
        _say(f"this machine's clock is {time.time() - server_time:.0f} s off the platform's: set it right", 0)
    return 0


def run(options: argparse.Namespace) -> int:
    """Work until told to stop."""
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    path = options.config or os.environ.get(f"{settings.ENVIRONMENT}CONFIG")
    try:
        config = settings.read(Path(path) if path else None, os.environ, vars(options))
    except settings.BadConfig as error:
        return _say(str(error), 2)
    from tokenspot_client.agent.running import Agent

    try:
        with asyncio.Runner(loop_factory=_loops()) as runner:
            return runner.run(Agent(config).run())
    except (identity.NoIdentity, state.AlreadyRunning, OSError, ValueError) as error:
        return _say(f"not running: {error}", 1)


def _loops() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: a proxy of many small chunks then costs less."""
    try:
        loops = importlib.import_module("uvloop")
    except ImportError:
        return None
    made: Callable[[], asyncio.AbstractEventLoop] = loops.new_event_loop
    return made


def status(options: argparse.Namespace) -> int:
    """Print what the state folder says."""
    told = state.read_all(_folder(options))
    print(json.dumps(told, indent=1, sort_keys=True) if options.json else report.words(told, now=time.time()))
    return 0


def rotate_key(options: argparse.Namespace) -> int:
    """Change the key."""
    folder = _folder(options)
    try:
        with Transport(identity.load(folder).url) as transport:
            changed = identity.rotate(folder, transport)
    except (identity.NoIdentity, identity.Refused, Unreachable, OSError) as error:
        return _say(f"the key stays as it was: {error}", 1)
    print(f"{changed.agent} has the new key {changed.keyid}; the old one is good for some minutes")
    return 0


def _folder(options: argparse.Namespace) -> Path:
    given = options.state or os.environ.get(f"{settings.ENVIRONMENT}STATE") or settings.DEFAULT_STATE
    return Path(given).expanduser()


def _say(words: str, code: int) -> int:
    print(words, file=sys.stderr)
    return code
