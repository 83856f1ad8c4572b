"""`manage.py replay`: a real trace through market, dispatch, meter and bill, with a simulated clock."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config.replay.database import use_replay_database
from config.replay.report import print_report
from config.replay.run import replay
from token_standard.traces import TraceError, read_trace

_DEFAULT = settings.BASE_DIR / "tests" / "data" / "tokens" / "AzureLLMInferenceTrace_conv.csv.gz"


class Command(BaseCommand):
    """Ends with `verify`, and with exit code 1 on a breach."""

    help = "Replay a trace (Azure CSV or Mooncake JSON lines, .gz or not) on a database of its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--trace", type=Path, default=_DEFAULT)
        parser.add_argument(
            "--cache", action="store_true", help="an unlimited prefix cache, for traces that tell blocks"
        )
        parser.add_argument("--out", type=Path, default=settings.BASE_DIR / "out" / "replay")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the thread and print what it did."""
        try:
            rows = list(read_trace(options["trace"]))
        except (OSError, TraceError) as error:
            raise CommandError(f"{options['trace']}: {error}", returncode=2) from None
        if not rows:
            raise CommandError(f"{options['trace']}: no requests in it", returncode=2)
        use_replay_database(fresh=True)
        outcome = replay(rows, cache=options["cache"], out=options["out"])
        print_report(outcome, trace=options["trace"], write=self.stdout.write)
        call_command("verify", replay=True, stdout=self.stdout)
