"""The nightly proof: every rule of the meter that can be read from the tables, with its outcome kept."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime

import structlog

from metering_ingest import selectors
from metering_ingest.models import Proof

log = structlog.get_logger(__name__)
_KEPT = 20


def prove(*, now: datetime) -> int:
    """Check every rule and keep what was found; gives how many breaches there are. Nothing is mended here."""
    began = time.monotonic()
    found = selectors.verify()
    milliseconds = round((time.monotonic() - began) * 1000)
    Proof.objects.create(
        made_at=now, breaches=len(found), first=[asdict(one) for one in found[:_KEPT]], milliseconds=milliseconds
    )
    if found:
        log.error("metering.proof.broken", breaches=len(found), first=found[0].rule)
    else:
        log.info("metering.proof.holds", milliseconds=milliseconds)
    return len(found)
