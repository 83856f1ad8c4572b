"""The ASGI application: Stripe's paths and manners, the hosted pages, and webhooks that leave after their call."""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.stripe import forms, pages, signing
from tests.fakes.stripe.books import Books, Refused, invalid
from tests.fakes.stripe.faults import CallFault, Faults

_ATTEMPTS = 5  # Stripe tries for three days
Given = dict[str, Any]


class Stripe:
    """One test account, served. `webhooks` is (address, secret); without it events only stand in the list."""

    def __init__(self, *, secret_key: str = "", webhooks: tuple[str, str] | None = None, state: Path | None = None,
                 faults: Faults | None = None) -> None:  # fmt: skip
        self.books = Books()
        self.faults = faults or Faults()
        self.calls: list[tuple[str, str, str]] = []  # method, path, idempotency key
        self._secret_key, self._webhooks, self._state = secret_key, webhooks, state
        self._sent = 0
        self._tasks: set[asyncio.Task[None]] = set()
        if state and state.exists():
            kept = json.loads(state.read_text())
            for name, value in kept.items():
                setattr(self.books, name, value)
            self._sent = len(self.books.events)

    async def __call__(self, scope: Given, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.books.address = f"http://{headers.get('host', '127.0.0.1')}"
        body = await _body(receive)
        method, path = scope["method"], scope["path"]
        given = forms.read(body.decode() if method == "POST" else scope["query_string"].decode())
        if path.startswith("/v1/"):
            await self._api(method, path, given, body, headers, send)
        elif path == "/_faults" and method == "POST":
            await _answer(send, 200, self._plan(json.loads(body)))
        else:
            await self._page(method, path, given, send)
        self._after()

    # The API

    async def _api(self, method: str, path: str, given: Given, body: bytes, headers: dict[str, str], send: Any) -> None:
        key = headers.get("idempotency-key", "")
        self.calls.append((method, path, key))
        fault = self.faults.of_call(method, path)
        if fault == "never":
            await _cut(send)
            return
        if fault == "slow":
            await asyncio.sleep(self.faults.seconds)
        status, answer = self._once(method, path, given, body, key, headers.get("authorization", ""))
        self._after()
        await self._reply(send, status, answer, fault)

    async def _reply(self, send: Any, status: int, answer: Given, fault: CallFault | None) -> None:
        if fault == "hang":
            await asyncio.sleep(self.faults.seconds)
        if fault == "cut":
            await _cut(send)
        elif fault == "error":
            await _answer(send, 500, {"error": {"type": "api_error", "message": "Something went wrong"}})
        else:
            await _answer(send, status, answer)

    def _once(self, method: str, path: str, given: Given, body: bytes, key: str, who: str) -> tuple[int, Given]:
        """The same key gives the first answer again; with another request it is refused."""
        secret = who.removeprefix("Bearer ")
        if not secret.startswith("sk_test_") or self._secret_key not in {"", secret}:
            return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}}
        digest = hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()
        if method == "POST" and key in self.books.answers:
            first, status, answer = self.books.answers[key]
            if first != digest:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                return 400, {"error": {"type": "idempotency_error", "message": message}}
            return status, answer
        try:
            status, answer = 200, self._route(method, path.removeprefix("/v1/").split("/"), given)
        except Refused as refused:
            status, answer = refused.status, refused.body
        answer = json.loads(json.dumps(answer))
        if method == "POST" and key and status in {200, 402}:
            self.books.answers[key] = [digest, status, answer]
        return status, answer

    def _route(self, method: str, parts: list[str], given: Given) -> Given:
        books = self.books
        make: dict[tuple[str, ...], Callable[[Given], Given]] = {
            ("customers",): books.customer, ("checkout", "sessions"): books.session,
            ("payment_intents",): books.intent, ("refunds",): books.refund, ("accounts",): books.account,
            ("account_links",): books.account_link, ("transfers",): books.transfer,
        }  # fmt: skip
        if method == "POST" and tuple(parts) in make:
            return make[tuple(parts)](given)
        if method == "POST":
            match parts:
                case ["checkout", "sessions", identifier, "expire"]:
                    return books.expire(identifier)
                case ["payment_intents", identifier, "confirm"]:
                    return books.confirm(identifier, given)
                case ["payment_intents", identifier, "cancel"]:
                    return books.cancel(identifier)
                case ["payment_methods", identifier, "detach"]:
                    return books.detach(identifier)
        if method == "GET":
            if parts == ["balance"]:
                return {"object": "balance", "available": [{"amount": books.balance("cny"), "currency": "cny"}]}
            if parts[:2] == ["checkout", "sessions"]:
                parts = ["checkout.sessions", *parts[2:]]
            if len(parts) == 2 and parts[0] == "events":
                return next((one for one in books.events if one["id"] == parts[1]), None) or books.get("", "event")
            if len(parts) == 2 and parts[0].endswith("s"):
                return self._expanded(books.get(parts[1], parts[0][:-1]), given)
            if len(parts) == 1 and parts[0].endswith("s"):
                return self._list(parts[0][:-1], given)
        raise Refused(404, "invalid_request_error", f"Unrecognized request URL ({method}: /v1/{'/'.join(parts)})")

    def _expanded(self, found: Given, given: Given) -> Given:
        shown = dict(found)
        for path in given.get("expand", []):
            place = shown
            for part in path.split("."):
                if isinstance(place.get(part), str):
                    place[part] = dict(self.books.objects[place[part]])
                place = place.get(part) or {}
        return shown

    def _list(self, kind: str, given: Given) -> Given:
        """Newest first, `limit` a page, after `starting_after`."""
        wanted = {name: given[name] for name in ("customer", "payment_intent", "type", "currency") if name in given}
        rows = self.books.of(kind, **wanted) if kind != "event" else self.books.events[::-1]
        created = given.get("created", {})
        rows = [
            one
            for one in rows
            if int(created.get("gte", 0)) <= one["created"] < int(created.get("lt", 2**62))
        ]  # fmt: skip
        if after := given.get("starting_after"):
            places = [place for place, one in enumerate(rows) if one["id"] == after]
            if not places:
                raise invalid(f"No such {kind}: '{after}'", "resource_missing")
            rows = rows[places[0] + 1 :]
        limit = min(int(given.get("limit", 10)), 100)
        inner = {"expand": [path.removeprefix("data.") for path in given.get("expand", [])]}
        shown = [self._expanded(one, inner) for one in rows[:limit]]
        return {"object": "list", "url": f"/v1/{kind}s", "has_more": len(rows) > limit, "data": shown}

    # The hosted pages

    async def _page(self, method: str, path: str, given: Given, send: Any) -> None:
        parts = path.strip("/").split("/")
        if len(parts) != 3 or parts[0] != "c":
            await _answer(send, 404, pages.frame("<h1>Nothing here</h1>"))
            return
        _, page, identifier = parts
        try:
            if page == "onboard":
                self.books.onboard(identifier)
                await _go(send, given.get("return_url", "/"))
                return
            session = self.books.get(identifier, "checkout.session")
            if session["status"] != "open":
                await _go(send, _back(session))
                return
            text = self._get(page, session) if method == "GET" else self._post(page, session, given)
        except Refused as refused:
            await _answer(send, refused.status, pages.frame(f"<h1>{refused}</h1>"))
            return
        if text is None:
            await _go(send, _back(session))
        else:
            await _answer(send, 200, text)

    def _get(self, page: str, session: Given) -> str:
        return pages.checkout(session) if page == "pay" else pages.redirected(session, page)

    def _post(self, page: str, session: Given, given: Given) -> str | None:
        """A page to show, or None where the buyer goes back to the shop."""
        if page == "pay":
            number = given.get("number", "")
            outcome = self.books.pay(session["id"], number=number)
            if outcome == "authenticate":
                return pages.authenticate(session, number)
        elif page == "3ds":
            outcome = self.books.pay(
                session["id"], number=given.get("number", ""), authenticated=given.get("do") != "fail"
            )
        elif given.get("do") == "decline":
            return pages.checkout(session, note="The payment was declined. Choose another way to pay.")
        else:
            outcome = self.books.pay(session["id"], method=page, later=given.get("do") == "later")
            if given.get("do") == "later":
                self._start(self._finish_later(session["id"]))
        return pages.checkout(session, note="The card was declined.") if outcome == "declined" else None

    async def _finish_later(self, session_id: str) -> None:
        await asyncio.sleep(8)
        self.books.finish_later(session_id, paid=True)
        self._after()

    # Webhooks, faults, state

    def _plan(self, wanted: Given) -> Given:
        """`POST /_faults` with members of `Faults`, such as {"planned": [["POST /v1/refunds", "hang"]]}."""
        for name, value in wanted.items():
            setattr(self.faults, name, [tuple(one) for one in value] if name == "planned" else value)
        return {"planned": self.faults.planned}

    def _after(self) -> None:
        new, self._sent = self.books.events[self._sent :], len(self.books.events)
        if self._webhooks:
            for event in new:
                for wait in self.faults.deliveries():
                    self._start(self._deliver(event, wait))
        if self._state and new:
            kept = {name: getattr(self.books, name) for name in ("objects", "events", "answers", "numbers", "planned")}
            partial = self._state.with_suffix(".new")
            partial.write_text(json.dumps(kept))
            partial.replace(self._state)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, event: Given, wait: float) -> None:
        """Send one event until somebody takes it."""
        assert self._webhooks
        address, secret = self._webhooks
        await asyncio.sleep(wait)
        body = signing.body_of(event)
        for attempt in range(_ATTEMPTS):
            if await asyncio.to_thread(_post, address, body, signing.signature(body, secret)):
                return
            await asyncio.sleep(2.0**attempt)


def _post(address: str, body: bytes, signature: str) -> bool:
    if urlsplit(address).scheme not in {"http", "https"}:
        raise ValueError(address)
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
    request = urllib.request.Request(address, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _back(session: Given) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(send: Any, status: int, content: Given | str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    kind = b"text/html; charset=utf-8" if isinstance(content, str) else b"application/json"
    body = text.encode()
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _go(send: Any, address: str) -> None:
    await send({"type": "http.response.start", "status": 303, "headers": [(b"location", address.encode())]})
    await send({"type": "http.response.body", "body": b""})


async def _cut(send: Any) -> None:
    """An answer that breaks off: the caller cannot know what happened."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"100000"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"id": "', "more_body": True})
