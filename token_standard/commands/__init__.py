"""The commands of ``python -m token_standard``, one module each; every module has ``add``."""

import argparse
from typing import Any

from token_standard.commands import card, convert, devices, estimate, second_opinion
from token_standard.learned import command as learned
from token_standard.learned import prefer_command


def add(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Add all of them; each sets ``run``, which takes the options and gives the lines to print."""
    for command in (card, estimate, convert, devices, second_opinion):
        command.add(subparsers)
    learned.add(subparsers)
    prefer_command.add(subparsers)
