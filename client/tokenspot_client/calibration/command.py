"""`tokenspot agent calibrate`: measure, solve, print, submit."""

from __future__ import annotations

import argparse

from tokenspot_client.api import Client


def run(client: Client, options: argparse.Namespace) -> None:
    """Rate an engine."""
    raise SystemExit("tokenspot agent calibrate cannot measure yet.")
