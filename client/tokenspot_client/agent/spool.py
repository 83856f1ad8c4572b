"""The spool: records on disk until the platform has confirmed them.

A record is written to its file before the request's answer ends (a killed
process loses none), and files are forced to disk together once a second (a
power cut loses a second at most). Only what was forced to disk is sent: so
a number never comes to stand for another record.

Numbers are not stored: the n-th whole line behind the cursor is number
``cursor.seq + n``. That lets `aggregation` thin out files that were never
promised to the platform.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspot_client.agent import cursor as cursors
from tokenspot_client.agent import files
from tokenspot_client.agent.cursor import Cursor
from tokenspot_client.agent.lines import Line, Segment, read, spell
from tokenspot_client.agent.losses import Losses
from tokenspot_client.agent.records import Record

log = logging.getLogger("tokenspot.agent")
_SYNCS_A_POSITION = 10
_WAITING = 10_000  # records kept in memory while the disk is full
_PROMISED_AHEAD = 4  # files of backlog that a checkpoint may promise


@dataclass(frozen=True)
class Batch:
    """Records in order, the first numbered ``first``, and the sums that a checkpoint promises."""

    first: int
    lines: tuple[Line, ...]
    after: Cursor  # where the cursor stands once they are confirmed
    promised: int
    prompt: int
    completion: int


class Spool:
    """All methods may be called from any thread."""

    def __init__(self, folder: Path, *, limit: int = 256 * 1024 * 1024) -> None:
        """Open the folder, drop a torn last line, and find the place where sending goes on.

        :raises OSError: the folder cannot be read or written.
        """
        self.folder = folder / "spool"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.limit = limit
        self.segment_size = max(4096, min(4 * 1024 * 1024, limit // 16))
        self.losses = Losses(folder / "losses.json")
        self.lock = threading.RLock()
        self._cursor_path = folder / "cursor.json"
        self._positions_path = folder / "positions.json"
        self.positions: dict[str, Any] = files.read_json(self._positions_path) or {}
        self._waiting: deque[tuple[bytes, int, int]] = deque()
        self._risked = (0, 0)  # the tokens of those
        self._dirty = self._positions_dirty = False
        self._unsynced: list[int] = []
        self._rewrites = self._syncs = 0
        self.new_epoch = ""  # why this start began one
        self.segments = self._scan()
        self.cursor, self._base = self._find_cursor()
        self._durable = (self.segments[0].number, 0, self._base)
        self._descriptor = os.open(self._last.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._dirty = True  # what a killed process wrote may not be on disk yet
        self.sync()

    @property
    def _last(self) -> Segment:
        return self.segments[-1]

    def add(self, record: Record, *, source: str | None = None, position: dict[str, Any] | None = None) -> None:
        """Keep a record. Never raises for the disk's sake: what cannot be kept waits in memory, then counts as lost.

        :param position: where the followed log ``source`` stands after it.
        :raises BadRecord: the record cannot be.
        """
        told = None if position is None else {"source": source, **position}
        line = spell(record.json(), record.prompt, record.generated, told)
        with self.lock:
            if source is not None and position is not None:
                self.positions[source] = position
                self._positions_dirty = True
            if self._waiting or not self._append(line, record.prompt, record.generated):
                self._wait(line, record.prompt, record.generated)

    def move(self, source: str, position: dict[str, Any]) -> None:
        """A followed log went on without a record."""
        with self.lock:
            self.positions[source] = position
            self._positions_dirty = True

    def sync(self) -> None:
        """Force all that was written to disk, write what waits in memory, drop what is confirmed."""
        with self.lock:
            self._write_waiting()
            dirty, self._dirty = self._dirty, False
            unsynced, self._unsynced = self._unsynced, []
            mark = (self._last.number, self._last.size, self._made())
            descriptor = os.dup(self._descriptor)
        try:
            if dirty:
                for earlier in unsynced:
                    os.fsync(earlier)
                os.fsync(descriptor)
        except OSError:
            with self.lock:
                self._dirty, self._unsynced = True, unsynced + self._unsynced
            raise
        finally:
            os.close(descriptor)
        for earlier in unsynced:
            os.close(earlier)
        with self.lock:
            self._durable = mark
            self._syncs += 1
            dropping = len(self.segments) > 1 and self.segments[0].number < self.cursor.segment
            if self._positions_dirty and (dropping or self._syncs % _SYNCS_A_POSITION == 0):
                self._save_positions()
            if dropping:
                self._drop_confirmed()
        self.losses.save()

    def _save_positions(self) -> None:
        """Now and then, and before files go that hold later ones."""
        files.replace_json(self._positions_path, self.positions)
        self._positions_dirty = False

    def batch(self, *, most: int, most_bytes: int) -> Batch | None:
        """The next records to send, from what is on disk; None when all is confirmed.

        The promise is on disk before this returns.

        :raises OSError: the promise could not be stored; nothing may be sent.
        """
        while True:
            with self.lock:
                cursor, durable, rewrites = self.cursor, self._durable, self._rewrites
                paths = [(s.number, s.path) for s in self.segments if s.number >= cursor.segment]
            lines, place = _read_ahead(paths, cursor, durable[:2], most, most_bytes)
            if not lines:
                return None
            with self.lock:
                if self._rewrites == rewrites:  # else the lines are no longer those of the files
                    return self._promise(cursor, lines, place)

    def confirm(self, batch: Batch) -> None:
        """The platform has the batch: never send it again.

        :raises OSError: it could not be stored; the batch will be sent again, which does no harm.
        """
        with self.lock:
            cursors.save(self._cursor_path, batch.after)
            self.cursor = batch.after

    def close_epoch(self) -> None:
        """Nothing more comes in this epoch: the next start begins another."""
        with self.lock:
            self.cursor = dataclasses.replace(self.cursor, closed=True)
            cursors.save(self._cursor_path, self.cursor)

    def rewritten(self, segment: Segment, *, records: int, size: int) -> None:
        """A file holds fewer records of the same tokens now. The caller holds the lock and looked at the promise."""
        fewer = segment.records - records
        segment.records, segment.size = records, size
        number, offset, (seq, prompt, completion) = self._durable
        if segment.number <= number:
            self._durable = (number, offset, (seq - fewer, prompt, completion))
        self._rewrites += 1

    def backlog(self) -> dict[str, int]:
        """Records and tokens that wait for confirmation, and the bytes that they take."""
        with self.lock:
            seq, prompt, completion = self._made()
            return {
                "records": seq - self.cursor.seq,
                "prompt": prompt - self.cursor.prompt,
                "completion": completion - self.cursor.completion,
                "bytes": sum(segment.size for segment in self.segments),
                "in_memory": len(self._waiting),
            }

    def made(self) -> tuple[int, int, int]:
        """Records, prompt and generated tokens of this epoch so far."""
        with self.lock:
            return self._made()

    def close(self) -> None:
        """Force the rest to disk and let go of the files."""
        self.sync()
        with self.lock:
            self._save_positions()
        os.close(self._descriptor)

    # Below, the lock is held.

    def _promise(self, cursor: Cursor, lines: list[Line], place: tuple[int, int]) -> Batch:
        after = dataclasses.replace(
            cursor,
            segment=place[0],
            offset=place[1],
            seq=cursor.seq + len(lines),
            prompt=cursor.prompt + sum(line.prompt for line in lines),
            completion=cursor.completion + sum(line.completion for line in lines),
        )
        number, _, sums = self._durable
        if number - place[0] > _PROMISED_AHEAD:
            number, sums = place[0], (after.seq, after.prompt, after.completion)
        promised, segment = max(cursor.promised, sums[0]), max(cursor.promised_segment, number)
        kept = dataclasses.replace(cursor, promised=promised, promised_segment=segment)
        if kept != cursor:
            cursors.save(self._cursor_path, kept)
            self.cursor = kept
        after = dataclasses.replace(after, promised=promised, promised_segment=segment)
        return Batch(cursor.seq + 1, tuple(lines), after, *sums)

    def _made(self) -> tuple[int, int, int]:
        return self._sum(self._base)

    def _append(self, line: bytes, prompt: int, completion: int) -> bool:
        if sum(segment.size for segment in self.segments) + len(line) > self.limit:
            return False
        if self._last.size >= self.segment_size and not self._rotate():
            return False
        try:
            files.write_all(self._descriptor, line)
        except OSError as error:
            log.warning("the spool cannot be written: %s", error.strerror)
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._last.size)  # half a line may stand there
            return False
        last = self._last
        last.size += len(line)
        last.records += 1
        last.prompt += prompt
        last.completion += completion
        self._dirty = True
        return True

    def _rotate(self) -> bool:
        segment = Segment.at(self.folder, self._last.number + 1)
        try:
            descriptor = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError:
            return False
        self._unsynced.append(self._descriptor)
        self._descriptor = descriptor
        self.segments.append(segment)
        return True

    def _wait(self, line: bytes, prompt: int, completion: int) -> None:
        if len(self._waiting) >= _WAITING:
            self.losses.add("no_room", 1, prompt, completion)
        else:
            self._waiting.append((line, prompt, completion))
            self._risked = (self._risked[0] + prompt, self._risked[1] + completion)
        self._tell_risk()

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        while self._waiting and self._append(*self._waiting[0]):
            _, prompt, completion = self._waiting.popleft()
            self._risked = (self._risked[0] - prompt, self._risked[1] - completion)
        self._tell_risk()

    def _tell_risk(self) -> None:
        """Said at once, so that a process that dies now has said it."""
        self.losses.risk(len(self._waiting), *self._risked)
        with contextlib.suppress(OSError):
            self.losses.save(durable=False)

    def _drop_confirmed(self) -> None:
        while len(self.segments) > 1 and self.segments[0].number < self.cursor.segment:
            gone = self.segments[0]
            for path in (gone.path, gone.path.with_suffix(".damaged"), gone.path.with_suffix(".thinned")):
                path.unlink(missing_ok=True)
            self._base = (self._base[0] + gone.records, self._base[1] + gone.prompt, self._base[2] + gone.completion)
            del self.segments[0]

    def _scan(self) -> list[Segment]:
        numbers = sorted(int(path.stem) for path in self.folder.glob("??????????.jsonl"))
        segments = [Segment.at(self.folder, number) for number in numbers or [0]]
        for segment in segments:
            if segment.path.exists():
                self._scan_one(segment, last=segment is segments[-1])
        return segments

    def _scan_one(self, segment: Segment, *, last: bool) -> None:
        damaged = 0
        with segment.path.open("rb") as file:
            for line in read(file):
                if isinstance(line, int):
                    damaged += 1
                    segment.size = line
                    continue
                segment.add(line)
                segment.size = line.end
                if line.position is not None:
                    self._seen_position(dict(line.position))
        torn = segment.path.stat().st_size - segment.size
        if torn:
            damaged += 1
            if last:
                os.truncate(segment.path, segment.size)
                self.losses.add("torn_line")
                damaged -= 1
        mark = segment.path.with_suffix(".damaged")
        known = int(mark.read_text()) if mark.exists() else 0
        if damaged > known:
            self.losses.add("damaged_line", damaged - known)
            mark.write_text(str(damaged))

    def _seen_position(self, told: dict[str, Any]) -> None:
        source = str(told.pop("source"))
        if told["step"] > self.positions.get(source, {"step": -1})["step"]:  # else what followed gave no record
            self.positions[source] = told
            self._positions_dirty = True  # the file that tells it may be confirmed and dropped without another record

    def _find_cursor(self) -> tuple[Cursor, tuple[int, int, int]]:
        """The cursor to go on from, and what the epoch held before the first file."""
        stored = cursors.load(self._cursor_path)
        start, reason = (self.segments[0].number, 0), ""
        if stored is None:
            fresh = not self._cursor_path.exists() and not self.segments[-1].size
            reason = "first start" if fresh else "the cursor was lost"
        else:
            there = next((s for s in self.segments if s.number == stored.segment and s.path.exists()), None)
            start = (stored.segment, stored.offset)
            if there is None:
                start, reason = (self.segments[0].number, 0), "the file that was being sent is gone"
            elif there.size < stored.offset:
                start, reason = (there.number, there.size), "the file that was being sent is shorter than it was"
            elif stored.closed:
                reason = "the last one was closed"
        cursor = stored if stored is not None and not reason else Cursor.new(segment=start[0], offset=start[1])
        base = self._before(cursor)
        if not reason and self._sum(base)[0] < cursor.promised:
            reason = "records that were promised are gone"
            cursor = Cursor.new(segment=start[0], offset=start[1])
            base = self._before(cursor)
        if reason:
            log.info("new epoch %s: %s", cursor.epoch, reason)
            self.new_epoch = reason
            cursors.save(self._cursor_path, cursor)
        return cursor, base

    def _before(self, cursor: Cursor) -> tuple[int, int, int]:
        base = [cursor.seq, cursor.prompt, cursor.completion]
        for segment in self.segments:
            if segment.number < cursor.segment:
                passed = segment
            elif segment.number == cursor.segment and segment.path.exists():
                passed = Segment.at(self.folder, segment.number)
                with segment.path.open("rb") as file:
                    for line in read(file, until=cursor.offset):
                        if not isinstance(line, int):
                            passed.add(line)
            else:
                continue
            for at, count in enumerate((passed.records, passed.prompt, passed.completion)):
                base[at] -= count
        return base[0], base[1], base[2]

    def _sum(self, base: tuple[int, int, int]) -> tuple[int, int, int]:
        return (
            base[0] + sum(s.records for s in self.segments),
            base[1] + sum(s.prompt for s in self.segments),
            base[2] + sum(s.completion for s in self.segments),
        )


def _read_ahead(
    paths: list[tuple[int, Path]], cursor: Cursor, until: tuple[int, int], most: int, most_bytes: int
) -> tuple[list[Line], tuple[int, int]]:
    """Lines from the cursor on, and the place behind them; never beyond what is on disk for certain."""
    lines: list[Line] = []
    place, size = (cursor.segment, cursor.offset), 0
    for number, path in paths:
        if number > until[0]:
            break
        with path.open("rb") as file:
            start = cursor.offset if number == cursor.segment else 0
            for line in read(file, start=start, until=until[1] if number == until[0] else None):
                if isinstance(line, int):
                    place = (number, line)
                    continue
                if len(lines) == most or size + len(line.record) > most_bytes:
                    return lines, place
                lines.append(line)
                size += len(line.record)
                place = (number, line.end)
    return lines, place
