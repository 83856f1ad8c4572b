"""Signatures as Stripe makes them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any


def body_of(event: dict[str, Any]) -> bytes:
    """The bytes that are sent and signed."""
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def signature(body: bytes, secret: str, *, at: float | None = None) -> str:
    """The header `Stripe-Signature`."""
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"
