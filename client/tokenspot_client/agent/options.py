"""`tokenspot agent register | run | status | rotate-key`: options. What they do is imported only when it is asked for."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tokenspot_client.agent import config as settings

_WORDS = {
    "proxy_listen": ("HOST:PORT", "proxy mode: where the gateway's requests come in"),
    "engine": ("URL", "proxy mode: the OpenAI-compatible engine that they go on to"),
    "source": ("NAME", "names what is counted here, part of a record's identity (default: agent)"),
    "served_format": ("FORMAT", "the format that the weights are served in, as on the card: bf16, fp8, w8a8 ..."),
    "tls_certificate": ("FILE", "proxy mode: serve TLS with this certificate chain"),
    "tls_key": ("FILE", "proxy mode: the certificate's key"),
    "silence_seconds": ("N", "proxy mode: give up on an engine that says nothing for so long (default: 600)"),
    "max_body_mb": ("N", "proxy mode: largest request (default: 32)"),
    "metrics_url": ("URL", "metrics mode: the engine's /metrics, to compare its counters with what is counted here"),
    "metrics_engine": ("NAME", "vllm, sglang, tgi, llama.cpp, mindie, triton (default: told by its names)"),
    "metrics_model": ("NAME", "compare this model's series only"),
    "metrics_interval": ("N", "seconds between two looks (default: 15)"),
    "spool_mb": ("N", "largest spool; from half of it on the oldest records are summed up by minute (default: 256)"),
    "raw_mb": ("N", "room for the raw files of such sums, kept for disputes (default: 64)"),
    "send_interval": ("N", "seconds between two batches (default: 5)"),
    "drain_seconds": ("N", "on SIGTERM: how long requests and sending may take to finish (default: 30)"),
    "prometheus": ("HOST:PORT", "the agent's own metrics, or off (default: 127.0.0.1:9464)"),
}


def add_commands(actions: Any) -> None:
    """The commands under `tokenspot agent`."""
    register = actions.add_parser("register", help="make this machine's key and tell the platform of it, once")
    register.add_argument("--url", dest="platform", help="address of the platform (default: TOKENSPOT_URL)")
    register.add_argument("--token", help="registration token, tsreg_... (default: TOKENSPOT_AGENT_TOKEN)")
    _state(register)
    register.set_defaults(run=_register)

    run = actions.add_parser(
        "run",
        help="count what the engine serves and report it, until SIGTERM",
        epilog="Every option may stand in the file of --config, or in the environment as TOKENSPOT_AGENT_<NAME>.",
    )
    run.add_argument("--config", type=Path, metavar="FILE", help="TOML (default: TOKENSPOT_AGENT_CONFIG)")
    _state(run)
    for name, (shape, words) in _WORDS.items():
        kind = int if settings.settings()[name] is int else str
        run.add_argument(f"--{name.replace('_', '-')}", dest=name, type=kind, metavar=shape, help=words)
    run.add_argument(
        "--follow", action="append", metavar="FILE", help="log mode: follow this JSONL log; may be repeated"
    )
    run.add_argument("--no-inbox", dest="inbox", action="store_false", default=None, help="take nothing from hooks")
    run.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    run.set_defaults(run=_run)

    status = actions.add_parser("status", help="what is counted, what waits, what was refused; needs no running agent")
    _state(status)
    status.add_argument("--json", action="store_true", help="everything, for programs")
    status.set_defaults(run=_status)

    rotate = actions.add_parser("rotate-key", help="change the key; a running agent goes on with the new one")
    _state(rotate)
    rotate.set_defaults(run=_rotate)


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", metavar="DIR", help=f"state folder (default: TOKENSPOT_AGENT_STATE, else {settings.DEFAULT_STATE})"
    )


def _run(_: object, options: argparse.Namespace) -> None:
    """Begin anew with the agent's modules alone: it should be small."""
    arguments = sys.argv[1:]
    at = arguments.index("run") + 1 if "run" in arguments else len(arguments)
    os.execv(sys.executable, [sys.executable, "-m", "tokenspot_client.agent", "run", *arguments[at:]])  # noqa: S606


def _register(_: object, options: argparse.Namespace) -> None:
    from tokenspot_client.agent import commands

    raise SystemExit(commands.register(options))


def _status(_: object, options: argparse.Namespace) -> None:
    from tokenspot_client.agent import commands

    raise SystemExit(commands.status(options))


def _rotate(_: object, options: argparse.Namespace) -> None:
    from tokenspot_client.agent import commands

    raise SystemExit(commands.rotate_key(options))
