"""The processes of the demo."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from config.settings.addresses import state_dir
from config.supervisor import Program


def programs(options: argparse.Namespace, about: dict[str, Any]) -> list[Program]:
    """Web, two workers, beat, the providers' engines with an agent before each, and the traders that live on the public API."""
    python = sys.executable
    celery = [python, "-m", "celery", "-A", "config.celery"]
    schedule = str(state_dir() / "beat-schedule")
    listed = [
        Program(
            "web",
            [
                python,
                "-m",
                "uvicorn",
                "config.asgi:application",
                "--host",
                options.host,
                "--port",
                str(options.port),
                "--log-level",
                "warning",
                "--no-access-log",
                "--ws-max-size",
                "65536",
                "--ws-per-message-deflate",
                "false",  # 28 instead of 73 KB of memory a socket
            ],
        ),
        Program(
            "worker-clear", [*celery, "worker", "-Q", "clear,outbox", "-c", "1", "-n", "clear@demo", "-l", "warning"]
        ),
        Program(
            "worker-rest", [*celery, "worker", "-Q", "settle,bill,bulk", "-c", "1", "-n", "rest@demo", "-l", "warning"]
        ),
        Program("beat", [*celery, "beat", "-s", schedule, "-l", "warning"]),
        *(
            Program(
                f"engine-{engine['name']}",
                [
                    python,
                    "-m",
                    "tests.fakes.engine",
                    "--port",
                    str(engine["port"]),
                    "--rate",
                    str(engine["rate"]),
                    "--name",
                    engine["name"],
                    *[part for model in engine["models"] for part in ("--model", model)],
                ],
                {"ENGINE_KEY": engine["key"]},
            )
            for engine in about["engines"]
        ),
        *(
            Program(
                f"agent-{engine['name']}",
                [python, "-m", "config.demo.agents", engine["name"], "--site", f"http://127.0.0.1:{options.port}"],
            )
            for engine in about["engines"]
        ),
    ]
    if not options.no_traders:
        address = f"http://127.0.0.1:{options.port}"
        listed.append(Program("traders", [python, "-m", "config.demo.traders", "--address", address]))
    return listed
