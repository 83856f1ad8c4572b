"""What the provider's agent costs: CPU and memory in log, metrics and proxy mode, and the latency that the proxy adds.

`python tests/bench/agent_load.py [SECONDS] [REQUESTS_A_SECOND]` (default 20 and 100). Engine and agent are processes
of their own; the load comes from this one. Prints a table, then one JSON line a figure. Targets: below 1 % of a core
in log and metrics mode, 15 % as a proxy, 50 MB.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.fakes.agent import CARD, AgentProcess, free_port, listening, wait_for
from tests.fakes.platform import Platform

CHUNKS = (1, 20, 100)  # pieces of a stream; 1 stands for an answer in one piece
_TICK = os.sysconf("SC_CLK_TCK")
ENGINE = """
import asyncio, json, sys
counts = [0, 0]
def event(value): return b"data: " + json.dumps(value).encode() + b"\\n\\n"
def piece(text, finish=None):
    delta = {"content": text} if text else {}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
def framed(data): return b"%x\\r\\n%b\\r\\n" % (len(data), data)
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            if head.startswith(b"GET /metrics"):
                text = (f"# TYPE vllm:num_requests_running gauge\\nvllm:num_requests_running 0\\n"
                        f"# TYPE vllm:prompt_tokens_total counter\\nvllm:prompt_tokens_total {counts[0]}\\n"
                        f"# TYPE vllm:generation_tokens_total counter\\nvllm:generation_tokens_total {counts[1]}\\n"
                        + "".join(f'vllm:filler_bucket{{le="{n}"}} {n}\\n' for n in range(800))).encode()
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(text), text))
                continue
            size = int([l for l in head.split(b"\\r\\n") if l.lower().startswith(b"content-length")][0].split(b":")[1])
            ask = json.loads(await reader.readexactly(size))
            n = ask["max_tokens"]
            counts[0] += 200; counts[1] += n
            usage = {"prompt_tokens": 200, "completion_tokens": n, "total_tokens": 200 + n}
            if not ask.get("stream"):
                body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * n},
                                 "finish_reason": "stop"}]}).encode()
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%b"
                             % (len(body), body))
                continue
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
            for _ in range(n):
                writer.write(framed(event(piece("word "))))
                await asyncio.sleep(float(sys.argv[2]))
            writer.write(framed(event(piece("", "stop"))))
            if (ask.get("stream_options") or {}).get("include_usage"):
                writer.write(framed(event({**piece(""), "choices": [], "usage": usage})))
            writer.write(framed(b"data: [DONE]\\n\\n") + b"0\\r\\n\\r\\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def cpu_seconds(pid: int) -> float:
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / _TICK


def rss_mb(pid: int) -> tuple[float, float]:
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(told[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


class Connection:
    """A kept connection that asks and reads one answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, name: str, tokens: int, *, stream: bool) -> tuple[float, float]:
        """Seconds to the first byte, and to the end."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        body = json.dumps(
            {"model": "m", "stream": stream, "max_tokens": tokens, "messages": [{"role": "user", "content": "x" * 800}]}
        ).encode()
        started = time.perf_counter()
        writer.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"X-Tokenspot-Request: {name}\r\nX-Tokenspot-Allocation: alc_1\r\nX-Tokenspot-Card: {CARD}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        first = time.perf_counter() - started
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        if length:
            await reader.readexactly(int(length[0].split(b":")[1]))
        else:
            await reader.readuntil(b"0\r\n\r\n")
        return first, time.perf_counter() - started


class Load:
    """Requests at a steady rate, whatever the answers take."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def run(self, label: str, *, rate: float, seconds: float, tokens: int, stream: bool) -> list[float]:
        """Seconds to the end of each."""
        started, times, tasks = time.perf_counter(), [], []

        async def one(number: int) -> None:
            connection = self._idle.pop() if self._idle else Connection(self._port)
            times.append((await connection.ask(f"{label}-{number}", tokens, stream=stream))[1])
            self._idle.append(connection)

        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        return sorted(times)


def at(times: list[float], share: float) -> float:
    return 1000 * times[min(len(times) - 1, int(share * len(times)))]


@asynccontextmanager
async def agent_on(folder: Path, platform: Platform, *arguments: str) -> AsyncIterator[AgentProcess]:
    with AgentProcess(folder, *arguments) as agent:
        await asyncio.to_thread(agent.register, platform)
        agent.start("--send-interval", "5")
        await asyncio.sleep(2.0)
        yield agent
        agent.process.terminate()
        code = await asyncio.to_thread(agent.process.wait, 30)
        assert code == 0, agent.log.read_text()


def say(mode: str, figures: dict[str, float]) -> None:
    print(f"{mode:<24} " + "  ".join(f"{name} {value:8.2f}" for name, value in figures.items()))
    print(
        json.dumps({"bench": "agent_load", "mode": mode, **{name: round(value, 3) for name, value in figures.items()}})
    )


async def measured(agent: AgentProcess, work, *, count: int, rate: float) -> dict[str, float]:
    """CPU of so many requests, batches included; as a share of a core at the rate asked for, whatever was reached."""
    pid = agent.process.pid
    before, started = cpu_seconds(pid), time.monotonic()
    await work
    loaded = time.monotonic() - started
    await asyncio.sleep(5.5)  # so that every record's batch goes out
    each = (cpu_seconds(pid) - before) / count
    now, most = rss_mb(pid)
    return {
        "cpu_percent": 100 * each * rate,
        "cpu_us_each": 1e6 * each,
        "reached_rate": count / loaded,
        "rss_mb": now,
        "peak_mb": most,
    }


async def logs(folder: Path, platform: Platform, engine: int, *, rate: float, seconds: float) -> None:
    path = folder / "requests.jsonl"
    path.touch()

    async def write() -> None:
        started = time.perf_counter()
        with path.open("a", buffering=1) as file:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                line = {
                    "request_id": f"log-{number}", "allocation": "alc_1", "card": CARD, "time": time.time(),
                    "usage": {"prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300}, "max_tokens": 400,
                    "finish_reason": "stop", "path": "/v1/chat/completions", "client": "10.0.0.1", "latency_ms": 812.5,
                }  # fmt: skip
                file.write(json.dumps(line) + "\n")

    metrics = ("--metrics-url", f"http://127.0.0.1:{engine}/metrics")
    for mode, more in (("log", ()), ("log and metrics", metrics)):
        count = len(platform.books.records)
        path.unlink()
        path.touch()
        async with agent_on(folder / mode.replace(" ", "-"), platform, "--follow", str(path), *more) as agent:
            figures = await measured(agent, write(), count=int(rate * seconds), rate=rate)
        say(mode, figures)
        assert mode != "log" or len(platform.books.records) - count == int(rate * seconds)


async def proxied(folder: Path, platform: Platform, engine: int, *, rate: float, seconds: float) -> None:
    port = free_port()
    arguments = ("--proxy-listen", f"127.0.0.1:{port}", "--engine", f"http://127.0.0.1:{engine}")
    async with agent_on(folder / "proxy", platform, *arguments) as agent:
        wait_for(lambda: listening(port))
        for tokens in CHUNKS:
            stream = tokens > 1
            count = int(rate * seconds / 2)
            load = Load(port).run(f"p{tokens}", rate=rate, seconds=seconds / 2, tokens=tokens, stream=stream)
            figures = await measured(agent, load, count=count, rate=rate)
            figures |= await added(engine, port, tokens, stream=stream)
            say(f"proxy, {tokens} chunks" if stream else "proxy, whole answers", figures)


async def added(engine: int, port: int, tokens: int, *, stream: bool) -> dict[str, float]:
    """What the proxy adds, one request at a time and in turns, so that other work on the machine slows both alike."""
    ways = {"straight": Connection(engine), "through": Connection(port)}
    times: dict[str, list[float]] = {f"{way}_{what}": [] for way in ways for what in ("first", "whole")}
    for number in range(20 + 4000 // (tokens + 9)):
        for way, connection in ways.items():
            first, whole = await connection.ask(f"{way}-{tokens}-{number}", tokens, stream=stream)
            times[f"{way}_first"].append(first)
            times[f"{way}_whole"].append(whole)
    told = {name: sorted(group) for name, group in times.items()}
    return {
        "straight_first_p50_ms": at(told["straight_first"], 0.5),
        "added_first_p50_ms": at(told["through_first"], 0.5) - at(told["straight_first"], 0.5),
        "added_first_p99_ms": at(told["through_first"], 0.99) - at(told["straight_first"], 0.99),
        "added_whole_p50_ms": at(told["through_whole"], 0.5) - at(told["straight_whole"], 0.5),
    }


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 100.0
    port, platform = free_port(), Platform()
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, str(port), "0.005"])
    print(f"{rate:g} requests a second; CPU of one core; load average {os.getloadavg()[0]:.1f}")
    try:
        wait_for(lambda: listening(port))
        with tempfile.TemporaryDirectory() as folder:
            await logs(Path(folder), platform, port, rate=rate, seconds=seconds)
            await proxied(Path(folder), platform, port, rate=rate, seconds=seconds)
        assert not platform.problems, platform.problems
    finally:
        engine.kill()
        platform.close()


if __name__ == "__main__":
    asyncio.run(main())
