"""`manage.py prepare_demo`: tables, files and the seeded market of the demo."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.demo.prepare import prepare
from config.services.processes import ServiceError


class Command(BaseCommand):
    """Safe to run at every start; seeds an empty database only."""

    help = "Prepare the demo: migrate, collect static files, seed an empty database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--engine-port", type=int, default=8001)

    def handle(self, *_: Any, **options: Any) -> None:
        """Prepare, or say in one sentence why not."""
        try:
            prepare(engine_port=options["engine_port"])
        except ServiceError as error:
            raise CommandError(str(error), returncode=3) from None
