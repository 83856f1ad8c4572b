"""The engine that the demo and these tests run."""

import subprocess
import sys
import time

import httpx
import pytest

from tests.fakes.engine.app import Engine
from tests.fakes.engine.serving import served
from tests.fakes.engine.text import pieces
from token_standard.catalogue import card
from token_standard.tokenizer import REFERENCE
from token_standard.usage import micro_st

BODY = {"model": "llama-3-8b", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 60}


class TestText:
    @pytest.mark.parametrize("count", [0, 1, 2, 17, 500])
    def test_has_exactly_as_many_tokens_as_asked_for(self, count: int) -> None:
        assert REFERENCE.pieces("".join(pieces("seed", count))) == pieces("seed", count)

    def test_is_the_same_for_the_same_seed_and_holds_both_languages(self) -> None:
        text = "".join(pieces("a", 600))

        assert text == "".join(pieces("a", 600))
        assert text != "".join(pieces("b", 600))
        assert "the" in text and "市场" in text


class TestPace:
    def test_streams_share_the_rated_speed(self) -> None:
        work = micro_st(card("llama-3-8b"), n=4, c=0, g=60)
        engine = Engine(("llama-3-8b",), rate=4 * work / 10**6)  # four such requests a second

        with served(engine) as url:
            began = time.monotonic()
            with httpx.Client(timeout=20) as http:
                for _ in range(6):
                    assert http.post(f"{url}/v1/chat/completions", json=BODY).status_code == 200
            took = time.monotonic() - began

        assert 1.2 <= took < 4


class TestProgram:
    def test_runs_by_itself_with_key_health_and_counters(self) -> None:
        argv = [
            sys.executable,
            "-m",
            "tests.fakes.engine",
            "--port",
            "18917",
            "--model",
            "llama-3-8b",
            "--rate",
            "1000000",
            "--name",
            "one",
        ]
        with (
            subprocess.Popen(argv, env={"ENGINE_KEY": "k"}) as process,
            httpx.Client(base_url="http://127.0.0.1:18917") as http,
        ):
            try:
                deadline = time.monotonic() + 20
                while True:
                    try:
                        assert http.get("/health").status_code == 200
                        break
                    except httpx.ConnectError:
                        assert time.monotonic() < deadline
                        time.sleep(0.05)

                refused = http.post("/v1/chat/completions", json=BODY)
                answer = http.post("/v1/chat/completions", json=BODY, headers={"authorization": "Bearer k"})
                metrics = http.get("/metrics").text
            finally:
                process.terminate()
                process.wait(10)

        assert refused.status_code == 401
        assert answer.json()["usage"]["completion_tokens"] == 60
        assert 'vllm:generation_tokens_total{model_name="llama-3-8b"} 60' in metrics
