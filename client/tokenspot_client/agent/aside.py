"""Records that the platform has not taken as they are, with its words: for people to look into."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspot_client.agent import files
from tokenspot_client.agent.spool import Batch

_MOST_BYTES = 16 * 1024 * 1024
_TOLD = ("result", "code", "field", "reason", "record", "content")


class Aside:
    """A file of JSON lines; when it is full the older half becomes ``aside.jsonl.1``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, batch: Batch, refused: Sequence[tuple[bytes, dict[str, Any]]]) -> None:
        """Write down what was refused. A repeat after a crash may stand there twice.

        :raises OSError: the disk refused.
        """
        if not refused:
            return
        if self._path.exists() and self._path.stat().st_size > _MOST_BYTES:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        content = b"".join(
            json.dumps(
                {
                    "at": int(time.time()),
                    "epoch": batch.after.epoch,
                    "answer": {name: result[name] for name in _TOLD if result.get(name) is not None},
                    "sent": json.loads(record),
                }
            ).encode()
            + b"\n"
            for record, result in refused
        )
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            files.write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def tally(path: Path) -> dict[str, int]:
    """How many lines of each result the file holds."""
    counts: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                answer = json.loads(line).get("answer", {}) if line.endswith(b"\n") else {}
                told = f"{answer.get('result', '?')}{':' + answer['code'] if answer.get('code') else ''}"
                counts[told] = counts.get(told, 0) + 1
    except (OSError, ValueError):
        return counts
    return counts
