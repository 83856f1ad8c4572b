"""Programs of the fault tests, each a process of its own, started by `runner.py`.

They act through the services, as the site's own role. Where one dies, it dies by
SIGKILL at a place that this file alone patches in.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from django.db.models import F

import ledger.selectors
import market.selectors
from accounts import services as accounts
from accounts.kernel import ids
from accounts.kernel.errors import DomainError
from accounts.selectors import actors, clock
from config import seeding
from config.database import as_owner
from config.services.processes import die_with_parent
from config.settings.addresses import state_dir
from ledger.services import Busy
from market import locks
from market.kernel.orders import Choice
from market.models import ComponentTask, Market
from market.services import (
    CellTerms,
    OrderDraft,
    SupplyDraft,
    components,
    failpoints,
    freezing,
    orders,
    rounds,
    supply,
    writing,
)
from providers import services as providers

YUAN = 10**6
LOT = 1_000
LINE, GRADE = "llama-3-8b", "interactive"
DEPOSIT_MICROS = 1_000_000 * YUAN
BUYERS = ("First buyer", "Second buyer", "Third buyer")
# Where the process that clears is killed: (module, function, before or after it). The last two are the site's own.
POINTS: dict[str, tuple[Any, str, str] | None] = {
    "before anything": (rounds, "_no_collections", "before"),
    "with the book locked": (locks, "book_alone", "after"),
    "before the freeze is committed": (freezing, "_open_next", "after"),
    "round.frozen": None,
    "round.before_writing": None,
    "after fills are written": (writing, "write_fills", "after"),
    "after allocations are written": (writing, "write_allocations", "after"),
    "after ledger postings": (writing, "change_holds", "after"),
    "after the next round is the one to clear": (rounds, "_go_on", "after"),
    "after the frame is written": (rounds, "_publish", "after"),
    "round.before_commit": None,
    "round.after_commit": None,
}


def die() -> None:
    """As a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, act: Callable[[], None] = die) -> None:
    """From here on this process acts once it reaches the point."""
    place = POINTS[point]
    if place is None:
        os.environ[failpoints.VARIABLE] = point
        return
    module, name, when = place
    original = getattr(module, name)

    def patched(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            act()
        result = original(*arguments, **named)
        if when == "after":
            act()
        return result

    setattr(module, name, patched)


def fork(work: Callable[[], object]) -> int:
    """A process with connections of its own that ends with this one; gives its pid."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    try:
        if (arrange := die_with_parent(signal.SIGKILL)) is not None:
            arrange()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


class Diary:
    """What one process was told; each line is on disk before the next step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, **line: Any) -> None:
        """Append one line."""
        os.write(self.file, json.dumps({"at": time.time(), **line}).encode() + b"\n")
        os.fsync(self.file)

    def length(self) -> int:
        """How many lines there are, of all processes that write here."""
        return self.path.read_bytes().count(b"\n")


def market_id() -> UUID:
    return market.selectors.the_market().id


def clear_next() -> rounds.RoundSummary | None:
    """Let the open round's time come, and clear it: the clock is an argument of the service."""
    state = market.selectors.the_market()
    return rounds.clear(state.id, now=max(clock.now(), state.next_close_at))


# Seeding.


def seed(_: argparse.Namespace) -> object:
    """Tables, one line, one provider with offers in every window, three buyers with money, an API key."""
    with as_owner():
        call_command("migrate", verbosity=0, interactive=False)
    now = clock.now()
    with transaction.atomic():
        staff, _market = seeding.operator("Operator", now=now)
        seeding.line(seeding.LineSpec(LINE, "Meta", "Llama 3 8B", {GRADE: 3 * YUAN}), now=now)
        pool = seeding.DeploymentSpec(
            "Pool", "nvidia", "A100 80GB SXM", 8, "cn-north", LINE, 10**6, [(GRADE, 1_000, 2_700_000, 5_000)],
            endpoint="http://127.0.0.1:9", private=True,
        )  # fmt: skip
        seeding.provider("Provider", [pool], now=now)
        seller_id = accounts.organisations.create(name="Seller", kind="provider", now=now)
        buyers = [seeding.buyer(name, deposit_micros=DEPOSIT_MICROS, staff=staff, now=now) for name in BUYERS]
        key = accounts.keys.create(actor=buyers[0], name="faults", scopes=["market:read", "orders:write"], now=now)
        Market.objects.update(tick_seconds=1, next_close_at=F("created_at"))
    providers.offers.post_due(now=now, limit=10_000)
    about = {
        "buyers": [str(buyer.organisation_id) for buyer in buyers],
        "seller": str(seller_id),
        "window": market.selectors.open_windows(now)[3][0].isoformat(),
        "key": key.secret,
        "deposit_micros": DEPOSIT_MICROS,
    }
    (state_dir() / "faults.json").write_text(json.dumps(about))
    return about


def told() -> dict[str, Any]:
    about = json.loads((state_dir() / "faults.json").read_text())
    about["window"] = datetime.fromisoformat(about["window"])
    return about


def verify(_: argparse.Namespace) -> object:
    """Every breach that the site's own verifiers find."""
    return [str(breach) for breach in [*market.selectors.verify(), *ledger.selectors.verify()]]


# Clients.


class Client:
    """One customer's program: places bids and offers, cancels some, asks again where it was not told the end."""

    def __init__(self, number: int, *, diary: Diary | None = None) -> None:
        about = told()
        self.about, self.diary = about, diary
        self.chance = random.Random(number)
        self.prefix = f"{uuid.uuid4().hex[:8]}"
        self.made = 0
        self.buyer = actors.of_organisation(UUID(about["buyers"][number % len(about["buyers"])]))
        self.seller = actors.of_organisation(UUID(about["seller"]))
        self.supply_id: UUID | None = None
        self.open: list[tuple[UUID, Any]] = []

    def declare(self) -> None:
        terms = CellTerms(region="cn-east", tier="listed", vendor="huawei", data_terms="no-retention")
        draft = SupplyDraft(
            self.seller.organisation_id, uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), LINE, GRADE, self.about["window"],
            terms, 10**10, 10**7,
        )  # fmt: skip
        self.supply_id = supply.declare(draft, now=clock.now())

    def bid(self, limit: int, quantity: int, time_in_force: str = "gtc") -> OrderDraft:
        return self._draft(self.buyer, "buy", limit, quantity, time_in_force)

    def offer(self, limit: int, quantity: int) -> OrderDraft:
        if self.supply_id is None:
            self.declare()
        return self._draft(self.seller, "sell", limit, quantity, "gtc", supply_id=self.supply_id)

    def _draft(self, who: Any, side: str, limit: int, quantity: int, tif: str, **more: Any) -> OrderDraft:
        self.made += 1
        return OrderDraft(
            who.organisation_id, side, LINE, GRADE, self.about["window"], quantity, limit, tif,
            client_order_id=f"{self.prefix}:{self.made}", **more,
        )  # fmt: skip

    def step(self) -> None:
        """One request, to its definite end or until its client gives up."""
        die_roll = self.chance.random()
        if die_roll < 0.15 and self.open:
            self._cancel(*self.open.pop(self.chance.randrange(len(self.open))))
            return
        quantity = LOT * self.chance.randint(1, 40)
        if die_roll < 0.35:
            draft = self.retried(lambda: self.offer(10_000 * self.chance.randint(262, 272), quantity), "declare")
            actor = self.seller
        else:
            limit = 10_000 * self.chance.randint(262, 290)
            draft, actor = self.bid(limit, quantity, self.chance.choice(["gtc", "gtc", "ioc"])), self.buyer
        if draft is not None:
            self._place(draft, actor)

    def _place(self, draft: OrderDraft, actor: Any) -> None:
        view = self.retried(
            lambda: orders.place(draft, actor=actor, now=clock.now()), "place", client=draft.client_order_id
        )
        if view is not None and draft.time_in_force == "gtc":
            self.open = [*self.open[-50:], (view.id, actor)]

    def _cancel(self, order_id: UUID, actor: Any) -> None:
        self.retried(lambda: orders.cancel(order_id, actor=actor, now=clock.now()), "cancel", order=str(order_id))

    def retried(self, action: Callable[[], Any], operation: str, **about: Any) -> Any:
        """Repeat what the database or its locks did not answer, with the same client order id, for 30 s."""
        deadline = time.monotonic() + 30
        tries = 0
        while True:
            close_old_connections()  # as at the start of every request
            began, tries = time.monotonic(), tries + 1
            line = {"op": operation, **about, "ok": False}
            try:
                found = action()
                line |= {"ok": True, "id": str(getattr(found, "id", "")), "stands": getattr(found, "status", "")}
            except (Busy, DatabaseError, InterfaceError) as error:
                unavailable = isinstance(error, Busy | OperationalError | InterfaceError)
                line |= {"error": type(error).__name__, "text": str(error)[:200], "fault": not unavailable}
                if unavailable and time.monotonic() < deadline:
                    self._note(line, began, tries)
                    time.sleep(0.05)
                    continue
                line["unknown"] = True
                found = None
            except DomainError as error:
                line |= {"error": error.code}
                found = None
            self._note(line, began, tries)
            return found

    def _note(self, line: dict[str, Any], began: float, tries: int) -> None:
        if self.diary:
            self.diary.note(**line, ms=round((time.monotonic() - began) * 1000, 2), tries=tries)


@contextlib.contextmanager
def until_told() -> Iterator[Callable[[], bool]]:
    """SIGTERM ends the loop after the request under way."""
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    yield lambda: bool(ended)


def place(options: argparse.Namespace) -> None:
    """A client on the services until SIGTERM."""
    client = Client(options.number, diary=Diary(options.journal))
    with until_told() as ended:
        while not ended():
            client.step()
            time.sleep(client.chance.uniform(0, 0.01))


def rest(options: argparse.Namespace) -> None:
    """A client on the REST API until SIGTERM; it repeats with the same key what was not answered."""
    import httpx

    about, diary = told(), Diary(options.journal)
    chance, prefix = random.Random(5), uuid.uuid4().hex[:8]
    number = 0
    headers = {"Authorization": f"Bearer {about['key']}"}
    with httpx.Client(base_url=options.address, headers=headers, timeout=30) as http, until_told() as ended:
        while not ended():
            number += 1
            body = {
                "side": "buy", "line": LINE, "grade": GRADE, "window_start": about["window"].isoformat(),
                "quantity_st": str(LOT * chance.randint(1, 40)),
                "price_per_million": str(Decimal(chance.randint(262, 290)) / 100),
                "client_order_id": f"{prefix}:{number}",
            }  # fmt: skip
            _ask(http, diary, body)
            time.sleep(chance.uniform(0, 0.02))


def _ask(http: Any, diary: Diary, body: dict[str, Any]) -> None:
    import httpx

    client, deadline = body["client_order_id"], time.monotonic() + 30
    while True:
        began = time.monotonic()
        line: dict[str, Any] = {"op": "place", "client": client, "ok": False}
        again = False
        try:
            answer = http.post("/api/v1/orders", json=body, headers={"Idempotency-Key": client.replace(":", "-")})
            line |= {"status": answer.status_code, "ok": answer.is_success}
            if answer.is_success:
                line["id"] = str(ids.decode("ord", answer.json()["id"]))
            else:
                line["text"] = answer.text[:300]
                again = answer.status_code in {503} or "in_flight" in answer.text
                line["fault"] = answer.status_code >= 500 and not (
                    answer.status_code == 503 and "retry-after" in answer.headers
                )
                line["unknown"] = answer.status_code >= 500
        except httpx.TransportError as error:
            line |= {"error": type(error).__name__, "unknown": True, "fault": True}
        diary.note(**line, ms=round((time.monotonic() - began) * 1000, 2))
        if not again or time.monotonic() > deadline:
            return
        time.sleep(0.1)


# Clearers.


def points(options: argparse.Namespace) -> object:
    """Kill a clearer at each point, so many times; tell what stood before, after, and once another had cleared."""
    client, found = Client(options.number), []
    for point in POINTS:
        for _ in range(options.times):
            _fill_book(client)
            before = _standing()

            def clear_and_die(point: str = point) -> None:
                arm(point)
                clear_next()

            _, status = os.waitpid(fork(clear_and_die), 0)
            after, began, summary = _standing(), time.monotonic(), None
            if after["round"] == before["round"]:
                while summary is None and time.monotonic() - began < 10:
                    summary = clear_next()
            found.append(
                {
                    "point": point,
                    "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
                    "before": before,
                    "after": after,
                    "redone": asdict(summary) if summary else None,
                    "redone_ms": round((time.monotonic() - began) * 1000),
                }
            )
    return found


def _fill_book(client: Client) -> None:
    """Bids that will fill, bids that will rest or end, and an offer between them."""
    for limit, tif in ((280, "gtc"), (275, "ioc"), (262, "gtc"), (262, "ioc")):
        orders.place(client.bid(limit * 10_000, 5 * LOT, tif), actor=client.buyer, now=clock.now())
    orders.place(client.offer(2_700_000, 3 * LOT), actor=client.seller, now=clock.now())


def _standing() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT round_number, (SELECT count(*) FROM market_fill), (SELECT count(*) FROM market_allocation), "
            "(SELECT coalesce(sum(quantity_left_st), 0)::bigint FROM market_book), "
            "(SELECT sum(held_micros)::bigint FROM ledger_account), (SELECT count(*) FROM ledger_holdevent), "
            "(SELECT count(*) FROM accounts_outboxrow), (SELECT count(*) FROM market_feedframe), encode(seed, 'hex') "
            "FROM market_market"
        )
        names = ("round", "fills", "allocations", "open", "held", "events", "outbox", "frames", "seed")
        return dict(zip(names, cursor.fetchone(), strict=True))


def _clear_on(diary: Diary, client: Client | None = None) -> None:
    """Clear one round after the other for ever."""
    while True:
        close_old_connections()
        if (summary := clear_next()) is not None:
            diary.note(op="clear", ok=True, number=summary.number, fills=summary.fills)


def torture(options: argparse.Namespace) -> object:
    """Two clearers; one of them is killed at a random moment, again and again, until some rounds came through too."""
    chance = random.Random(options.number)
    diary = Diary(options.journal)

    def clearer() -> int:
        return fork(lambda: _clear_on(diary))

    running = [clearer(), clearer()]
    for turn in range(20 * options.times):
        if turn >= options.times and diary.length() >= options.times // 4:
            break
        # A busy machine clears slower: the later kills leave more time.
        time.sleep(chance.uniform(0.02, 0.25) * (1 + turn // options.times))
        victim = chance.randrange(2)
        os.kill(running[victim], signal.SIGKILL)
        os.waitpid(running[victim], 0)
        running[victim] = clearer()
    time.sleep(0.5)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def race(options: argparse.Namespace) -> object:
    """So many clearers start at the same moment with the same time, round after round; tells who cleared what."""
    barrier = multiprocessing.get_context("fork").Barrier(options.processes, timeout=60)
    diary = Diary(options.journal)

    def clearer(first: bool) -> None:
        client = Client(options.number)
        for turn in range(options.times):
            if first:
                orders.place(client.bid(2_800_000, 5 * LOT), actor=client.buyer, now=clock.now())
            barrier.wait()
            state = market.selectors.the_market()
            now = max(clock.now(), state.next_close_at)
            barrier.wait()
            if (summary := rounds.clear(state.id, now=now)) is not None:
                diary.note(op="clear", ok=True, turn=turn, number=summary.number, fills=summary.fills)
            barrier.wait()

    running = [fork(partial(clearer, number == 0)) for number in range(options.processes)]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running]


def clearing(options: argparse.Namespace) -> None:
    """One clearer that never rests, until SIGTERM."""
    diary = Diary(options.journal)
    with until_told() as ended:
        while not ended():
            began = time.monotonic()
            if (summary := clear_next()) is not None:
                took = round((time.monotonic() - began) * 1000, 2)
                diary.note(op="clear", ok=True, number=summary.number, fills=summary.fills, ms=took)


def zombie(options: argparse.Namespace) -> object:
    """A clearer freezes in its transaction; the database ends its session; another clears; then it wakes up."""
    client = Client(options.number)
    _fill_book(client)
    before = _standing()
    backend, reported = os.pipe()

    def freeze() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            os.write(reported, str(cursor.fetchone()[0]).encode())
        os.kill(os.getpid(), signal.SIGSTOP)

    def clear_and_freeze() -> None:
        arm("after ledger postings", freeze)
        result = clear_next()
        os.write(reported, b"nothing" if result is None else b"cleared")

    pid = fork(clear_and_freeze)
    os.waitpid(pid, os.WUNTRACED)
    session = int(os.read(backend, 100))
    beside = clear_next()  # its lock is held: skipped, not waited for
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [session])  # what a timeout of the server would do
    began, summary = time.monotonic(), None
    while summary is None and time.monotonic() - began < 10:
        summary = clear_next()
    cleared = _standing()
    os.kill(pid, signal.SIGCONT)
    said = os.read(backend, 100).decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        "before": before, "beside": beside is not None, "redone": asdict(summary) if summary else None,
        "cleared": cleared, "woken": _standing(), "said": said, "code": code,
    }  # fmt: skip


def fleet(options: argparse.Namespace) -> object:
    """Rounds of several components with two helpers; one is killed each time it has taken one, the other does its part."""
    components.FEWEST_ORDERS, components.LEASE_SECONDS = 1, 1
    client, windows, found = Client(options.number), [one for one, _ in market.selectors.open_windows(clock.now())], []

    def help_(*, dying: bool) -> None:
        if dying:
            os.environ[failpoints.VARIABLE] = "component.taken"
        while True:
            close_old_connections()
            for round_id, fence in ComponentTask.objects.values_list("round_id", "fence").distinct():
                components.work(round_id, fence)
            time.sleep(0.002)

    for _ in range(options.times):
        for hour in range(3, 15, 2):
            first = replace(client.bid(2_800_000, 5 * LOT), window_start=windows[hour])
            choices = tuple(Choice(LINE, windows[hour + more], 2_800_000) for more in (0, 1))
            orders.place(replace(first, choices=choices), actor=client.buyer, now=clock.now())
        helpers = [fork(partial(help_, dying=dying)) for dying in (True, False)]
        time.sleep(0.3)
        began, summary = time.monotonic(), clear_next()
        found.append({"fills": summary.fills if summary else 0, "seconds": time.monotonic() - began})
        os.kill(helpers[1], signal.SIGKILL)
        found[-1]["killed"] = os.WTERMSIG(os.waitpid(helpers[0], 0)[1]) == signal.SIGKILL
        os.waitpid(helpers[1], 0)
    return found


def relay(_: argparse.Namespace) -> object:
    """Send what waits in the outbox, in two processes at once, until nothing waits."""
    sent_by: list[int] = []

    def send() -> None:
        while accounts.outbox.relay(now=clock.now()):
            pass

    sent_by = [fork(send) for _ in range(2)]
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in sent_by]


PROGRAMS = {
    function.__name__: function
    for function in (seed, verify, place, rest, points, torture, race, clearing, zombie, fleet, relay)
}


def run(arguments: list[str]) -> None:
    """Run one program; its answer goes to a file as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--answer", type=Path)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--address", default="")
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    answer = PROGRAMS[options.program](options)
    if options.answer:
        options.answer.write_text(json.dumps(answer, default=str))


def nursery() -> None:
    """Fork a program for each line that asks for one, and tell how one ended, until the input ends."""

    def begin(arguments: list[str], log: str) -> None:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        run(arguments)

    for line in sys.stdin:
        question = json.loads(line)
        if "run" in question:
            answer: int | None = fork(partial(begin, question["run"], question["log"]))
        else:
            pid, status = os.waitpid(question["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)
