"""The command line against the site: each verb of the market, as somebody types it."""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from tokenspot_client import cli
from tokenspot_client.api import Client

from tests.market.test_api import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(live_world: Any, monkeypatch: Any, capsys: Any) -> Any:
    """Type a command; gives its exit code and what it printed."""
    site = client_of(live_world.organisation("buyer", yuan=100))

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"idempotency-key": request.headers.get("idempotency-key", "")}
        told = site.generic(request.method, request.url.raw_path.decode(), request.content, "application/json",
                            headers=headers)  # fmt: skip
        return httpx.Response(told.status_code, content=told.content)

    def client(*_: Any) -> Client:
        made = Client("http://site", "key")
        made._http = httpx.Client(base_url="http://site", transport=httpx.MockTransport(answer))
        return made

    monkeypatch.setattr(cli, "Client", client)

    def typed(*words: str) -> tuple[int, str]:
        try:
            code = cli.main(list(words))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr()
        return code, said.out + said.err

    return typed


@pytest.fixture
def order(live_world: Any) -> list[str]:
    return ["500k", "--line", live_world.line, "--max", "1.80", "--window", live_world.window.isoformat()]


def test_place_amend_and_cancel(run: Any, order: list[str]) -> None:
    code, told = run("place", *order, "--or-better", "--data-terms", "retention-30d", "--min", "100k")
    assert (code, told.split()[1:3]) == (0, ["buy", "500000"])
    code, told = run("buy", *order)
    number = told.split()[0]
    assert "at 1.81" in run("amend", number, "--max", "1.81")[1]
    assert run("cancel", number)[1].strip().endswith("cancelled")
    assert len(run("orders")[1].splitlines()) == 2
    assert run("cancel-all", "--side", "sell") == (0, "0 cancelled\n")
    assert run("cancel-all") == (0, "1 cancelled\n")


def test_preview(run: Any, order: list[str], live_world: Any) -> None:
    live_world.offer(live_world.organisation("provider"), 200_000, 1_700_000)
    code, told = run("preview", *order)
    assert code == 0
    assert "200000 of 500000 ST" in told
    assert "at list price    1.00 (price list)" in told


def test_batch(run: Any, live_world: Any, tmp_path: Any) -> None:
    one = {"side": "buy", "line": live_world.line, "grade": "interactive", "quantity_st": "1000",
           "price_per_million": "1.80", "window_start": live_world.window.isoformat()}  # fmt: skip
    file = tmp_path / "orders.json"
    file.write_text(json.dumps([one, {**one, "quantity_st": "1"}]))
    code, told = run("batch", str(file))
    assert code == 1
    assert "order 1 refused: off_lot" in told
    assert "1 placed, 1 refused" in told
    file.write_text("nothing")
    assert run("batch", str(file))[0] == 1


def test_the_switch_is_set_shown_and_turned_off(run: Any) -> None:
    assert run("cancel-all-after")[1] == "The switch is off.\n"
    assert "(60 s)" in run("cancel-all-after", "60")[1]
    assert "unless you call again" in run("cancel-all-after")[1]
    assert run("cancel-all-after", "0")[1] == "The switch is off.\n"


def test_what_the_market_says(run: Any, order: list[str], live_world: Any) -> None:
    live_world.offer(live_world.organisation("provider"), 200_000, 1_700_000)
    run("buy", *order)
    live_world.round()
    listed = run("products", "--line", live_world.line, "--grade", "interactive")[1].splitlines()
    product = next(one for one in listed if "last -" not in one).split()[0]
    assert "bid         1.80 per M           300000 ST" in run("depth", product)[1]
    assert "200000 ST" in run("trades", product)[1]
    assert "200000 ST" in run("bars", product, "--interval", "1h")[1]


def test_a_refusal_is_its_code(run: Any) -> None:
    code, told = run("depth", "prd_none")
    assert code == 1
    assert told.startswith("not_found: ")


def test_verify_a_round_names_ones_own_orders(run: Any, order: list[str], live_world: Any) -> None:
    seller = live_world.organisation("provider")
    number = run("buy", *order)[1].split()[0]
    live_world.offer(seller, 500_000, 1_700_000)
    round_number = live_world.round().number

    code, told = run("verify-round", str(round_number))

    first, *own = told.splitlines()
    assert code == 0 and first.startswith(f"Round {round_number} holds: 2 orders, 1 prices")
    assert [line.split()[1] for line in own] == [number]


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    closed = Event()

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            closed.wait(30)
            body = json.dumps({"data": [{"slug": "line", "display_name": "Line"}] * 5_000}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Site) as site:
        Thread(target=site.handle_request, daemon=True).start()
        command = [
            sys.executable,
            "-m",
            "tokenspot_client.cli",
            "--url",
            f"http://127.0.0.1:{site.server_port}",
            "lines",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout and running.stderr
            running.stdout.close()
            closed.set()
            said = running.stderr.read()

    assert (running.returncode, said) == (0, b"")
