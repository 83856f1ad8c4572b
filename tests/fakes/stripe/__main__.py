"""`python -m tests.fakes.stripe --port 8003 --webhooks http://127.0.0.1:8000/webhooks/stripe`: serve until told to stop.

The keys come from STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET, so that they stay out of the process list.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn

from tests.fakes.stripe.app import Stripe
from tests.fakes.stripe.faults import Faults


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.stripe")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhooks", help="where events are sent")
    parser.add_argument("--state", type=Path, help="a file to keep everything in between two starts")
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of webhooks that are sent twice")
    parser.add_argument("--lost", type=float, default=0.0, help="share of webhooks that are never sent")
    parser.add_argument("--late", type=float, default=0.0, help="share of webhooks that come late, so out of order")
    parser.add_argument("--cut", type=float, default=0.0, help="share of calls that take effect without an answer")
    options = parser.parse_args()
    secret = os.environ.get("STRIPE_WEBHOOK_SECRET", "")
    faults = Faults(duplicate_rate=options.duplicates, lost_rate=options.lost, late_rate=options.late,
                    cut_rate=options.cut)  # fmt: skip
    stripe = Stripe(
        secret_key=os.environ.get("STRIPE_SECRET_KEY", ""),
        webhooks=(options.webhooks, secret) if options.webhooks and secret else None,
        state=options.state,
        faults=faults,
    )
    uvicorn.run(stripe, host=options.host, port=options.port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
