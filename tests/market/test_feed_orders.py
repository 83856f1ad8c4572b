"""The private feed of orders over WebSocket."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.db import connections
from django.test import Client

from accounts.models import ApiKey, Member, User
from accounts.selectors import clock
from accounts.services import keys, members
from market import asgi, selectors, services
from market.consumers import orders, sockets
from market.kernel.amending import Change
from market.selectors import changes

YUAN = 10**6
PRICE = 1_800_000
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def here(monkeypatch, db):
    """Reads stay in the test's own transaction, and come quickly."""
    # Under a running loop Django would look for a connection of its own.
    monkeypatch.setattr(connections, "_connections", SimpleNamespace(default=connections["default"]))

    async def at_once(work, *arguments):
        return work(*arguments)

    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    monkeypatch.setattr(orders, "in_pool", at_once)
    monkeypatch.setattr(orders, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(orders, "AUTH_SECONDS", 0.2)
    monkeypatch.setattr(sockets, "HEARTBEAT_SECONDS", 0.05)


@pytest.fixture
def other(world):
    return world.organisation("buyer", yuan=1_000)


def key_of(actor, *scopes):
    return keys.create(actor=actor, name="bot", scopes=scopes or ["orders:read"], now=clock.now()).secret


class Socket(ApplicationCommunicator):
    """One listener."""

    def __init__(self, **headers):
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": "/ws/v1/orders", "query_string": b"", "headers": pairs}
        super().__init__(asgi.application, scope)

    async def open(self):
        await self.send_input({"type": "websocket.connect"})
        assert (await self.receive_output(timeout=2))["type"] == "websocket.accept"
        return self

    async def next(self, kind):
        """The next message of a kind; heartbeats come between."""
        while True:
            output = await self.receive_output(timeout=2)
            assert output["type"] == "websocket.send", output
            message = json.loads(output["text"])
            if message["type"] == kind:
                return message

    async def quiet(self):
        """What else comes in a while that is longer than many readings."""
        await asyncio.sleep(0.1)
        found = []
        while not self.output_queue.empty():
            found.append(json.loads(self.output_queue.get_nowait()["text"]))
        return [one for one in found if one["type"] != "heartbeat"]

    async def say(self, **message):
        await self.send_input({"type": "websocket.receive", "text": json.dumps(message)})

    async def closed(self):
        while True:
            output = await self.receive_output(timeout=2)
            if output["type"] == "websocket.close":
                return output["code"], output["reason"]

    async def leave(self):
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=2)


def of_key(secret):
    return Socket(authorization=f"Bearer {secret}")


def after_first(socket, scene):
    """Open, pass over the snapshot, and play a scene."""

    async def play():
        await socket.open()
        await socket.next("snapshot")
        result = await scene(socket)
        await socket.leave()
        return result

    return asyncio.run(play())


def end_of(socket):
    async def scene():
        await socket.open()
        return await socket.closed()

    return asyncio.run(scene())


class TestWhoMayListen:
    def test_a_key_with_the_scope(self, world, buyer):
        async def nothing(socket):
            return await socket.quiet()

        assert after_first(of_key(key_of(buyer)), nothing) == []

    def test_a_key_in_the_first_message(self, world, buyer):
        secret = key_of(buyer)

        async def scene():
            socket = await Socket().open()
            await socket.say(type="auth", key=secret)
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert asyncio.run(scene()) == {"type": "snapshot", "seq": 0, "data": [], "next": None}

    @pytest.mark.parametrize(
        "header", ["Bearer tsk_wrong", "Bearer ", "Basic abc", "tsk", "Bearer tsk_aaaaaaaa_" + "x" * 43]
    )
    def test_nobody_with_a_wrong_key(self, world, header):
        assert end_of(Socket(authorization=header)) == (sockets.UNAUTHORIZED, "unauthorized")

    def test_nobody_with_a_wrong_key_in_the_first_message(self, world):
        async def scene():
            socket = await Socket().open()
            await socket.say(type="auth", key="tsk_wrong")
            return await socket.closed()

        assert asyncio.run(scene()) == (sockets.UNAUTHORIZED, "unauthorized")

    def test_nobody_who_says_nothing(self, world):
        assert end_of(Socket()) == (sockets.UNAUTHORIZED, "unauthorized")

    def test_nobody_without_the_scope(self, world, buyer):
        assert end_of(of_key(key_of(buyer, "market:read"))) == (sockets.FORBIDDEN, "forbidden")

    def test_nobody_whose_key_was_revoked(self, world, buyer):
        secret = key_of(buyer)
        ApiKey.objects.update(revoked_at=clock.now())

        assert end_of(of_key(secret)) == (sockets.UNAUTHORIZED, "unauthorized")

    def test_not_more_than_some_of_one_organisation(self, world, buyer, monkeypatch):
        monkeypatch.setattr(orders, "MOST_OF_ONE", 1)
        secret = key_of(buyer)

        async def scene():
            first = await of_key(secret).open()
            await first.next("snapshot")
            end = await (await of_key(secret).open()).closed()
            await first.leave()
            return end

        assert asyncio.run(scene()) == (sockets.TOO_MANY, "too_many_sockets")

    def test_ends_soon_after_its_key_is_revoked(self, world, buyer, monkeypatch):
        monkeypatch.setattr(orders, "RECHECK_SECONDS", 0.02)
        secret = key_of(buyer)

        async def scene():
            socket = await of_key(secret).open()
            await socket.next("snapshot")
            ApiKey.objects.update(revoked_at=clock.now())
            return await socket.closed(), orders._pump(None).sockets

        assert asyncio.run(scene()) == ((sockets.UNAUTHORIZED, "unauthorized"), {})


class TestSession:
    @pytest.fixture
    def cookie(self, world, buyer):
        user_id = members.add(
            organisation_id=buyer.organisation_id, email="t@buyer.example", role="viewer", now=clock.now()
        )
        client = Client()
        client.force_login(User.objects.get(id=user_id))
        return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"

    @pytest.fixture
    def page(self, cookie, settings):
        settings.ALLOWED_HOSTS = ["spot.example"]
        return Socket(cookie=cookie, origin="https://spot.example")

    def test_of_a_page_of_this_site_listens(self, world, buyer, page):
        async def scene(socket):
            world.bid(buyer, 10**6, PRICE)
            return len((await socket.next("orders"))["data"])

        assert after_first(page, scene) == 1

    def test_of_another_site_is_refused_before_the_handshake(self, cookie, page):
        async def scene():
            socket = Socket(cookie=cookie, origin="https://evil.example")
            await socket.send_input({"type": "websocket.connect"})
            return await socket.receive_output(timeout=2)

        assert asyncio.run(scene()) == {"type": "websocket.close"}

    def test_cookie_without_an_origin_is_no_sign_in(self, cookie):
        assert end_of(Socket(cookie=cookie)) == (sockets.UNAUTHORIZED, "unauthorized")

    def test_unknown_is_refused(self, world, page, settings):
        socket = Socket(cookie="sessionid=nonsense", origin="https://spot.example")

        assert end_of(socket) == (sockets.UNAUTHORIZED, "unauthorized")

    @pytest.mark.parametrize("end", ["logged out", "taken out", "password changed"])
    def test_ends_with_the_sign_in(self, world, buyer, page, monkeypatch, end):
        from django.contrib.sessions.models import Session

        monkeypatch.setattr(orders, "RECHECK_SECONDS", 0.02)

        async def scene():
            socket = await page.open()
            await socket.next("snapshot")
            if end == "logged out":
                Session.objects.all().delete()
            elif end == "taken out":
                Member.objects.all().delete()
            else:
                user = User.objects.get()
                user.set_password("another-password")
                user.save()
            return await socket.closed()

        assert asyncio.run(scene()) == (sockets.UNAUTHORIZED, "unauthorized")


class TestOrders:
    @pytest.fixture
    def secret(self, buyer):
        return key_of(buyer)

    def test_starts_with_what_is_open(self, world, buyer, secret):
        view = world.bid(buyer, 10**6, PRICE)

        async def scene():
            socket = await of_key(secret).open()
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        assert asyncio.run(scene()) == {"type": "snapshot", "seq": 0, "data": [asgi._order(view)], "next": None}

    def test_starts_with_a_page_and_where_rest_goes_on(self, world, buyer, secret, monkeypatch):
        monkeypatch.setattr(orders, "PAGE", 2)
        for _ in range(3):
            world.bid(buyer, 10**6, PRICE)

        async def scene():
            socket = await of_key(secret).open()
            message = await socket.next("snapshot")
            await socket.leave()
            return message

        message = asyncio.run(scene())
        rest = Client(headers={"authorization": f"Bearer {secret}"}).get(f"/api/v1/orders?cursor={message['next']}")
        assert (len(message["data"]), len(rest.json()["data"])) == (2, 1)

    def test_says_each_own_change_as_rest_has_it(self, world, buyer, seller, secret):
        rest = Client(headers={"authorization": f"Bearer {secret}"})

        async def scene(socket):
            said = []

            async def hear():
                message = await socket.next("orders")
                [order] = message["data"]
                assert order == rest.get(f"/api/v1/orders/{order['id']}").json()
                said.append((message["seq"], message["prev_seq"], order["status"], order["left_st"]))

            bid = world.bid(buyer, 4_000_000, PRICE)
            await hear()
            services.amending.amend(bid.id, Change(quantity_st=3_000_000), actor=buyer, now=world.now)
            await hear()
            world.offer(seller, 1_000_000, 1_700_000)
            world.round()
            await hear()
            services.orders.cancel(bid.id, actor=buyer, now=world.now)
            await hear()
            return said

        assert after_first(of_key(secret), scene) == [
            (1, 0, "open", "4000000"),
            (2, 1, "open", "3000000"),
            (3, 2, "partially_filled", "2000000"),
            (4, 3, "cancelled", "0"),
        ]

    def test_says_an_order_that_came_and_went_between_two_readings(self, world, buyer, secret, monkeypatch):
        async def scene(socket):
            bid = world.bid(buyer, 10**6, PRICE)
            services.orders.cancel(bid.id, actor=buyer, now=world.now)
            [order] = (await socket.next("orders"))["data"]
            return order["status"]

        assert after_first(of_key(secret), scene) == "cancelled"

    def test_says_nothing_while_nothing_changes(self, world, buyer, secret):
        world.bid(buyer, 10**6, PRICE)

        async def scene(socket):
            world.round()
            return await socket.quiet()

        assert after_first(of_key(secret), scene) == []

    def test_beats_while_nothing_changes(self, world, secret):
        async def scene(socket):
            return await socket.next("heartbeat")

        assert after_first(of_key(secret), scene) == {"type": "heartbeat", "seq": 0}

    def test_never_says_another_organisations_orders(self, world, buyer, other, seller, secret):
        theirs = key_of(other)

        async def scene(mine):
            their = await of_key(theirs).open()
            await their.next("snapshot")
            world.bid(other, 2_000_000, PRICE)
            world.offer(seller, 1_000_000, 1_700_000)
            world.round()
            told = (await their.next("orders"))["data"]
            nothing = await mine.quiet()
            own = world.bid(buyer, 1_000_000, PRICE)
            [order] = (await mine.next("orders"))["data"]
            rest = [one["id"] for message in await their.quiet() for one in message["data"]]
            await their.leave()
            return len(told), nothing, order["id"] == asgi._order(own)["id"], order["id"] in rest

        assert after_first(of_key(secret), scene) == (1, [], True, False)

    def test_reads_once_for_all_sockets(self, world, buyer, secret, monkeypatch):
        counted = []
        read = changes.marks
        monkeypatch.setattr(changes, "marks", lambda *given: (counted.append(given), read(*given))[1])
        shaped = []
        monkeypatch.setattr(
            asgi.order_serializers,
            "order",
            lambda view, real=asgi.order_serializers.order: (shaped.append(1), real(view))[1],
        )

        async def scene():
            listening = [await of_key(secret).open() for _ in range(20)]
            for socket in listening:
                await socket.next("snapshot")
            counted.clear()
            world.bid(buyer, 10**6, PRICE)
            for socket in listening:
                await socket.next("orders")
            readings = len(counted)
            for socket in listening:
                await socket.leave()
            return readings, len(shaped), orders._pump(None)._task

        readings, shapings, task = asyncio.run(scene())
        assert readings <= 3
        assert (shapings, task) == (1, None)

    def test_answers_resync_with_what_is_open(self, world, buyer, secret):
        async def scene(socket):
            world.bid(buyer, 10**6, PRICE)
            await socket.next("orders")
            await socket.say(type="resync")
            first = await socket.next("snapshot")
            await socket.say(type="resync")
            return first["seq"], len(first["data"]), (await socket.next("error"))["code"]

        assert after_first(of_key(secret), scene) == (1, 1, "too_many_resyncs")

    def test_refuses_what_it_does_not_know(self, world, secret):
        async def scene(socket):
            await socket.say(type="place")
            first = (await socket.next("error"))["code"]
            await socket.say(type="auth", key=1)
            return first, (await socket.next("error"))["code"]

        assert after_first(of_key(secret), scene) == ("unknown_message", "unknown_message")

    def test_says_many_orders_in_pages(self, world, buyer, secret, monkeypatch):
        monkeypatch.setattr(orders, "PAGE", 2)
        monkeypatch.setattr(orders, "BATCH", 2)

        async def scene(socket):
            made = {asgi._order(world.bid(buyer, 10**6, PRICE))["id"] for _ in range(5)}
            pages = []
            while sum(map(len, pages)) < 5:
                pages.append([one["id"] for one in (await socket.next("orders"))["data"]])
            return [len(page) for page in pages], {one for page in pages for one in page} == made

        assert after_first(of_key(secret), scene) == ([2, 2, 1], True)


class TestOneThatFallsBehind:
    def socket(self):
        return orders.OrdersSocket({"headers": []}, None, None, None)

    def test_gets_the_last_state_of_each_order(self, world):
        async def scene():
            socket = self.socket()
            for state in ("1", "2", "3"):
                socket.tell({"a": state})
            return await socket.next_text()

        assert json.loads(asyncio.run(scene()))["data"] == [3]

    def test_gets_nothing_older_after_a_snapshot(self, world):
        async def scene():
            socket = self.socket()
            socket.tell({"a": "1"})
            socket.start({"data": [2], "next": None})
            socket.tell({"a": "3"})
            return [json.loads(await socket.next_text())["data"] for _ in range(3)]

        assert asyncio.run(scene()) == [[1], [2], [3]]

    def test_is_dropped_with_a_code_before_it_fills_the_memory(self, world, monkeypatch):
        monkeypatch.setattr(orders, "MOST_WAITING", 10)

        async def scene():
            socket = self.socket()
            for number in range(100):
                socket.tell({number: "1"})
            return socket._end.result(), len(socket._waiting) <= 10

        # Once it is asked to close, nothing more is kept for it.
        assert asyncio.run(scene()) == ((sockets.TOO_SLOW, "too_slow"), True)


class TestChanges:
    def test_of_an_organisation_show_in_its_marks_only(self, world, buyer, other):
        both = [buyer.organisation_id, other.organisation_id]
        since = changes.new_since(clock.now())
        before = changes.marks(both, since)
        world.bid(buyer, 10**6, PRICE)

        after = changes.marks(both, since)

        assert after[both[0]] != before[both[0]]
        assert after[both[1]] == before[both[1]] == (0, 0, 0)

    def test_are_new_other_and_ended_orders(self):
        assert changes.changed({"a": 1, "b": 2, "c": 3, "d": 0, "e": 5}, {"a": 1, "b": 9, "e": 0, "f": 0, "g": 7}) == [
            "b", "c", "e", "f", "g",
        ]  # fmt: skip

    def test_of_an_order_older_than_all_that_is_new_show_its_end(self, world, buyer):
        bid = world.bid(buyer, 10**6, PRICE)
        late = changes.new_since(clock.now() + 2 * changes.LATE)
        before = changes.states([buyer.organisation_id], late)[buyer.organisation_id]
        services.orders.cancel(bid.id, actor=buyer, now=world.now)

        after = changes.states([buyer.organisation_id], late)[buyer.organisation_id]

        assert changes.changed(before, after) == [bid.id]
        assert selectors.orders_many([bid.id])[bid.id].status == "cancelled"
