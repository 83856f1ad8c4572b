"""`python -m tests.fakes.engine --port 8001 --model llama-3-8b --rate 3000 --name harbour-1`.

The key that callers must send comes from ENGINE_KEY, so that it stays out of the process list.
"""

from __future__ import annotations

import argparse
import os

import uvicorn

from tests.fakes.engine.app import Engine


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.engine")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--model", action="append", required=True, help="a model of the card catalogue; may be repeated"
    )
    parser.add_argument("--rate", type=float, required=True, help="standard tokens a second, shared by all streams")
    parser.add_argument("--name", default="engine")
    options = parser.parse_args()
    engine = Engine(tuple(options.model), options.rate, options.name, os.environ.get("ENGINE_KEY", ""))
    uvicorn.run(engine, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
