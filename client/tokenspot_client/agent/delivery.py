"""Sending: batches in order, each until the platform has confirmed it; back-off with jitter; what it refuses is kept aside."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenspot_client.agent import identity as identities
from tokenspot_client.agent.aside import Aside
from tokenspot_client.agent.identity import Identity
from tokenspot_client.agent.spool import Batch, Spool
from tokenspot_client.agent.transport import Answer, Transport, Unreachable

log = logging.getLogger("tokenspot.agent")
MOST_RECORDS = 2000
_MOST_BYTES = 4 * 1024 * 1024
_LONGEST_WAIT = 300.0
_LONGEST_ASKED = 3600.0
_SETTLED = {"accepted", "replayed"}
_KEPT_ASIDE = {"conflict", "quarantined", "rejected"}
_WHOLE_BATCH_BAD = {400, 413, 415, 422}


@dataclass
class Told:
    """What sending has come to, for status and metrics."""

    results: dict[str, int] = field(default_factory=dict)
    batches: int = 0
    failures: int = 0
    last_success: float | None = None
    last_problem: str = ""
    last_problem_at: float | None = None
    next_try: float | None = None
    clock_offset: float = 0.0
    gaps: list[list[int]] = field(default_factory=list)


class Delivery:
    """Runs in a thread of its own."""

    def __init__(self, state: Path, spool: Spool, *, interval: float = 5.0, transport: Transport | None = None) -> None:
        self._state = state
        self._spool = spool
        self._interval = interval
        self._identity_read = identities.changed_at(state)
        self._identity = identities.load(state)
        self._transport = transport or Transport(self._identity.url)
        self._aside = Aside(state / "aside.jsonl")
        self._stop = threading.Event()
        self._most = MOST_RECORDS
        self._failed = 0
        self.told = Told()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def finish(self, *, within: float) -> bool:
        """Stop the thread, send the rest, close the epoch; whether the platform has everything.

        :param within: seconds that this may take.
        """
        deadline = time.monotonic() + within
        self.stop(within=within)
        if self._thread.is_alive():
            return False
        try:
            return self._send_rest(deadline)
        finally:
            self._transport.close()

    def stop(self, *, within: float) -> None:
        """Send nothing more; what is on its way may take so many seconds."""
        self._stop.set()
        self._thread.join(within)
        if not self._thread.is_alive():
            self._transport.close()

    def _send_rest(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            batch = self._next()
            if batch is None:
                return self._close_epoch()
            if self._deliver(batch):  # 0 asks for another try at once
                return False
        return False

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                wait = self._step()
            except Exception:
                log.exception("sending failed in a way that nobody foresaw")
                wait = self._back_off()
            self.told.next_try = time.time() + wait

    def _step(self) -> float:
        """Send one batch; seconds until the next."""
        batch = self._next()
        if batch is None:
            return self._interval
        full = len(batch.lines) == self._most
        wait = self._deliver(batch)
        if wait is None:
            return 0.0 if full else self._interval
        return wait

    def _next(self) -> Batch | None:
        try:
            return self._spool.batch(most=self._most, most_bytes=_MOST_BYTES)
        except OSError as error:
            self._problem(f"the spool cannot be read or its promise not stored: {error.strerror}")
            return None

    def _deliver(self, batch: Batch, *, closed: bool = False) -> float | None:
        """None once the platform has it, else seconds to wait."""
        try:
            answer = self._transport.send(
                self._read_identity(), "POST", "/api/v1/usage-records", self._body(batch, closed=closed)
            )
        except Unreachable as error:
            self._problem(str(error))
            return self._back_off()
        self.told.clock_offset = self._transport.offset
        if answer.status == 200:
            return self._take(batch, answer)
        self._problem(answer.told)
        if answer.status in _WHOLE_BATCH_BAD:
            return self._narrow_down(batch, answer)
        return self._back_off(answer.retry_after)

    def _take(self, batch: Batch, answer: Answer) -> float | None:
        results = _results(answer, len(batch.lines))
        if results is None:
            self._problem("the platform's answer does not speak of every record")
            return self._back_off()
        kept = [
            (line.record, result) for line, result in zip(batch.lines, results, strict=True) if _is_kept_aside(result)
        ]
        try:
            self._aside.keep(batch, kept)
            self._spool.confirm(batch)
        except OSError as error:
            self._problem(f"what the platform confirmed cannot be stored: {error.strerror}")
            return self._back_off()
        for result in results:
            self.told.results[result["result"]] = self.told.results.get(result["result"], 0) + 1
        self.told.gaps = [gap for gap in answer.body.get("gaps") or [] if _is_hole(gap, batch.after.seq)]
        self.told.batches += 1
        self.told.last_success = time.time()
        self._failed, self._most = 0, MOST_RECORDS
        return None

    def _narrow_down(self, batch: Batch, answer: Answer) -> float | None:
        """Something in the batch offends: halve it until one record is left, and keep that one aside."""
        if len(batch.lines) > 1:
            self._most = len(batch.lines) // 2
            return 0.0
        self._most = MOST_RECORDS
        result = {"result": "rejected", "code": answer.code, "reason": answer.told}
        try:
            self._aside.keep(batch, [(line.record, result) for line in batch.lines])
            self._spool.confirm(batch)
        except OSError:
            return self._back_off()
        self.told.results["rejected"] = self.told.results.get("rejected", 0) + len(batch.lines)
        return None

    def _close_epoch(self) -> bool:
        seq, prompt, completion = self._spool.made()
        batch = Batch(seq + 1, (), self._spool.cursor, seq, prompt, completion)
        if seq and self._deliver(batch, closed=True) is not None:
            return False
        if seq:
            self._spool.close_epoch()
        return True

    def _body(self, batch: Batch, *, closed: bool) -> bytes:
        numbered = (b'{"seq":%d,%b' % (batch.first + at, line.record[1:]) for at, line in enumerate(batch.lines))
        checkpoint = {
            "seq": batch.promised,
            "records": batch.promised,
            "prompt_tokens": batch.prompt,
            "completion_tokens": batch.completion,
            "closed": closed,
        }
        head = b'{"epoch":"%b","records":[' % batch.after.epoch.encode()
        return head + b",".join(numbered) + b'],"checkpoint":' + json.dumps(checkpoint).encode() + b"}"

    def _read_identity(self) -> Identity:
        """Another process may have rotated the key."""
        now = identities.changed_at(self._state)
        if now != self._identity_read:
            self._identity = identities.load(self._state)
            self._identity_read = now
        return self._identity

    def _back_off(self, asked: float | None = None) -> float:
        self._failed += 1
        self.told.failures += 1
        wait = min(_LONGEST_WAIT, 2.0 ** min(self._failed, 10)) * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret
        return wait if asked is None else max(min(asked, _LONGEST_ASKED) + random.uniform(0, 1), 0.1)  # noqa: S311

    def _problem(self, what: str) -> None:
        if what != self.told.last_problem:
            log.warning("the platform has no new records: %s", what)
        self.told.last_problem, self.told.last_problem_at = what, time.time()


def _results(answer: Answer, count: int) -> list[dict[str, Any]] | None:
    """The results in the order of the records; None unless each has one that is known."""
    by_index: dict[int, dict[str, Any]] = {}
    for result in answer.body.get("results") or []:
        if isinstance(result, dict) and result.get("result") in _SETTLED | _KEPT_ASIDE:
            by_index[result.get("index", -1)] = result
    if set(by_index) != set(range(count)):
        return None
    return [by_index[index] for index in range(count)]


def _is_kept_aside(result: dict[str, Any]) -> bool:
    return result["result"] in _KEPT_ASIDE


def _is_hole(gap: object, confirmed: int) -> bool:
    """Numbers that we hold for confirmed and the platform does not have."""
    return isinstance(gap, list) and len(gap) == 2 and type(gap[0]) is int and gap[0] <= confirmed
