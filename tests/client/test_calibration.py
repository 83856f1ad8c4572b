"""`tokenspot agent calibrate` over HTTP: an engine of known speed, one that computes, and engines that misbehave."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tokenspot_client import cli
from tokenspot_client.calibration import load, prompts
from tokenspot_client.calibration.engine import Engine as EngineClient
from tokenspot_client.calibration.engine import Settings
from tokenspot_client.calibration.load import Load, Measured, Shape

from tests.fakes.engine.app import Engine
from tests.fakes.engine.serving import served
from tests.fakes.llama.server import MODEL, Server
from tests.fakes.llama.server import served as llama_served
from token_standard import catalogue, ratings
from token_standard.architecture import Architecture, GroupedAttention
from token_standard.cards import Card, published_format, to_json

RATE = 800.0
TINY = Card(
    "tiny", Architecture(2, 64, 258, GroupedAttention(4, 2, 16), intermediate=128), published_format("fp16")
)  # fmt: skip


@pytest.fixture
def paced() -> Iterator[tuple[Engine, str]]:
    engine = Engine(("llama-3-8b",), RATE)
    with served(engine) as url:
        yield engine, url


def calibrate(url: str, *more: str, model: str = "llama-3-8b", card: str = "llama-3-8b", scale: str = "0.05") -> int:
    """The command's exit code."""
    given = ["agent", "calibrate", "--endpoint", url, "--model", model, "--card", card, "--devices", "2"]
    try:
        return cli.main([*given, "--concurrency", "4", "--scale", scale, *more])
    except SystemExit as end:
        return int(end.code or 0)


def measured(server: Server, shape: Shape, *, concurrency: int = 4, windows: int = 4) -> Measured:
    async def run() -> Measured:
        client = EngineClient(Settings(server.url, MODEL), concurrency=concurrency)
        try:
            words = await load.measure_words(client, random.Random(1))
            return await load.run_shape(client, shape, Load(concurrency, windows, devices=1), words)
        finally:
            await client.close()

    return asyncio.run(run())


class TestAnEngineOfKnownSpeed:
    def test_is_rated_at_its_speed(self, paced: tuple[Engine, str], tmp_path: Path, capsys: Any) -> None:
        """It does 800 ST/s whatever they are made of, on two devices: 400 each, for either part."""
        kept = tmp_path / "rating.json"

        code = calibrate(paced[1] + "/v1", "--json", str(kept))

        written = json.loads(kept.read_text())
        assert code == 0
        assert float(written["rating"]["blended"]["st_per_second"]) == pytest.approx(RATE / 2, rel=0.3)
        for part in ("compute", "memory"):
            assert float(written["rating"][part]["st_per_second"]) == pytest.approx(RATE / 2, rel=0.5)
        assert written["rating"]["reduced"] is True
        assert written["submission"]["card"] == catalogue.card("llama-3-8b").digest
        assert written["submission"]["engine"] == "vllm"
        printed = capsys.readouterr().out
        assert "102/6: 24 requests" in printed and "blended" in printed and "reduced" in printed

    def test_what_it_keeps_gives_the_same_rating_again(self, paced: tuple[Engine, str], tmp_path: Path) -> None:
        kept = tmp_path / "rating.json"
        calibrate(paced[1], "--json", str(kept))
        written = json.loads(kept.read_text())

        runs = [
            ratings.Run(
                run["prompt_tokens"],
                run["max_tokens"],
                tuple(
                    ratings.Window(
                        Fraction(window["seconds"]) * 2, tuple(ratings.Requests(*each) for each in window["requests"])
                    )
                    for window in run["windows"]
                ),
            )
            for run in written["submission"]["runs"]
        ]
        again = ratings.solve(catalogue.card("llama-3-8b"), runs)

        assert float(again.blended.rate.point or 0) == pytest.approx(
            float(written["rating"]["blended"]["st_per_second"]), rel=1e-5
        )

    def test_is_rated_over_completions_too(self, paced: tuple[Engine, str]) -> None:
        assert calibrate(paced[1], "--api", "completions", "--requests", "16") == 0

    def test_answers_that_end_early_are_named(self, paced: tuple[Engine, str], capsys: Any) -> None:
        """This engine knows no ignore_eos: 200 to 800 tokens are all that it has to say."""
        paced[0].device = type(paced[0].device)(2_500)

        code = calibrate(paced[1], "--shapes", "300/20,20/400", "--seed", "1", scale="1")

        assert code in {0, 1}  # how fast it is on a busy machine is not the question here
        assert "ended before max_tokens" in capsys.readouterr().err


class TestAnEngineThatComputes:
    def test_is_counted_as_it_counts(self) -> None:
        with llama_served() as server:
            found = measured(server, Shape(96, 8))

        n, c, g, times = found.run.totals
        assert (times, len(found.run.windows)) == (16, 4)
        assert g == 16 * 8
        assert abs((n + c) / 16 - 96) < 20  # a word is not always as long
        assert all(window.gpu_seconds > 0 and window.count == 4 for window in found.run.windows)
        assert sum(window.gpu_seconds for window in found.run.windows) == found.seconds
        assert (found.overrun, found.short, found.silent) == (0, 0, 0)

    def test_no_prompt_comes_out_of_its_cache(self) -> None:
        with llama_served() as server:
            found = measured(server, Shape(200, 4), concurrency=8)

        n, c, _, _ = found.run.totals
        assert c <= ratings.MOST_CACHED * (n + c)

    def test_tokens_beyond_the_limit_are_named_and_not_counted(self) -> None:
        with llama_served(metrics="llama.cpp", overrun=5) as server:
            found = measured(server, Shape(40, 8))

        assert (found.run.totals.g, found.overrun) == (16 * 8, 16 * 5)

    def test_goes_through_the_whole_command(self, tmp_path: Path) -> None:
        """Its speed has no batching and so need not be additive: a rating, or the refusal that says so."""
        card, kept = tmp_path / "tiny.json", tmp_path / "rating.json"
        card.write_text(json.dumps(to_json(TINY)))

        with llama_served() as server:
            code = calibrate(server.url, "--json", str(kept), model=MODEL, card=str(card))

        written = json.loads(kept.read_text())
        assert [run["prompt_tokens"] for run in written["submission"]["runs"]] == [102, 6]
        assert code == (0 if written["rating"] else 1)

    def test_a_second_calibration_finds_no_cache_either(self, tmp_path: Path) -> None:
        """Its prompts are others: an engine that kept the first ones would seem faster than it is."""
        card, kept = tmp_path / "tiny.json", tmp_path / "rating.json"
        card.write_text(json.dumps(to_json(TINY)))

        with llama_served() as server:
            for _ in range(2):
                calibrate(server.url, "--json", str(kept), model=MODEL, card=str(card))

        for run in json.loads(kept.read_text())["submission"]["runs"]:
            assert sum(row[1] for window in run["windows"] for row in window["requests"]) == 0


class TestMisbehaviour:
    def problem(self, capsys: Any) -> str:
        return str(capsys.readouterr().err.splitlines()[-1].partition(":")[0])

    def test_nobody_listens(self, capsys: Any) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"

            assert calibrate(url) == 3
        assert self.problem(capsys) == "engine_unreachable"

    @pytest.mark.parametrize(("status", "said"), [(401, "--engine-key"), (429, "--concurrency"), (500, "on purpose")])
    def test_it_refuses(self, paced: tuple[Engine, str], capsys: Any, status: int, said: str) -> None:
        paced[0].behaviour.refuse_with = status

        assert calibrate(paced[1]) == 3

        error = capsys.readouterr().err
        assert error.startswith("engine_refused:") and said in error

    def test_it_wants_a_key(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        with served(Engine(("llama-3-8b",), RATE, key="s3cret")) as url:
            assert calibrate(url) == 3
            assert "--engine-key" in capsys.readouterr().err
            monkeypatch.setenv("TOKENSPOT_ENGINE_KEY", "s3cret")
            assert calibrate(url, "--requests", "16") == 0

    def test_it_does_not_answer_in_time(self, paced: tuple[Engine, str], capsys: Any) -> None:
        paced[0].behaviour.hang = True

        assert calibrate(paced[1], "--time-limit", "0.3") == 3
        assert self.problem(capsys) == "engine_timeout"

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_it_breaks_off(self, paced: tuple[Engine, str], capsys: Any) -> None:
        paced[0].behaviour.break_after = 0

        assert calibrate(paced[1]) == 3
        assert self.problem(capsys) in {"engine_broke_off", "malformed_usage"}

    def test_it_does_not_know_the_model(self, paced: tuple[Engine, str], capsys: Any) -> None:
        assert calibrate(paced[1], model="another") == 3
        assert "does not exist here" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("usage", "code"),
        [(None, "no_usage"), ({"prompt_tokens": -1, "completion_tokens": 3}, "malformed_usage"),
         ({"prompt_tokens": 40, "completion_tokens": 0}, "no_tokens")],
    )  # fmt: skip
    def test_it_does_not_count(self, capsys: Any, usage: dict[str, int] | None, code: str) -> None:
        with served(_Saying(usage)) as url:
            assert calibrate(url) == 3
        assert self.problem(capsys) == code

    def test_it_refuses_members_that_it_does_not_know(self, capsys: Any) -> None:
        with served(_Saying({"prompt_tokens": 40, "completion_tokens": 1}, strict=True)) as url:
            calibrate(url)

        assert "engine_refused" not in capsys.readouterr().err

    def test_all_prompts_out_of_a_cache_are_no_rating(self, capsys: Any) -> None:
        cached = {"prompt_tokens": 40, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 32}}
        with served(_Saying(cached)) as url:
            assert calibrate(url) == 1
        assert self.problem(capsys) == "prompts_cached"


class _Saying:
    """Streams one letter and this usage, whatever it is asked; ``strict`` refuses `ignore_eos`."""

    def __init__(self, usage: dict[str, Any] | None, *, strict: bool = False) -> None:
        self._usage, self._strict = usage, strict

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while scope["method"] == "POST":
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        refused = scope["method"] != "POST" or (self._strict and b"ignore_eos" in body)
        chunks: list[dict[str, Any]] = [{"choices": [{"text": "a", "finish_reason": "length"}]}]
        if self._usage:
            chunks.append({"choices": [], "usage": self._usage})
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        await send({"type": "http.response.start", "status": 400 if refused else 200, "headers": []})
        await send({"type": "http.response.body", "body": b"unknown member" if refused else text.encode()})


class TestWrongUse:
    @pytest.mark.parametrize(
        "more",
        [("--shapes", "2048/128"), ("--shapes", "0/1,1/2"), ("--shapes", "many"), ("--scale", "0"), ("--devices", "0"), ("--concurrency", "0"),
         ("--submit",), ("--check",), ("--submit", "--check", "--deployment", "dep_x"), ("--card", "no-such"), ("--card", "/no/such.json")],
    )  # fmt: skip
    def test_is_said_before_anything_is_asked_of_the_engine(self, capsys: Any, more: tuple[str, ...]) -> None:
        assert calibrate("http://127.0.0.1:1", *more) == 2
        assert capsys.readouterr().err


def test_what_must_be_given_is_named(capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["agent", "calibrate", "--endpoint", "http://127.0.0.1:1", "--model", "m"])

    assert end.value.code == 2
    assert "--card, --devices must be given" in capsys.readouterr().err


def test_prompts_have_about_the_wanted_tokens_whatever_a_word_costs() -> None:
    for fixed, per_word in ((3, 1.0), (40, 1.4), (0, 6.2)):
        measure = prompts.Measure.of(
            round(fixed + per_word * prompts.SHORT_PROBE), round(fixed + per_word * prompts.LONG_PROBE)
        )
        assert fixed + per_word * measure.words(2_000) == pytest.approx(2_000, rel=0.02)


def test_prompts_differ_from_their_first_words_on() -> None:
    chance = random.Random(1)

    starts = {" ".join(prompts.text(50, chance).split()[:3]) for _ in range(200)}

    assert len(starts) > 195
