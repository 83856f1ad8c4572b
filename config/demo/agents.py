"""A provider's agent of the demo: registers once the site answers, then stands between gateway and engine."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from config.settings.addresses import state_dir

_AGENT = [sys.executable, "-m", "tokenspot_client.agent"]


def folder(name: str) -> Path:
    """Where an agent of the demo keeps its key and its spool."""
    return state_dir() / "agents" / name


def main() -> None:
    """Register if that was not done yet, then become `tokenspot agent run`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--site", required=True)
    options = parser.parse_args()
    about = json.loads((state_dir() / "demo.json").read_text())
    engine = next(one for one in about["engines"] if one["name"] == options.name)
    state = folder(options.name)
    while not (state / "identity.json").exists():
        token = engine["registration_token"]
        subprocess.run(
            [*_AGENT, "register", "--url", options.site, "--token", token, "--state", str(state)], check=False
        )
        time.sleep(0.5)
    run = [
        *_AGENT, "run", "--state", str(state), "--proxy-listen", f"127.0.0.1:{engine['agent_port']}",
        "--engine", f"http://127.0.0.1:{engine['port']}", "--send-interval", "2", "--drain-seconds", "5",
        "--prometheus", "off",
    ]  # fmt: skip
    os.execv(sys.executable, run)  # noqa: S606  (our own command)


if __name__ == "__main__":
    main()
