"""The proxy as a whole: listens, watches over its connections, and turns answers into records."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from tokenspot_client.agent.counts import Counts
from tokenspot_client.agent.proxy.asking import Ask
from tokenspot_client.agent.proxy.exchange import Exchange
from tokenspot_client.agent.proxy.upstream import Engine
from tokenspot_client.agent.records import BadRecord, Record, record_id
from tokenspot_client.engines.usage import Usage

log = logging.getLogger("tokenspot.agent")
_IDLE_SECONDS = 120  # a client that says nothing so long is let go


@dataclass(frozen=True)
class ProxyOptions:
    """Where to listen and how patient to be; seconds and bytes."""

    listen: tuple[str, int]
    engine: str
    source: str = "agent"
    served_format: str | None = None
    most_body: int = 32 * 1024 * 1024
    connect_timeout: float = 10.0
    silence_timeout: float = 600.0
    certificate: str | None = None
    certificate_key: str | None = None


class Proxy:
    """Runs on one event loop.

    :param keep: takes every record; must not raise for a full disk.
    """

    def __init__(self, options: ProxyOptions, counts: Counts, keep: Callable[[Record], None]) -> None:
        self.options = options
        self.engine = Engine(options.engine)
        self.counts = counts
        self.most_body = options.most_body
        self.connect_timeout = options.connect_timeout
        self.draining = False
        self._keep = keep
        self._open: set[Exchange] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; the port.

        :raises OSError: it is taken, or the certificate cannot be read.
        """
        options = self.options
        tls = None
        if options.certificate:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(options.certificate, options.certificate_key)
        host, port = options.listen
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Exchange(self), host, port, ssl=tls, backlog=1024)
        self._sweeper = loop.create_task(self._sweep())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, *, within: float) -> int:
        """Take no new request and let those under way finish; how many were cut off."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for exchange in list(self._open):
            exchange.close_when_idle()
        deadline = time.monotonic() + within
        while self.counts.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        cut = self.counts.in_flight
        for exchange in list(self._open):
            if exchange.busy:
                exchange.overdue()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.engine.close()
        await asyncio.sleep(0)
        return cut

    def opened(self, exchange: Exchange) -> None:
        self._open.add(exchange)

    def closed(self, exchange: Exchange) -> None:
        self._open.discard(exchange)

    def metered(self, ask: Ask, usage: Usage, *, started: float, first: float, finished: float) -> None:
        """A request's usage is known: keep its record where the market sent it."""
        market = ask.market
        if market is None:
            self.counts.add(usage, market=False)
            return
        record = Record(
            source=self.options.source,
            id=record_id(self.options.source, market.request),
            request_id=market.request,
            allocation=market.allocation,
            card=market.card,
            prompt=usage.prompt,
            cached=usage.cached or 0,
            generated=usage.generated,
            limit=ask.limit,
            finish_reason=usage.finish_reason or "",
            served_format=self.options.served_format,
            time=first,
            started_at=started,
            finished_at=finished,
            drafted=_drafted(usage),
            accepted=usage.accepted_prediction,
        )
        try:
            self._keep(record)
        except BadRecord as error:
            log.warning("a request cannot be recorded: %s", error)
            self.counts.unmetered[f"bad_{error.field}"] += 1
            self.counts.add(usage, market=False)
            return
        self.counts.add(usage, market=True)

    def unmetered(self, reason: str, ask: Ask) -> None:
        """A request was answered and its usage is not known."""
        self.counts.unmetered[reason if ask.market else f"own_{reason}"] += 1

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.engine.sweep()
            oldest = time.monotonic() - self.options.silence_timeout
            for exchange in list(self._open):
                if exchange.busy and exchange.heard < oldest:
                    exchange.overdue()
                elif exchange.heard < time.monotonic() - _IDLE_SECONDS:
                    exchange.close_when_idle()


def _drafted(usage: Usage) -> int | None:
    if usage.accepted_prediction is None or usage.rejected_prediction is None:
        return None
    return usage.accepted_prediction + usage.rejected_prediction
