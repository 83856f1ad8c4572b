"""The proof behind an invoice line as a document: plain values, whole numbers as text, each level with its hash.

`tokenspot verify-line` recomputes all of it without the platform.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = "tokenspot.chain/1"
RECORD_FIELDS = (
    "key", "source", "event_id", "request_id", "occurred_at", "received_at", "prompt_tokens", "cached_tokens",
    "completion_tokens", "micro_st",
)  # fmt: skip


def canonical(value: Any) -> bytes:
    """JSON in the one spelling that hashes are taken of: keys sorted, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def record_digest(record: Mapping[str, str]) -> str:
    """SHA-256 of what a record says."""
    return hashlib.sha256(canonical({name: record[name] for name in RECORD_FIELDS})).hexdigest()


def records_digest(digests: Iterable[str]) -> str:
    """SHA-256 over the digests of a bucket's records, one a line, in the order of their keys."""
    return hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()


def seal(document: Mapping[str, Any]) -> str:
    """SHA-256 of the whole document without its own `sha256`."""
    return hashlib.sha256(canonical({name: part for name, part in document.items() if name != "sha256"})).hexdigest()
