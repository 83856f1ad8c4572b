"""`tokenspot agent calibrate`: its options. What it does is imported only when it is asked for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tokenspot_client.api import Client

DEFAULT_SHAPES = "2048/128,128/2048"


def add_command(actions: Any) -> None:
    """The command under `tokenspot agent`."""
    parser = actions.add_parser(
        "calibrate",
        help="measure an engine: two shapes of requests at load, and the standard tokens a second they give",
    )
    parser.add_argument("--endpoint", metavar="URL", help="the engine, with or without /v1")
    parser.add_argument("--model", metavar="NAME", help="what the engine calls the model")
    parser.add_argument(
        "--card",
        metavar="NAME|FILE",
        help="MODEL or MODEL/FORMAT of the catalogue, or a card's JSON file",
    )
    parser.add_argument("--devices", type=int, metavar="N", help="accelerators that the engine runs on")
    parser.add_argument("--engine-key", default="", help="bearer key of the engine (default: TOKENSPOT_ENGINE_KEY)")
    parser.add_argument("--concurrency", type=int, default=32, metavar="C", help="requests under way at a time")
    parser.add_argument(
        "--shapes", default=DEFAULT_SHAPES, help=f"prompt/generated tokens of each run (default: {DEFAULT_SHAPES})"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the shapes, for a slow engine: 0.05")
    parser.add_argument(
        "--requests", type=int, metavar="R", help="requests of a run that are counted (default: 6 × concurrency)"
    )
    parser.add_argument("--time-limit", type=float, default=600.0, metavar="SECONDS", help="of one request")
    parser.add_argument("--api", choices=["chat", "completions"], default="chat", help="which of the engine's routes")
    parser.add_argument("--engine", default="", help="its name (default: what /metrics looks like)")
    parser.add_argument("--engine-version", default="", help="its version (default: what /version says)")
    parser.add_argument("--driver", default="", help="version of the accelerators' driver")
    parser.add_argument("--tensor-parallel", type=int, default=1, metavar="N", help="devices that share one model")
    parser.add_argument(
        "--seed", type=int, help="of the random prompts (default: by chance, or the engine would know them)"
    )
    parser.add_argument("--deployment", metavar="dep_...", help="the deployment that is rated")
    parser.add_argument("--submit", action="store_true", help="store the runs as the deployment's rating; needs a key")
    parser.add_argument(
        "--check", action="store_true", help="one short run against the standing rating of --deployment; needs a key"
    )
    parser.add_argument(
        "--runs", type=Path, metavar="FILE", help="submit what --json kept, instead of measuring; twice is harmless"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep runs and rating in this file")
    parser.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> None:
    from tokenspot_client.calibration import command

    command.run(client, options)
