"""`manage.py verify_chain`: the audit log's hash chain, from the first event to the last."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from accounts.selectors import chain


class Command(BaseCommand):
    """Exit code 0: the chain holds. 1: a fault, named."""

    help = "Follow the audit log's hash chain, and compare it with the heads that were copied out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--anchors", type=Path, default=settings.AUDIT_ANCHORS, help="file of copied heads")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print what was checked, or each fault."""
        began = time.monotonic()
        breaches = chain.verify(options["anchors"])
        for breach in breaches:
            self.stdout.write(f"{breach.subject}: {breach.detail}")
        if breaches:
            raise SystemExit(1)
        head = chain.head()
        copied = len(chain.anchors(options["anchors"]))
        self.stdout.write(
            f"The chain holds: {head.position} events, {copied} copied heads, {time.monotonic() - began:.2f} s; "
            f"head {head.hash.hex()}"
        )
