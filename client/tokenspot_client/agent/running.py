"""`tokenspot agent run`: everything put together, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from typing import Any

from tokenspot_client.agent import VERSION, aggregation, identity, inbox, prometheus, state
from tokenspot_client.agent.config import Config
from tokenspot_client.agent.counts import Counts
from tokenspot_client.agent.delivery import Delivery
from tokenspot_client.agent.entries import parse_event
from tokenspot_client.agent.following import Follower
from tokenspot_client.agent.proxy.server import Proxy, ProxyOptions
from tokenspot_client.agent.spool import Spool
from tokenspot_client.agent.witness import MalformedMetrics, Witness

log = logging.getLogger("tokenspot.agent")
_SYNC_SECONDS = 1.0
_POLL_SECONDS = 0.5
_TOLD_SECONDS = 5
_MEGABYTE = 1024 * 1024


class Agent:
    """One agent on one state folder."""

    def __init__(self, config: Config) -> None:
        """Open the folder.

        :raises AlreadyRunning: another agent has it.
        :raises NoIdentity: it is not registered.
        :raises OSError: the folder cannot be used.
        """
        self._config = config
        identity.load(config.state)  # before anything is made in the folder
        self._lock = state.Lock(config.state)
        self.counts = Counts()
        self.spool = Spool(config.state, limit=config.spool_mb * _MEGABYTE)
        self.delivery = Delivery(config.state, self.spool, interval=config.send_interval)
        self._followers = [
            Follower(entry.path, entry.form.parse, self.spool, self.counts, from_end=entry.from_end)
            for entry in config.logs
        ]
        self._inbox: Follower | None = None
        if config.inbox:
            path = inbox.path_of(config.state)
            path.parent.mkdir(mode=0o770, exist_ok=True)
            self._inbox = Follower(path, parse_event, self.spool, self.counts, name="inbox")
            self._followers.append(self._inbox)
        self._witness = (
            Witness(config.metrics_url, engine=config.metrics_engine, model=config.metrics_model)
            if config.metrics_url
            else None
        )
        self._proxy = _proxy(config, self.counts, self.spool)
        self._started_at = time.time()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._last_disk_problem = ""

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT; 0 when the platform has everything, 3 when the spool holds a rest."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if self._proxy is not None:
            port = await self._proxy.start()
            log.info("passing requests from port %d on to %s", port, self._config.engine)
        metrics = None
        if self._config.prometheus is not None:
            metrics = await prometheus.serve(*self._config.prometheus, self.told)
        self._keeper.start()
        self.delivery.start()
        tasks = [loop.create_task(self._follow())]
        if self._witness is not None:
            tasks.append(loop.create_task(self._look_at_engine(self._witness)))
        await stop.wait()
        log.info("stopping")
        if self._proxy is not None:
            await self._proxy.stop(within=self._config.drain_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._poll_all()
        if metrics is not None:
            metrics.close()
        return await loop.run_in_executor(None, self._finish)

    def told(self) -> dict[str, Any]:
        """What the agent says of itself: counts and states, never a text of a request."""
        counts, cursor = self.counts, self.spool.cursor
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "started_at": round(self._started_at, 3),
            "written_at": round(time.time(), 3),
            "epoch": cursor.epoch,
            "epoch_reason": self.spool.new_epoch,
            "backlog": self.spool.backlog(),
            "losses": {reason: told for reason, told in self.spool.losses.told().items() if reason != "at_risk"},
            "requests": dict(counts.requests),
            "in_flight": counts.in_flight,
            "records": counts.records,
            "tokens": {
                "market": {"prompt": counts.prompt, "completion": counts.completion},
                "own": {"prompt": counts.own_prompt, "completion": counts.own_completion},
            },
            "own_requests": counts.own_requests,
            "unmetered": dict(counts.unmetered),
            "bad_lines": dict(counts.bad_lines),
            "logs": {follower.name: {"behind_bytes": follower.behind()} for follower in self._followers},
            "platform": dict(vars(self.delivery.told)),
            "engine_check": None if self._witness is None else dict(vars(self._witness.told)),
            "disk_problem": self._last_disk_problem,
        }

    def _finish(self) -> int:
        self._stopping.set()
        self._keeper.join()
        self._sync()
        done = self.delivery.finish(within=self._config.drain_seconds)
        try:
            self.spool.close()
        except OSError as error:
            self._disk_problem(error)
        self._tell()
        left = self.spool.backlog()["records"]
        log.info("stopped; %s", "the platform has everything" if done else f"{left} records wait in the spool")
        return 0 if done else 3

    def _keep(self) -> None:
        """Every second: to disk; every few: thin out, and say how it goes."""
        beat = 0
        while not self._stopping.wait(_SYNC_SECONDS):
            self._sync()
            beat += 1
            if beat % _TOLD_SECONDS == 0:
                self._tell()

    def _sync(self) -> None:
        try:
            self.spool.sync()
            aggregation.thin_out(self.spool, raw_limit=self._config.raw_mb * _MEGABYTE)
            self._last_disk_problem = ""
        except OSError as error:
            self._disk_problem(error)

    def _tell(self) -> None:
        try:
            state.write_live(self._config.state, self.told())
        except OSError as error:
            self._disk_problem(error)

    def _disk_problem(self, error: OSError) -> None:
        told = f"{error.strerror}: {error.filename or self._config.state}"
        if told != self._last_disk_problem:
            log.error("the state folder cannot be written: %s", told)
        self._last_disk_problem = told

    async def _follow(self) -> None:
        while True:
            more = self._poll_some()
            await asyncio.sleep(0 if more else _POLL_SECONDS)

    def _poll_some(self) -> bool:
        more = [self._poll(follower) for follower in self._followers]
        if self._inbox is not None and not any(more) and inbox.empty(self._config.state, self._inbox.read_up_to):
            self._inbox.begin_again()
        return any(more)

    def _poll_all(self) -> None:
        deadline = time.monotonic() + self._config.drain_seconds
        while self._poll_some() and time.monotonic() < deadline:
            pass

    @staticmethod
    def _poll(follower: Follower) -> bool:
        try:
            return follower.poll()
        except OSError as error:
            log.warning("%s cannot be read: %s", follower.name, error.strerror)
            return False

    async def _look_at_engine(self, witness: Witness) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = (self.counts.total, self.counts.in_flight)
            try:
                snapshot = await loop.run_in_executor(None, witness.fetch)
            except (OSError, MalformedMetrics) as error:
                witness.failed(error)
            else:
                self._poll_all()
                still = self._proxy is None or before == (self.counts.total, self.counts.in_flight)
                witness.look(snapshot, self.counts.total, moving=bool(self.counts.in_flight) or not still)
            await asyncio.sleep(self._config.metrics_interval)


def _proxy(config: Config, counts: Counts, spool: Spool) -> Proxy | None:
    if config.proxy_listen is None:
        return None
    options = ProxyOptions(
        listen=config.proxy_listen,
        engine=config.engine,
        source=config.source,
        served_format=config.served_format,
        most_body=config.max_body_mb * _MEGABYTE,
        silence_timeout=config.silence_seconds,
        certificate=config.tls_certificate,
        certificate_key=config.tls_key,
    )
    return Proxy(options, counts, spool.add)
