"""Group commit: requests that come while a transaction is under way share the next one.

A request that comes alone waits for nobody. Memory is bounded: a request is held
in bytes from its first one on, and where too many wait, the edge answers 503.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from metering_ingest.asgi.answers import Answer
from metering_ingest.asgi.work import Request

log = structlog.get_logger(__name__)
WORKERS = 2  # one computes while the other waits for the database
MOST_REQUESTS = 1_000  # that wait, so that the last one is answered within seconds
MOST_BYTES = 64 * 1024 * 1024
GROUP_REQUESTS = 256
GROUP_BYTES = 1024 * 1024
GATHER_SECONDS = 0.002  # what a group waits for company while another is under way; never more than 5 ms


class Collector:
    """Hands waiting requests to a pool of threads in groups, and each its own answer."""

    def __init__(
        self,
        work: Callable[[Sequence[Request]], list[Answer]],
        failed: Callable[[Request], Answer],
        *,
        workers: int = WORKERS,
        group: int = GROUP_REQUESTS,
    ) -> None:
        self._work, self._failed, self._workers, self._group = work, failed, workers, group
        # A bounded pool with its own connections: a flood of batches waits here and cannot starve the pages.
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="ingest")
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._busy = 0
        self._bytes = 0
        self._gathering = False

    @property
    def has_room(self) -> bool:
        """Whether another request may begin."""
        return len(self._waiting) < MOST_REQUESTS and self._bytes < MOST_BYTES

    def hold(self, count: int) -> None:
        """Count bytes that are held, or let go of."""
        self._bytes += count

    async def submit(self, request: Request) -> Answer:
        """Wait for the answer to a request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        self._start(loop)
        return await future

    def close(self, work: Callable[[], object]) -> None:
        """End the threads; `work` runs in each of them first, to close its connections."""
        all_there = threading.Barrier(self._workers)

        def last() -> None:
            all_there.wait(30)
            work()

        for done in [self._pool.submit(last) for _ in range(self._workers)]:
            done.result()
        self._pool.shutdown()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting or self._busy == self._workers or self._gathering:
            return
        if self._busy == 0:
            self._begin(loop)
        else:
            self._gathering = True
            loop.call_later(GATHER_SECONDS, self._gathered, loop)

    def _gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering = False
        if self._waiting and self._busy < self._workers:
            self._begin(loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        group = [self._waiting.popleft()]
        size = len(group[0][0].body)
        while self._waiting and len(group) < self._group:
            size += len(self._waiting[0][0].body)
            if size > GROUP_BYTES:
                break
            group.append(self._waiting.popleft())
        self._busy += 1
        done = loop.run_in_executor(self._pool, self._work, [request for request, _ in group])
        done.add_done_callback(lambda finished: self._finish(loop, group, finished))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        group: Sequence[tuple[Request, asyncio.Future[Answer]]],
        finished: asyncio.Future[list[Answer]],
    ) -> None:
        self._busy -= 1
        error = finished.exception()
        if error is not None:
            log.error("metering.ingest.failed", exc_info=error)
        answers = finished.result() if error is None else [self._failed(request) for request, _ in group]
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():  # whoever asked may have left
                future.set_result(answer)
        self._start(loop)
