"""Readers against an engine that computes: tokens counted by it, by its answers and by its metrics are the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from tokenspot_client import engines
from tokenspot_client.engines import Usage, Verdict

from tests.fakes.llama.model import Llama, Sequence, Shape
from tests.fakes.llama.server import Server, served

SYSTEM = "You are a careful clerk who counts every token once and never twice. " * 2


@pytest.fixture(params=[False, True], ids=["plain", "speculating"])
def engine(request: pytest.FixtureRequest) -> Iterator[Server]:
    with served(speculate=request.param) as server:
        yield server


def reading(server: Server) -> engines.Snapshot:
    answer = httpx.get(f"{server.url}/metrics")
    return engines.read(answer.text, process_start=float(answer.headers["Process-Start-Time-Unix"]))


def ask(server: Server, question: str, *, limit: int = 24, stream: bool = False, **more: Any) -> Usage:
    body = {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}], **more}
    body |= {"max_tokens": limit, "stream": stream, "stream_options": {"include_usage": True}}
    url = f"{server.url}/v1/chat/completions"
    if stream:
        with httpx.stream("POST", url, json=body, timeout=60) as answer:
            return engines.read_stream(answer.iter_lines(), limit=limit)
    return engines.read_answer(httpx.post(url, json=body, timeout=60).raise_for_status().json(), limit=limit)


def ask_many(server: Server, count: int, workers: int = 12) -> list[Usage]:
    chance = random.Random(7)
    with ThreadPoolExecutor(workers) as pool:
        asked = [
            pool.submit(
                ask,
                server,
                "why? " * chance.randint(1, 12),
                limit=chance.randint(1, 40),
                stream=bool(number % 2),
                temperature=chance.choice([0, 1]),
                seed=number,
            )
            for number in range(count)
        ]
        return [future.result() for future in asked]


class TestModel:
    def test_a_cached_prefix_gives_what_computing_it_gives(self) -> None:
        model = Llama(Shape(layers=3))
        tokens = list(b"the market clears every few seconds")
        whole = Sequence.of(model.shape, tokens, 0)
        parts = Sequence.of(model.shape, tokens, 0)

        at_once = model.forward(whole, len(tokens))
        model.forward(parts, 16)
        later = model.forward(parts, len(tokens))

        np.testing.assert_allclose(later, at_once[16:], atol=1e-4)

    def test_speculation_and_cache_change_no_token(self) -> None:
        def text(server: Server) -> str:
            body = {"prompt": "abcabcabcabcabcabcabcabc" * 4, "max_tokens": 60, "ignore_eos": True}
            return str(httpx.post(f"{server.url}/v1/completions", json=body).json()["choices"][0]["text"])

        with served() as plain, served(speculate=True) as speculating:
            first, again, drafted = text(plain), text(plain), text(speculating)
            used = reading(speculating)

        assert first == again == drafted
        assert used.drafted is not None and used.accepted is not None
        assert 0 < used.accepted <= used.drafted


def test_every_identity_holds_over_concurrent_requests(engine: Server) -> None:
    before = reading(engine)

    usages = ask_many(engine, 120)
    window = engines.delta(before, reading(engine))
    findings = engines.check(window, usages)

    assert {finding.verdict for finding in findings} == {Verdict.HELD}, [str(finding) for finding in findings]
    assert len(findings) == 7
    assert window.quiet
    assert window.counts["cached"]
    assert sum(window.finished.values()) == 120
    assert all(usage.cached is not None and usage.cached % 16 == 0 for usage in usages)


def test_a_token_too_many_or_too_few_is_a_breach(engine: Server) -> None:
    before = reading(engine)
    usages = ask_many(engine, 10)
    window = engines.delta(before, reading(engine))

    for field in ("prompt", "generated", "cached"):
        for by in (1, -1):
            wrong = [replace(usages[0], **{field: getattr(usages[0], field) + by}), *usages[1:]]
            assert [finding.difference for finding in engines.breaches(engines.check(window, wrong))] == [by]


def test_the_same_prompt_again_is_read_from_the_cache() -> None:
    with served() as engine:
        first, second = ask(engine, "the same"), ask(engine, "the same")

    assert first.cached == 0
    assert second.prompt == first.prompt
    assert second.cached == (second.prompt - 1) // 16 * 16


def test_a_restart_opens_a_new_window() -> None:
    with served() as engine:
        ask_many(engine, 12)
        before = reading(engine)
        lost = ask_many(engine, 3)
        engine.restart()
        usages = ask_many(engine, 4)
        window = engines.delta(before, reading(engine))

    assert window.restart is not None
    assert window.counts["generated"] == sum(usage.generated for usage in usages)
    assert window.counts["prompt"] == sum(usage.prompt for usage in usages)
    assert engines.breaches(engines.check(window, [*lost, *usages])) == ()


def test_a_client_that_leaves_breaks_no_identity_of_the_engine() -> None:
    with served() as engine:
        before = reading(engine)
        body = {"prompt": "x" * 40, "max_tokens": 2000, "stream": True, "ignore_eos": True}
        with httpx.stream("POST", f"{engine.url}/v1/completions", json=body) as answer:
            next(answer.iter_lines())
        while reading(engine).in_flight:
            pass
        window = engines.delta(before, reading(engine))

    assert window.finished["abort"] == 1
    assert engines.breaches(engines.check(window)) == ()


@pytest.mark.parametrize("names", ["sglang", "llama.cpp"])
def test_other_engines_names_say_the_same(names: str) -> None:
    with served(metrics=names) as engine:
        before = reading(engine)
        usages = ask_many(engine, 20)
        window = engines.delta(before, reading(engine))

    findings = engines.check(window, usages)
    assert engines.breaches(findings) == ()
    assert {f.verdict for f in findings if f.name.startswith("usage")} == {Verdict.HELD}
    assert window.after.unknown == ()


def test_what_goes_beyond_the_limit_is_flagged_and_not_billed() -> None:
    with served(metrics="llama.cpp", overrun=5) as engine:
        usage = ask(engine, "more", limit=8, ignore_eos=True)

    assert (usage.generated, usage.billable, usage.overrun) == (13, 8, 5)


def test_a_malformed_request_is_refused() -> None:
    with served() as engine:
        for body in (b"{", b"[]", b'{"prompt": "x", "max_tokens": 100000}', b"{}"):
            assert httpx.post(f"{engine.url}/v1/completions", content=body).status_code == 400
        assert httpx.get(f"{engine.url}/nothing").status_code == 404
