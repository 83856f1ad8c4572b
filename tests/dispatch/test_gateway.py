"""The gateway over HTTP, with the openai client in front and real engines behind."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import httpx
import openai
import pytest
from django.db import connection
from django.db.models import Sum

from dispatch import services
from dispatch.models import RequestLog
from market import selectors as market
from market import services as trading
from market.kernel.errors import TooFast as BeyondPace
from market.models import AllocationUse, Charge
from tests.dispatch.conftest import BOUGHT_ST, House
from tests.fakes.engine.app import Behaviour
from tests.fakes.engine.pace import Device
from tests.fakes.engine.text import pieces
from token_standard.catalogue import card
from token_standard.tokenizer import REFERENCE
from token_standard.usage import micro_st

pytestmark = pytest.mark.django_db
MODEL = "llama-3-8b"
CARD = card(MODEL)
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What clears the market? 词元现货"}]
PROMPT_TOKENS = sum(REFERENCE.count(message["content"]) for message in ASK)


@pytest.fixture
def client(house: House) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=house.key, max_retries=0, timeout=30) as made:
        yield made


def rows(request_id: str) -> list[RequestLog]:
    return list(RequestLog.objects.filter(request_id=request_id).order_by("id"))


def settled(request_id: str) -> list[RequestLog]:
    """The rows of a request once none is open."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = rows(request_id)
        if found and all(row.state != "open" for row in found):
            return found
        time.sleep(0.02)
    raise TimeoutError("the request was never closed")


def drawn(house: House) -> tuple[int, int]:
    """Micro-ST drawn and reserved of all that the buyer bought."""
    bought = market.allocations(house.scene.buyer)
    return sum(one.drawn_micro_st for one in bought), sum(one.reserved_micro_st for one in bought)


def metered(row: RequestLog) -> list[tuple[int, int, int]]:
    """(prompt, completion, micro-ST) of the usage records of a request."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT prompt_tokens, billable_tokens, micro_st FROM metering_usage_record WHERE event_id = %s AND meter = 'gateway'",
            [row.id.hex],
        )
        return list(cursor.fetchall())


def raw(
    house: House, body: object, *, key: str | None = None, path: str = "/v1/chat/completions", **more
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {house.key if key is None else key}"} | more.pop("headers", {})
    return httpx.post(house.url + path, content=content, headers=headers, timeout=30, **more)


class TestAnswers:
    def test_come_whole_and_are_counted_drawn_and_metered(self, house: House, client: openai.OpenAI) -> None:
        before, _ = drawn(house)

        answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK, max_tokens=50)

        got = answer.parse()
        text = got.choices[0].message.content
        want = micro_st(CARD, n=PROMPT_TOKENS, c=0, g=50)
        assert REFERENCE.count(text) == 50
        assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (
            PROMPT_TOKENS,
            50,
            PROMPT_TOKENS + 50,
        )
        assert got.choices[0].finish_reason == "length"
        assert (got.model, got.object) == (MODEL, "chat.completion")
        assert int(answer.headers["x-tokenspot-micro-st"]) == want
        (row,) = rows(answer.headers["x-request-id"])
        assert (row.state, row.completion_tokens, row.micro_st) == ("done", 50, want)
        assert metered(row) == [(PROMPT_TOKENS, 50, want)]
        assert drawn(house) == (before + want, 0)

    def test_stream_with_the_count_at_the_end(self, house: House, client: openai.OpenAI) -> None:
        stream = client.chat.completions.create(
            model=MODEL, messages=ASK, max_tokens=33, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)

        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        usage = chunks[-1].usage
        want = micro_st(CARD, n=PROMPT_TOKENS, c=0, g=33)
        assert REFERENCE.count(text) == 33
        assert len(chunks) > 5
        assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT_TOKENS, 33)
        assert Decimal(usage.tokenspot["standard_tokens"]) * 10**6 == want
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"

    def test_are_the_engines_own_words(self, house: House, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=20)

        assert answer.choices[0].message.content == "".join(pieces("".join(m["content"] for m in ASK), 20))

    def test_stop_by_themselves_within_the_default_limit(self, house: House, client: openai.OpenAI) -> None:
        answer = client.chat.completions.create(model=MODEL, messages=ASK)

        assert answer.choices[0].finish_reason == "stop"
        assert 200 <= answer.usage.completion_tokens <= 800

    def test_come_for_plain_prompts_too(self, house: House, client: openai.OpenAI) -> None:
        answer = client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=9)
        streamed = list(client.completions.create(model=MODEL, prompt="Once upon a time", max_tokens=9, stream=True))

        assert REFERENCE.count(answer.choices[0].text) == 9
        assert "".join(chunk.choices[0].text for chunk in streamed) == answer.choices[0].text

    def test_to_many_at_once_add_up(self, house: House, client: openai.OpenAI) -> None:
        before, _ = drawn(house)

        def ask(number: int) -> int:
            answer = client.chat.completions.with_raw_response.create(
                model=MODEL, messages=[{"role": "user", "content": f"Number {number}"}], max_tokens=10 + number
            )
            return int(answer.headers["x-tokenspot-micro-st"])

        with ThreadPoolExecutor(12) as pool:
            used = list(pool.map(ask, range(40)))

        assert drawn(house) == (before + sum(used), 0)

    def test_never_bill_beyond_the_requests_own_limit(self, house: House, client: openai.OpenAI) -> None:
        house.behave(near=Behaviour(overrun=25))

        answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK, max_tokens=10)

        assert answer.parse().usage.completion_tokens == 10
        (row,) = rows(answer.headers["x-request-id"])
        assert row.micro_st == micro_st(CARD, n=PROMPT_TOKENS, c=0, g=10)

    def test_the_lines_are_listed_as_models(self, house: House, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == [MODEL]


class TestFailingEngines:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        "fault", [Behaviour(refuse_with=500), Behaviour(refuse_with=429), Behaviour(break_after=0)]
    )
    def test_are_left_within_the_request(
        self, house: House, client: openai.OpenAI, fault: Behaviour, stream: bool
    ) -> None:
        house.behave(near=fault)
        before, _ = drawn(house)

        answer = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=ASK, max_tokens=12, stream=stream
        )

        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer.parse())
        else:
            text = answer.parse().choices[0].message.content
        assert REFERENCE.count(text) == 12
        first, second = settled(answer.headers["x-request-id"])
        assert (first.state, first.deployment_id, first.micro_st) == ("failed", house.near_id, 0)
        assert (second.state, second.deployment_id) == ("done", house.far_id)
        assert metered(first) == []
        assert drawn(house) == (before + second.micro_st, 0)

    def test_that_all_fail_cost_nothing(self, house: House, client: openai.OpenAI) -> None:
        house.behave(Behaviour(refuse_with=500), Behaviour(refuse_with=503))
        before = drawn(house)

        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model=MODEL, messages=ASK)

        assert caught.value.status_code == 502
        assert caught.value.code == "engine_failed"
        assert drawn(house) == before
        assert {row.state for row in rows(caught.value.response.headers["x-request-id"])} == {"failed"}

    def test_that_break_off_in_the_middle_are_paid_for_what_came(self, house: House, client: openai.OpenAI) -> None:
        house.behave(near=Behaviour(break_after=8))

        answer = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=ASK, max_tokens=100, stream=True
        )
        got = []
        with pytest.raises(openai.APIError, match="broke off"):
            got.extend(chunk.choices[0].delta.content or "" for chunk in _kept(answer.parse(), got))

        (row,) = settled(answer.headers["x-request-id"])
        assert (row.state, row.completion_tokens) == ("cut", 8)
        assert metered(row) == [(PROMPT_TOKENS, 8, micro_st(CARD, n=PROMPT_TOKENS, c=0, g=8))]

    def test_that_break_off_before_a_whole_answer_are_replaced(self, house: House, client: openai.OpenAI) -> None:
        house.behave(near=Behaviour(break_after=8))

        answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=30)

        assert answer.usage.completion_tokens == 30


def _kept(stream, got):
    yield from stream


class TestLeavingClients:
    def test_pay_for_what_they_got(self, house: House) -> None:
        slow, house.near.device = house.near.device, Device(20.0)
        try:
            with (
                httpx.Client(timeout=30) as http,
                http.stream(
                    "POST", f"{house.url}/v1/chat/completions", headers={"authorization": f"Bearer {house.key}"},
                    json={"model": MODEL, "messages": ASK, "max_tokens": 2_000, "stream": True},
                ) as response,
            ):  # fmt: skip
                request_id = response.headers["x-request-id"]
                events = 0
                for line in response.iter_lines():
                    events += line.startswith("data:")
                    if events == 5:
                        break
            (row,) = settled(request_id)
        finally:
            house.near.device = slow

        assert row.state == "cut"
        assert row.kept is None  # who leaves judges nobody
        assert 4 <= row.completion_tokens < 400
        assert row.micro_st == micro_st(CARD, n=PROMPT_TOKENS, c=0, g=row.completion_tokens)
        assert metered(row) == [(PROMPT_TOKENS, row.completion_tokens, row.micro_st)]
        assert drawn(house)[1] == 0

    def test_pay_nothing_where_they_got_nothing(self, house: House) -> None:
        house.behave(Behaviour(hang=True), Behaviour(hang=True))
        before = drawn(house)
        newest = RequestLog.objects.order_by("-id").first()

        with pytest.raises(httpx.ReadTimeout):
            raw_timeout(house)

        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            row = RequestLog.objects.order_by("-id").first()
            if row.id != newest.id and row.state != "open":
                break
            time.sleep(0.02)
        assert (row.state, row.micro_st) == ("failed", 0)
        assert drawn(house) == before


def raw_timeout(house: House) -> None:
    httpx.post(
        f"{house.url}/v1/chat/completions", headers={"authorization": f"Bearer {house.key}"}, timeout=1.0,
        json={"model": MODEL, "messages": ASK},
    )  # fmt: skip


class TestRefusals:
    GOOD = {"model": MODEL, "messages": ASK, "max_tokens": 5}

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [(b"{", 400, "invalid_request"), (b"", 400, "invalid_request"), ({**GOOD, "max_tokens": -1}, 400, "invalid_request"),
         ({**GOOD, "messages": []}, 400, "invalid_request"), ({**GOOD, "n": 3}, 400, "not_supported"),
         ({**GOOD, "tools": [{"type": "function"}]}, 400, "not_supported"), ({**GOOD, "model": "gpt-99"}, 404, "model_not_found"),
         ({**GOOD, "max_tokens": 9_000}, 400, "context_length_exceeded"),
         ({"model": MODEL, "messages": [{"role": "user", "content": "x " * 9_000}]}, 400, "context_length_exceeded"),
         (b" " * 1_048_577, 413, "body_too_large")],
    )  # fmt: skip
    def test_have_a_status_and_a_code_and_write_nothing(
        self, house: House, body: object, status: int, code: str
    ) -> None:
        count, before = RequestLog.objects.count(), drawn(house)

        answer = raw(house, body)

        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-request-id"]
        assert (RequestLog.objects.count(), drawn(house)) == (count, before)

    def test_unknown_fields_of_openai_do_no_harm(self, house: House) -> None:
        assert (
            raw(
                house, {**self.GOOD, "user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "store": False}
            ).status_code
            == 200
        )

    @pytest.mark.parametrize(
        "given", ["", "Bearer", "Basic dTpw", "Bearer tsk_00000000_" + "x" * 43, "Bearer sk-whatever", "Bearer \u00e9"]
    )
    def test_no_valid_key(self, house: House, given: str) -> None:
        answer = raw(house, self.GOOD, headers={"authorization": given.encode("latin-1")})

        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")

    def test_a_key_without_the_scope(self, house: House) -> None:
        headers = {"authorization": f"Bearer {house.reader_key}"}

        assert raw(house, self.GOOD, key=house.reader_key).status_code == 403
        assert httpx.get(f"{house.url}/v1/models", headers=headers).status_code == 403

    def test_nothing_bought(self, house: House) -> None:
        answer = raw(house, self.GOOD, key=house.empty_key)

        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_allocation")

    def test_an_unknown_host_or_address_or_method(self, house: House) -> None:
        headers = {"authorization": f"Bearer {house.key}"}

        assert raw(house, self.GOOD, headers={"host": "evil.example"}).status_code == 400
        assert raw(house, self.GOOD, path="/v1/embeddings").status_code == 404
        assert httpx.get(f"{house.url}/v1/chat/completions", headers=headers).status_code == 405


class TestSecrecy:
    def test_no_word_of_prompt_or_answer_is_kept_anywhere(
        self, house: House, capfd: pytest.CaptureFixture[str]
    ) -> None:
        asked, said = "canary-prompt-4b1d9e", "canary-answer-77aa02 "
        records = io.StringIO()
        handler = logging.StreamHandler(records)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": asked}],
            "max_tokens": 5,
            "stop": [asked],
            "user": asked,
        }
        try:
            answers = []
            for fault in (None, Behaviour(refuse_with=400), Behaviour(break_after=4), Behaviour(say_first=said)):
                for far in (None, Behaviour(refuse_with=500)):
                    house.behave(fault, far)
                    answers += [raw(house, {**body, "stream": stream}) for stream in (False, True)]
            house.behave(Behaviour(say_first=said))
            answers += [
                raw(house, body, path="/v1/completions"),
                raw(house, {**body, "prompt": asked}, path="/v1/completions"),
            ]
            answers += [
                raw(house, {**body, "model": asked}),
                raw(house, {**body, "n": 2}),
                raw(house, json.dumps(body)[:-2].encode()),
            ]
        finally:
            root.removeHandler(handler)
            root.setLevel(level)

        assert any(said in answer.text for answer in answers)  # the canary did fly
        assert {answer.status_code for answer in answers} >= {200, 400, 404, 502}
        output = capfd.readouterr()
        kept = records.getvalue() + output.out + output.err + _dump()
        assert "dispatch.engine_failed" in kept  # and the logs were looked at
        assert asked not in kept
        assert said.strip() not in kept


def _dump() -> str:
    """Every row of every table."""
    parts = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'public' AND c.relkind = 'r'"
        )
        for (table,) in cursor.fetchall():
            with connection.cursor() as rows_of, rows_of.copy(f'COPY "{table}" TO STDOUT') as copy:
                parts += [bytes(block).decode("utf-8", "replace") for block in copy]
    assert len(parts) > 20
    return "".join(parts)


class TestDeadProcesses:
    def test_leave_logs_that_are_closed_later_and_cost_nothing(self, house: House) -> None:
        done = RequestLog.objects.filter(state="done").first()
        RequestLog.objects.filter(id=done.id).update(state="open", closed_at=None, micro_st=0, completion_tokens=0)

        assert services.close_stale(now=done.opened_at + timedelta(minutes=19)) == 0
        assert services.close_stale(now=done.opened_at + timedelta(minutes=21)) >= 1

        row = RequestLog.objects.get(id=done.id)
        assert (row.state, row.finish_reason, row.micro_st) == ("failed", "lost", 0)


class TestTheEnd:
    def test_every_request_was_closed_and_every_reservation_resolved(self, house: House) -> None:
        used, reserved = drawn(house)

        assert reserved == 0
        assert not RequestLog.objects.filter(state="open").exists()
        assert used == sum(RequestLog.objects.values_list("micro_st", flat=True))
        assert 0 < used < 4 * BOUGHT_ST * 10**6


class TestPace:
    """What comes faster than it was bought waits; the market says how long."""

    @pytest.fixture
    def too_fast(self, monkeypatch: pytest.MonkeyPatch):
        """The market's rate refuses so many times first."""
        reserve = trading.draws.reserve

        def refuse(times: int) -> list[int]:
            seen: list[int] = []

            def paced(**asked):
                seen.append(1)
                if len(seen) <= times:
                    raise BeyondPace("too fast", retry_after=0.1)
                return reserve(**asked)

            monkeypatch.setattr(trading.draws, "reserve", paced)
            return seen

        return refuse

    def test_is_waited_for_and_the_client_sees_an_answer(self, house: House, client: openai.OpenAI, too_fast) -> None:
        seen = too_fast(2)

        answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=8)

        assert answer.choices[0].message.content
        assert len(seen) == 3

    def test_is_a_429_with_retry_after_when_it_does_not_come_in_time(
        self, house: House, too_fast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        too_fast(10**6)
        monkeypatch.setattr("dispatch.asgi._QUEUE_SECONDS", 0.3)

        answer = raw(house, {"model": MODEL, "messages": ASK})

        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json()["error"] | {"message": ""} == {
            "message": "", "type": "rate_limit_error", "param": None, "code": "too_fast",
        }  # fmt: skip


class TestShortfall:
    """A request that the sellers failed is made good, once; one that they were right to refuse is not."""

    @staticmethod
    def owed(request_id: str) -> list[Charge]:
        return list(Charge.objects.filter(kind="shortfall", request_id=request_id))

    def test_is_owed_where_all_engines_failed(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """How much of it is due depends on the minute of the hour; what the market says is what is owed."""
        due: list[int] = []
        record = trading.shortfalls.record
        monkeypatch.setattr(
            trading.shortfalls, "record", lambda *about, **more: due.append(record(*about, **more)) or due[-1]
        )
        house.behave(Behaviour(refuse_with=500), Behaviour(refuse_with=503))

        answer = raw(house, {"model": MODEL, "messages": ASK, "max_tokens": 16})

        assert answer.status_code == 502
        assert len(due) == 1
        assert sum(one.micro_st for one in self.owed(answer.headers["x-request-id"])) == due[0]

    def test_is_not_owed_for_a_request_at_fault(self, house: House) -> None:
        house.behave(Behaviour(refuse_with=400), Behaviour(refuse_with=400))

        answer = raw(house, {"model": MODEL, "messages": ASK, "max_tokens": 16})

        assert answer.status_code == 502
        assert self.owed(answer.headers["x-request-id"]) == []

    def test_is_what_such_requests_came_to(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sixteen tokens were the limit: what lies behind it is never owed."""
        asked: list[int] = []
        monkeypatch.setattr(trading.shortfalls, "record", lambda *_, micro_st, **__: asked.append(micro_st) or 0)
        house.behave(Behaviour(refuse_with=500), Behaviour(refuse_with=500))

        raw(house, {"model": MODEL, "messages": ASK, "max_tokens": 16})

        assert len(asked) == 1
        assert micro_st(CARD, n=PROMPT_TOKENS, c=0, g=1) <= asked[0] <= micro_st(CARD, n=PROMPT_TOKENS, c=0, g=16)


class TestPromise:
    """What is kept of a grade is recorded with each request, in numbers only, and counted for its allocation."""

    def test_is_counted_for_the_allocation(self, house: House, client: openai.OpenAI) -> None:
        def counts() -> tuple[int, int]:
            rows = AllocationUse.objects.aggregate(judged=Sum("judged"), kept=Sum("kept"))
            return rows["judged"] or 0, rows["kept"] or 0

        before = counts()
        house.behave(Behaviour(break_after=8), Behaviour(break_after=8))
        raw(house, {"model": MODEL, "messages": ASK, "stream": True, "max_tokens": 32})
        house.behave()
        answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK, max_tokens=16)
        settled(answer.headers["x-request-id"])

        judged, kept = counts()
        assert (judged - before[0], kept - before[1]) == (2, 1)

    def test_is_measured_and_kept_by_a_fast_engine(self, house: House, client: openai.OpenAI) -> None:
        answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK, max_tokens=16)

        (row,) = settled(answer.headers["x-request-id"])
        assert row.kept is True
        assert row.first_token_ms is not None and row.first_token_ms <= 2_000
        assert row.speed_milli is None or row.speed_milli >= 15_000

    def test_is_broken_by_an_engine_that_breaks_off(self, house: House) -> None:
        house.behave(Behaviour(break_after=8), Behaviour(break_after=8))

        answer = raw(house, {"model": MODEL, "messages": ASK, "stream": True, "max_tokens": 32})

        (row,) = settled(answer.headers["x-request-id"])
        assert (row.state, row.kept) == ("cut", False)

    def test_is_not_judged_where_nothing_was_delivered(self, house: House) -> None:
        house.behave(Behaviour(refuse_with=500), Behaviour(refuse_with=500))

        answer = raw(house, {"model": MODEL, "messages": ASK})

        assert {row.kept for row in settled(answer.headers["x-request-id"])} == {None}
