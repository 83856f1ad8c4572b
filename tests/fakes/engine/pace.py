"""A device of a rated speed that all streams of an engine share."""

from __future__ import annotations

import asyncio
import time

_LATE_SECONDS = 0.05  # a wake-up this late is made up for; longer idleness is lost, as on a device
_NOT_WORTH_SLEEPING = 0.002


class Device:
    """Does `rate` standard tokens of work a second, in the order in which it is asked."""

    def __init__(self, rate: float) -> None:
        self._seconds_per_st = 1 / rate
        self._free_at = 0.0

    async def work(self, micro_st: int) -> None:
        """Return once this much work, and all that was asked before, is done."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _LATE_SECONDS) + micro_st * 1e-6 * self._seconds_per_st
        wait = self._free_at - now
        if wait > _NOT_WORTH_SLEEPING:
            await asyncio.sleep(wait)
