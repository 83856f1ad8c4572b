"""Following a file that grows: rotation by rename, truncation, a last line still being written, restarts."""

from __future__ import annotations

import contextlib
import logging
import os
import zlib
from pathlib import Path
from typing import Any

from tokenspot_client.agent.counts import Counts
from tokenspot_client.agent.entries import Parse, Skipped
from tokenspot_client.agent.spool import Spool

log = logging.getLogger("tokenspot.agent")
_AT_ONCE = 256 * 1024
_LONGEST_LINE = 1024 * 1024
_HEAD = 128
_PACKED = {".gz", ".xz", ".zst", ".bz2"}


class Follower:
    """Reads new lines on :meth:`poll`. The place in the file is kept with the records, so a restart repeats nothing."""

    def __init__(
        self, path: Path, parse: Parse, spool: Spool, counts: Counts, *, from_end: bool = False, name: str | None = None
    ) -> None:
        self.path = path
        self.name = name or str(path)
        self._parse = parse
        self._spool = spool
        self._counts = counts
        self._from_end = from_end
        self._descriptor = -1
        self._offset = 0
        self._identity = (0, 0)
        self._step = int((spool.positions.get(self.name) or {"step": 0})["step"])
        self._skipping = False  # inside a line that is too long

    def poll(self) -> bool:
        """Read on; whether there may be more right now."""
        if self._descriptor < 0 and not self._open_first():
            return False
        data = os.pread(self._descriptor, _AT_ONCE, self._offset)
        if data and self._take(data):
            return True
        return self._turn_over()

    def behind(self) -> int:
        """Bytes not read yet, of the file that is being read."""
        return 0 if self._descriptor < 0 else max(0, os.fstat(self._descriptor).st_size - self._offset)

    @property
    def read_up_to(self) -> int:
        """The offset behind the last line read."""
        return self._offset

    def begin_again(self) -> None:
        """The file was emptied on purpose, after all of it was read."""
        self._move(-self._offset)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, data: bytes) -> bool:
        """Whole lines of the data; False when there is none."""
        end = data.rfind(b"\n") + 1
        if not end:
            if len(data) < _AT_ONCE:
                return False
            if not self._skipping and self._grown_long():
                self._counts.bad_lines["too_long"] += 1
                self._skipping = True
            if not self._skipping:
                return self._take_long()
            self._move(len(data))
            return True
        for line in data[:end].splitlines(keepends=True):
            self._line(line)
        return True

    def _grown_long(self) -> bool:
        piece = os.pread(self._descriptor, _LONGEST_LINE, self._offset)
        return len(piece) == _LONGEST_LINE and b"\n" not in piece

    def _take_long(self) -> bool:
        piece = os.pread(self._descriptor, _LONGEST_LINE, self._offset)
        end = piece.find(b"\n") + 1
        if end:
            self._line(piece[:end])
        return bool(end)

    def _line(self, line: bytes) -> None:
        place = f"line:{self._identity[1]:x}:{self._offset:x}"
        self._offset += len(line)
        if self._skipping:
            self._skipping = False
            self._spool.move(self.name, self._position())
            return
        if not line.strip():
            return
        try:
            entry = self._parse(line, place)
        except Skipped as skipped:
            self._counts.bad_lines[skipped.reason] += 1
            self._spool.move(self.name, self._position())
            return
        if entry.record is None:
            self._spool.move(self.name, self._position())
        else:
            self._spool.add(entry.record, source=self.name, position=self._position())
        self._counts.add(entry.usage, market=entry.record is not None)

    def _move(self, size: int) -> None:
        self._offset += size
        self._spool.move(self.name, self._position())

    def _position(self) -> dict[str, Any]:
        """The place; ``step`` tells of two places which one is later."""
        self._step += 1
        device, inode = self._identity
        return {"dev": device, "ino": inode, "offset": self._offset, "head": list(self._head), "step": self._step}

    def _open_first(self) -> bool:
        """Find the file and the place where the last run stopped."""
        stored = self._spool.positions.get(self.name)
        if stored is None:
            if not self._open(self.path):
                return False
            if self._from_end:
                self._offset = os.fstat(self._descriptor).st_size
                self._spool.move(self.name, self._position())
            return True
        found, _ = self._find((stored["dev"], stored["ino"]))
        if found is not None and self._open(found):
            self._go_on(stored)
            return True
        if not self.path.exists():
            return False
        log.warning("%s: the file that was being read is gone, with what was not read of it", self.name)
        self._counts.bad_lines["rotated_away"] += 1
        return self._open(self.path)

    def _find(self, identity: tuple[int, int]) -> tuple[Path | None, list[Path]]:
        """Where a file lies by now, and the files that came after it, oldest first, the current one last."""
        rotated = sorted(self._rotated())
        for at, (_, path) in enumerate(rotated):
            if _identity(path) == identity:
                return path, [later for _, later in rotated[at + 1 :]] + [self.path]
        return (self.path, []) if _identity(self.path) == identity else (None, [])

    def _go_on(self, stored: dict[str, Any]) -> None:
        size = os.fstat(self._descriptor).st_size
        length, checksum = stored["head"]
        same = size >= stored["offset"] and zlib.crc32(os.pread(self._descriptor, length, 0)) == checksum
        if same:
            self._offset = stored["offset"]
            self._head = [length, checksum]
        else:
            log.warning("%s was truncated: reading it from its begin", self.name)
            self._counts.bad_lines["truncated"] += 1

    def _turn_over(self) -> bool:
        """At the end of the file: is another to be read?"""
        status = os.fstat(self._descriptor)
        if status.st_size < self._offset:
            log.warning("%s was truncated: reading it from its begin", self.name)
            self._counts.bad_lines["truncated"] += 1
            self._offset, self._skipping = 0, False
            self._remember_head()
            return True
        current = _identity(self.path)
        if current is None or current == self._identity:
            self._remember_head()
            return False
        if os.fstat(self._descriptor).st_size > status.st_size:
            return True  # it was written to between the two looks
        _, later = self._find(self._identity)  # several files may have come and gone since the last look
        return self._turn_to(later[0] if later else self.path)

    def _turn_to(self, path: Path) -> bool:
        if self.behind():
            self._counts.bad_lines["no_end"] += 1
        self.close()
        if not self._open(path):
            return False
        self._spool.move(self.name, self._position())
        return True

    def _open(self, path: Path) -> bool:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return False
        status = os.fstat(self._descriptor)
        self._identity, self._offset, self._skipping = (status.st_dev, status.st_ino), 0, False
        self._head = [0, 0]
        self._remember_head()
        return True

    def _remember_head(self) -> None:
        """The file's first bytes tell it from another that takes its place under the same number."""
        if self._head[0] < _HEAD:
            head = os.pread(self._descriptor, _HEAD, 0)
            self._head = [len(head), zlib.crc32(head)]

    _head: list[int]

    def _rotated(self) -> list[tuple[int, Path]]:
        """Last change and path of the files that lie beside the log under its name and more."""
        found = []
        for path in self.path.parent.glob(f"{self.path.name}?*"):
            with contextlib.suppress(OSError):  # moved on while we looked
                if path.is_file() and path.suffix not in _PACKED:
                    found.append((path.stat().st_mtime_ns, path))
        return found


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
