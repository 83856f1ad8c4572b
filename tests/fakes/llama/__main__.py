"""`python -m tests.fakes.llama --port 8001 --metrics vllm`: serve until told to stop."""

from __future__ import annotations

import argparse

from tests.fakes.llama.metrics import PAGES
from tests.fakes.llama.server import Server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.llama")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--metrics", choices=PAGES, default="vllm")
    parser.add_argument("--speculate", action="store_true", help="draft by n-grams")
    options = parser.parse_args()
    server = Server(port=options.port, metrics=options.metrics, speculate=options.speculate)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
