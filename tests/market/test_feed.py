"""The live market over WebSocket."""

import asyncio
import json

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import InterfaceError

from market import asgi
from market.consumers import feed as consumers
from market.consumers import sockets


def frame(number, **changes):
    products = [{"id": "prd_a", "price": "1.80"}, {"id": "prd_b", "price": None}]
    return {"type": "round", "seq": number, "prev_seq": number - 1, "halted": False, "products": products, **changes}


class Source:
    """What the pump would read from the database."""

    def __init__(self):
        self.frames, self.halted, self.reads, self.away = [frame(1)], False, 0, False

    def snapshot(self):
        if self.away:
            raise InterfaceError
        return self.frames[-1]

    def after(self, sequence):
        self.reads += 1
        if self.away:
            raise InterfaceError
        return [one for one in self.frames if one["seq"] > sequence], self.halted


@pytest.fixture
def source(monkeypatch):
    source = Source()
    monkeypatch.setattr(consumers, "_read_snapshot", source.snapshot)
    monkeypatch.setattr(consumers, "_read_after", source.after)
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(sockets, "HEARTBEAT_SECONDS", 0.05)
    return source


class Socket(ApplicationCommunicator):
    """One listener."""

    def __init__(self, query="", *, path="/ws/v1/market", headers=()):
        scope = {"type": "websocket", "path": path, "query_string": query.encode(), "headers": list(headers),
                 "subprotocols": []}  # fmt: skip
        super().__init__(asgi.application, scope)

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

    async def closed(self):
        """The code and reason of the end, whatever comes before it."""
        while True:
            output = await self.receive_output(timeout=2)
            if output["type"] == "websocket.close":
                return output["code"], output["reason"]

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
            socket = consumers.MarketSocket({"query_string": b""}, None, None)
            pump = consumers._pump()
            pump._stand(frame(50))
            for number in range(40):
                socket.offer(consumers.Message(frame(number)))
            waiting = [socket.queue.get_nowait() for _ in range(socket.queue.qsize())]
            return [json.loads(one.text(None)) for one in waiting]

        waiting = asyncio.run(scene())
        assert len(waiting) <= consumers.QUEUE_LENGTH
        assert waiting[0]["type"] == "snapshot"
        assert waiting[0]["seq"] == 50

    def test_answers_resync_with_where_the_market_stands(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            await socket.say('{"type": "resync"}')
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert asyncio.run(scene())["seq"] == 1

    def test_refuses_a_flood_of_resyncs(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            await socket.say('{"type": "resync"}')
            await socket.say('{"type": "resync"}')
            message = await socket.next("error")
            await socket.leave()
            return message

        assert asyncio.run(scene())["code"] == "too_many_resyncs"

    def test_gives_one_snapshot_for_many_frames_after_a_gap(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            source.frames = [frame(7), frame(8), frame(9)]
            first = await socket.next("snapshot")
            source.frames.append(frame(10))
            second = await socket.next("round")
            await socket.leave()
            return first["seq"], second["seq"]

        assert asyncio.run(scene()) == (9, 10)

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            ('{"type": "hello"}', "unknown_message"),
            ("{}", "unknown_message"),
            ("resync", "not_json"),
            ("[1]", "not_json"),
            ("[" * 1_000, "not_json"),
            ('{"type": "resync", "pad": "' + "x" * 1_024 + '"}', "message_too_large"),
            (None, "not_json"),
        ],
    )
    def test_refuses_what_it_does_not_know_by_a_stable_code(self, source, said, code):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            await socket.send_input({"type": "websocket.receive", "text": said, "bytes": None if said else b"\x00"})
            message = await socket.next("error")
            source.frames.append(frame(2))
            after = await socket.next("round")
            await socket.leave()
            return message, after["seq"]

        message, seq = asyncio.run(scene())
        assert set(message) == {"type", "code", "detail"}
        assert (message["code"], seq) == (code, 2)

    def test_closes_on_one_that_goes_on_with_bad_messages(self, source):
        async def scene():
            socket = await opened()
            for _ in range(sockets.MOST_FAULTS):
                await socket.say("?")
            return await socket.closed(), len(consumers._pump().sockets)

        assert asyncio.run(scene()) == ((sockets.BAD_MESSAGES, "too_many_bad_messages"), 0)

    def test_drops_one_that_takes_nothing_and_serves_the_others(self, source, monkeypatch):
        monkeypatch.setattr(sockets, "SEND_SECONDS", 0.1)
        aborted = []

        class Stuck:
            """A server whose client has accepted the handshake and reads nothing more."""

            transport = type("Transport", (), {"abort": lambda self: aborted.append(True)})()

            async def receive(self):
                if not hasattr(self, "asked"):
                    self.asked = True
                    return {"type": "websocket.connect"}
                return await asyncio.Event().wait()

            async def send(self, message):
                if message["type"] != "websocket.accept":
                    await asyncio.Event().wait()

        async def scene():
            monkeypatch.setattr(sockets, "GOODBYE_SECONDS", 0.05)
            other, stuck = await opened(), Stuck()
            scope = {"type": "websocket", "path": "/ws/v1/market", "query_string": b"", "headers": []}
            await asyncio.wait_for(asgi.application(scope, stuck.receive, stuck.send), 2)
            left = len(consumers._pump().sockets)
            source.frames.append(frame(2))
            message = await other.next("round")
            await other.leave()
            return left, message["seq"]

        assert asyncio.run(scene()) == (1, 2)
        assert aborted == [True]

    def test_closes_with_a_code_while_the_database_is_away(self, source):
        async def scene():
            source.away = True
            return await (await opened()).closed()

        assert asyncio.run(scene()) == (sockets.TRY_LATER, "database_away")

    def test_is_silent_while_the_database_is_away_and_goes_on_after(self, source):
        async def scene():
            socket = await opened()
            await socket.next("snapshot")
            source.away = True
            await asyncio.sleep(0.05)
            while not socket.output_queue.empty():
                socket.output_queue.get_nowait()
            silent = await socket.receive_nothing(timeout=0.15)
            source.frames.append(frame(2))
            source.away = False
            message = await socket.next("round")
            await socket.leave()
            return silent, message["seq"]

        assert asyncio.run(scene()) == (True, 2)

    def test_is_full_at_some_number_of_sockets(self, source, monkeypatch):
        monkeypatch.setattr(sockets, "MOST_SOCKETS", 1)

        async def scene():
            first = await opened()
            end = await (await opened()).closed()
            await first.leave()
            again = await opened()
            await again.leave()
            return end

        assert asyncio.run(scene()) == (sockets.TRY_LATER, "too_many_sockets")

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

    def test_reads_as_often_for_many_sockets_as_for_one(self, source):
        async def reads(count):
            sockets_ = [await opened() for _ in range(count)]
            began = source.reads
            await asyncio.sleep(0.2)
            read = source.reads - began
            for socket in sockets_:
                await socket.leave()
            return read

        assert asyncio.run(reads(50)) <= 20


class TestOrigin:
    def refused(self, path="/ws/v1/market", **headers):
        async def scene():
            socket = Socket(path=path, headers=[(name.encode(), value.encode()) for name, value in headers.items()])
            await socket.send_input({"type": "websocket.connect"})
            first = await socket.receive_output(timeout=2)
            if first["type"] == "websocket.accept":
                await socket.leave()
            return first["type"] == "websocket.close"

        return asyncio.run(scene())

    def test_of_this_site_is_let_in(self, source, settings):
        settings.ALLOWED_HOSTS = ["spot.example", "::1"]

        assert not self.refused(origin="https://spot.example:8443")

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "https://spot.example.evil", "http://[", "", "ü"]
    )
    def test_of_another_site_is_refused(self, source, settings, origin):
        settings.ALLOWED_HOSTS = ["spot.example"]

        assert self.refused(origin=origin)

    def test_is_not_needed_by_programs(self, source, settings):
        settings.ALLOWED_HOSTS = ["spot.example"]

        assert not self.refused()

    def test_of_an_unknown_address_is_refused(self, source):
        assert self.refused("/ws/v1/nothing")


@pytest.mark.django_db
class TestReading:
    def test_follows_the_rounds_of_the_database(self, world):
        read, after = consumers._read_snapshot, consumers._read_after
        before = read()
        world.round()
        world.round()

        frames, halted = after(before["seq"])

        assert (before["seq"], [one["seq"] for one in frames], halted) == (0, [1, 2], False)
        assert read()["seq"] == 2

    def test_of_a_site_without_a_market_is_a_halted_empty_one(self, db):
        assert consumers._read_snapshot()["halted"] is True
        assert consumers._read_after(0) == ([], True)
