"""`tokenspot agent ...`: what a provider runs beside its engine."""

from __future__ import annotations

from typing import Any

from tokenspot_client.agent import options as agents
from tokenspot_client.calibration import options as calibration


def add_commands(commands: Any) -> None:
    """The agent's commands under `tokenspot agent`; each `run` gets the client and the options, as elsewhere."""
    agent = commands.add_parser("agent", help="run beside an engine: rate it, report its usage")
    actions = agent.add_subparsers(dest="agent_command", required=True, metavar="COMMAND")
    agents.add_commands(actions)
    calibration.add_command(actions)
