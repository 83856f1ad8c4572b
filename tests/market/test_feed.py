"""The live market over WebSocket."""

import asyncio
import json

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter

from market import consumers


def frame(number, **changes):
    products = [{"id": "prd_a", "price": "1.80"}, {"id": "prd_b", "price": None}]
    return {"type": "round", "seq": number, "prev_seq": number - 1, "halted": False, "products": products, **changes}


class Source:
    """What the pump would read from the database."""

    def __init__(self):
        self.frames, self.halted = [frame(1)], False

    async def snapshot(self):
        return self.frames[-1]

    async def after(self, sequence):
        return [one for one in self.frames if one["seq"] > sequence], self.halted


@pytest.fixture
def source(monkeypatch):
    source = Source()
    monkeypatch.setattr(consumers, "_read_snapshot", source.snapshot)
    monkeypatch.setattr(consumers, "_read_after", source.after)
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(consumers, "HEARTBEAT_SECONDS", 0.05)
    return source


class Socket(ApplicationCommunicator):
    """One listener."""

    def __init__(self, query=""):
        scope = {"type": "websocket", "path": "/ws/v1/market", "query_string": query.encode(), "headers": [],
                 "subprotocols": []}  # fmt: skip
        super().__init__(URLRouter(consumers.websocket_urlpatterns), scope)

    async def next(self, kind):
        """The next message of a kind; heartbeats come between."""
        while True:
            output = await self.receive_output(timeout=2)
            assert output["type"] == "websocket.send", output
            message = json.loads(output["text"])
            if message["type"] == kind:
                return message

    async def say(self, text):
        await self.send_input({"type": "websocket.receive", "text": text})

    async def leave(self):
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=2)


async def opened(query=""):
    socket = Socket(query)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(timeout=2))["type"] == "websocket.accept"
    return socket


class TestFeed:
    def test_starts_with_a_snapshot_and_goes_on_in_sequence(self, source):
        async def scene():
            socket = await opened()
            first = await socket.next("snapshot")
            source.frames.append(frame(2))
            second = await socket.next("round")
            await socket.leave()
            return first, second

        first, second = asyncio.run(scene())
        assert first["seq"] == second["prev_seq"] == 1
        assert second["seq"] == 2

    def test_narrows_to_one_product(self, source):
        async def scene():
            socket = await opened("product=prd_a")
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert [one["id"] for one in asyncio.run(scene())["products"]] == ["prd_a"]

    def test_beats_while_nothing_happens(self, source):
        async def scene():
            socket = await opened()
            message = await socket.next("heartbeat")
            await socket.leave()
            return message

        assert asyncio.run(scene()) == {"type": "heartbeat", "seq": 1, "halted": False}

    def test_says_when_the_market_is_halted(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            source.halted = True
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert asyncio.run(scene())["halted"] is True

    def test_gives_a_snapshot_after_a_gap(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            source.frames = [frame(7)]
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert asyncio.run(scene())["seq"] == 7

    def test_gives_one_that_falls_behind_the_newest_instead_of_all(self, source):
        async def scene():
            socket = consumers.MarketConsumer()
            socket.queue = asyncio.Queue(consumers.QUEUE_LENGTH)
            pump = consumers._pump()
            pump._snapshot = frame(50)
            for number in range(40):
                socket.offer(consumers.Message(frame(number)))
            waiting = [socket.queue.get_nowait() for _ in range(socket.queue.qsize())]
            return [json.loads(one.text(None)) for one in waiting]

        waiting = asyncio.run(scene())
        assert len(waiting) <= consumers.QUEUE_LENGTH
        assert waiting[0]["type"] == "snapshot"
        assert waiting[0]["seq"] == 50

    def test_answers_any_word_with_where_the_market_stands(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            await socket.say("resync")
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert asyncio.run(scene())["seq"] == 1

    def test_a_pump_serves_all_sockets_and_ends_with_the_last(self, source):
        async def scene():
            sockets = [await opened() for _ in range(5)]
            for socket in sockets:
                await socket.next("snapshot")
            source.frames.append(frame(2))
            seen = [(await socket.next("round"))["seq"] for socket in sockets]
            pump = consumers._pump()
            running = pump._task
            for socket in sockets:
                await socket.leave()
            return seen, running is not None, pump._task

        assert asyncio.run(scene()) == ([2] * 5, True, None)


@pytest.mark.django_db
class TestReading:
    def test_follows_the_rounds_of_the_database(self, world):
        read, after = consumers._read_snapshot.func, consumers._read_after.func
        before = read()
        world.round()
        world.round()

        frames, halted = after(before["seq"])

        assert (before["seq"], [one["seq"] for one in frames], halted) == (0, [1, 2], False)
        assert read()["seq"] == 2

    def test_of_a_site_without_a_market_is_a_halted_empty_one(self, db):
        assert consumers._read_snapshot.func()["halted"] is True
        assert consumers._read_after.func(0) == ([], True)
