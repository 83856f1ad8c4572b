"""What was counted and could not be kept, by reason. Written in place, so that a full disk does not hide its own loss."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from tokenspot_client.agent import files

_SIZE = 4096
AT_RISK = "at_risk"  # in memory only: lost if the process dies


class Losses:
    """Counts that only grow; ``at_risk`` alone may fall."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = {}
        self._dirty = False
        if path.exists():
            self._counts = {reason: dict(told) for reason, told in (files.read_json(path) or {}).items()}
        else:
            files.replace(path, b"{}".ljust(_SIZE))
        risked = self._counts.pop(AT_RISK, None)
        if risked and risked.get("records"):  # the last run ended with these in memory
            self.add("died_with_full_disk", risked["records"], risked.get("prompt", 0), risked.get("completion", 0))
            self.save()

    def add(self, reason: str, records: int = 1, prompt: int = 0, completion: int = 0) -> None:
        """Count a loss."""
        with self._lock:
            told = self._counts.setdefault(reason, {"records": 0, "prompt": 0, "completion": 0})
            told["records"] += records
            told["prompt"] += prompt
            told["completion"] += completion
            self._dirty = True

    def risk(self, records: int, prompt: int, completion: int) -> None:
        """Say what is in memory only, now."""
        now = {"records": records, "prompt": prompt, "completion": completion}
        with self._lock:
            if self._counts.get(AT_RISK, {"records": 0, "prompt": 0, "completion": 0}) != now:
                self._counts[AT_RISK] = now
                self._dirty = True

    def told(self) -> dict[str, dict[str, int]]:
        """All counts, by reason."""
        with self._lock:
            return {reason: dict(counts) for reason, counts in self._counts.items() if counts["records"]}

    def save(self, *, durable: bool = True) -> None:
        """Overwrite the block that was set aside at the start; needs no new space.

        :raises OSError: the disk refused all the same.
        """
        with self._lock:
            if not self._dirty:
                return
            content = json.dumps(self._counts).encode().ljust(_SIZE)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                files.write_all(descriptor, content)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._dirty = not durable
