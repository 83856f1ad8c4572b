"""Stripe in the demo: the account whose key is in the environment, else the stand-in on this machine."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from config.supervisor import Program


def stripe_stand_in(options: argparse.Namespace, state: Path) -> list[Program]:
    """The stand-in's process, with its keys set for every process of the demo; none where there is a real key.

    A real account's webhooks need an address that Stripe reaches (`stripe listen --forward-to …/webhooks/stripe`, its
    secret in STRIPE_WEBHOOK_SECRET); without them the reconciler finds every payment by itself.
    """
    if os.environ.get("STRIPE_SECRET_KEY"):
        return []
    port = options.port + 5
    os.environ["STRIPE_SECRET_KEY"] = f"sk_test_{secrets.token_urlsafe(24)}"
    os.environ["STRIPE_WEBHOOK_SECRET"] = f"whsec_{secrets.token_urlsafe(24)}"
    os.environ["STRIPE_API_BASE"] = f"http://127.0.0.1:{port}"
    os.environ.setdefault("STRIPE_PAYMENT_METHODS", "card,alipay,wechat_pay")
    hook = f"http://127.0.0.1:{options.port}/webhooks/stripe"
    command = [sys.executable, "-m", "tests.fakes.stripe", "--port", str(port), "--webhooks", hook]
    return [
        Program("stripe", [*command, "--state", str(state / "stripe.json"), "--duplicates", "0.3", "--late", "0.3"])
    ]
