"""`make demo`: the whole market on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from config.demo.programs import programs
from config.demo.stripe_stand_in import stripe_stand_in
from config.services.local import local_services, services_answer
from config.services.processes import ServiceError
from config.settings.addresses import BASE_DIR, state_dir
from config.supervisor import GaveUp, keep_running

_NEEDED_BYTES = 600_000_000
_PORTS = 6  # the site, two engines, an agent before each, and the stand-in for Stripe


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 after Ctrl-C, 3 with one sentence when it cannot run."""
    options = _options(arguments)
    state = state_dir()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    os.environ["TOKENSPOT_STATE"] = str(state)
    try:
        if options.reset:
            return _reset(state)
        _check(state, options)
        with local_services(state):
            return _run(state, options)
    except (ServiceError, GaveUp) as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description="The whole market on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    parser.add_argument("--reset", action="store_true", help="forget everything the demo stored, and end")
    parser.add_argument("--no-traders", action="store_true", help="leave the market to you")
    return parser.parse_args(arguments)


def _check(state: Path, options: argparse.Namespace) -> None:
    state.mkdir(parents=True, exist_ok=True)
    if services_answer(state):
        raise ServiceError(f"A demo already runs in {state}: stop it first, or set TOKENSPOT_STATE to another folder.")
    free = shutil.disk_usage(state).free
    if free < _NEEDED_BYTES:
        raise ServiceError(f"The demo needs {_NEEDED_BYTES // 10**6} MB of free disk; {state} has {free // 10**6} MB.")
    last = options.port + _PORTS - 1
    for port in range(options.port, last + 1):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.host if port == options.port else "127.0.0.1", port))
            except OSError:
                raise ServiceError(
                    f"Port {port} is taken (the demo needs {options.port} to {last}): "
                    "choose another with `make demo ARGS='--port 9000'`."
                ) from None


def _reset(state: Path) -> int:
    if services_answer(state):
        raise ServiceError("The demo is running: stop it first (Ctrl-C).")
    if os.environ.get("DATABASE_URL"):
        raise ServiceError("DATABASE_URL names your own server: drop that database yourself.")
    shutil.rmtree(state, ignore_errors=True)
    print("Forgotten.")
    return 0


def _run(state: Path, options: argparse.Namespace) -> int:
    began = time.monotonic()
    print("Preparing the database ...", flush=True)
    prepared = subprocess.run(
        [sys.executable, "manage.py", "prepare_demo", "--engine-port", str(options.port + 1)], cwd=BASE_DIR, check=False
    )
    if prepared.returncode:
        return 3
    about = json.loads((state / "demo.json").read_text())
    os.environ["SECRET_KEY"] = about["secret_key"]
    # Where the browser comes back to after paying.
    os.environ.setdefault("SITE_URL", f"http://{options.host}:{options.port}")
    return asyncio.run(_serve(state, options, about, began))


async def _serve(state: Path, options: argparse.Namespace, about: dict, began: float) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    os.chdir(BASE_DIR)
    listed = [*stripe_stand_in(options, state), *programs(options, about)]
    running = asyncio.create_task(keep_running(listed, logs=state / "logs", stop=stop))
    welcome = asyncio.create_task(_welcome(options, about, began))
    await running
    welcome.cancel()
    print("\nStopped. `make demo` goes on where this ended; `make demo-reset` forgets it.")
    return 0


async def _welcome(options: argparse.Namespace, about: dict, began: float) -> None:
    """Print the sign-ins once the site answers."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", options.port)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.2)
    lines = [f"\nTokenspot is at http://{options.host}:{options.port}  ({time.monotonic() - began:.0f} s)\n"]
    lines += [f"  {who['role']:<10} {who['email']:<28} {who['password']}" for who in about["sign_ins"]]
    lines += ["", f"  buyer's API key   {about['buyer_key']}"]
    if os.environ.get("STRIPE_API_BASE"):
        lines += ["  card payments     a stand-in for Stripe on this machine; no money moves"]
    lines += ["", "Ctrl-C stops everything."]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
