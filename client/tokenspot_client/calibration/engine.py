"""One request to an OpenAI-compatible engine, streamed, with what it counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from tokenspot_client import engines
from tokenspot_client.calibration.problems import CalibrationProblem

_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_HINTS = {
    401: "give the engine's key with --engine-key",
    403: "give the engine's key with --engine-key",
    404: "look at --endpoint and --model",
    413: "the prompt is too long for it: use --scale or --shapes",
    429: "it limits requests: lower --concurrency, or lift its limit for this run",
}


@dataclass(frozen=True)
class Settings:
    """Where the engine is and what it takes: ``chat`` picks its route, ``keep_going`` asks it to ignore end tokens."""

    base_url: str
    model: str
    key: str = ""
    chat: bool = True
    keep_going: bool = True
    time_limit: float = 600.0  # seconds of one request


class Engine:
    """Asks an engine, many requests at a time; to be closed."""

    def __init__(self, settings: Settings, *, concurrency: int) -> None:
        self.settings = settings
        self._http = httpx.AsyncClient(
            base_url=settings.base_url.rstrip("/").removesuffix("/v1"),
            headers={"Authorization": f"Bearer {settings.key}"} if settings.key else {},
            timeout=httpx.Timeout(settings.time_limit, connect=min(settings.time_limit, 10.0)),
            limits=httpx.Limits(max_connections=concurrency + 1, max_keepalive_connections=concurrency + 1),
            trust_env=False,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def ask(self, prompt: str, *, limit: int) -> engines.Usage:
        """Send one prompt and read the stream to its end.

        :raises CalibrationProblem: no connection, no answer in time, a refusal, or an answer without usable counts.
        """
        try:
            async with asyncio.timeout(self.settings.time_limit):
                lines = await self._stream(self._body(prompt, limit))
            return engines.read_stream(lines, limit=limit)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            raise CalibrationProblem(
                "engine_timeout",
                f"a request took longer than {self.settings.time_limit:g} s: use --scale, a lower --concurrency "
                "or a longer --time-limit",
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CalibrationProblem("engine_unreachable", f"no connection to {self._http.base_url}: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CalibrationProblem("engine_broke_off", f"the engine broke off: {error!r}") from None
        except engines.NoUsage:
            raise CalibrationProblem(
                "no_usage",
                "the engine's stream carries no usage, so nothing can be counted: it must know "
                "stream_options.include_usage",
            ) from None
        except engines.MalformedUsage as error:
            raise CalibrationProblem("malformed_usage", f"the engine's usage cannot be: {error}") from None

    async def version(self) -> tuple[str, str]:
        """The engine's name and version as it tells them (`/metrics`, `/version`); empty where it does not."""
        name = version = ""
        try:
            answer = await self._http.get("/metrics", timeout=5.0)
            name = engines.read(answer.text).engine if answer.is_success else ""
        except (httpx.HTTPError, ValueError):
            pass
        try:
            answer = await self._http.get("/version", timeout=5.0)
            told = answer.json() if answer.is_success else None
            version = str(told.get("version") or "")[:40] if isinstance(told, dict) else ""
        except (httpx.HTTPError, ValueError):
            pass
        return name, version

    async def _stream(self, body: dict[str, Any]) -> list[str]:
        async with self._http.stream("POST", _CHAT if self.settings.chat else _COMPLETIONS, json=body) as answer:
            if answer.is_error:
                raise refusal(answer.status_code, await answer.aread())
            return [line async for line in answer.aiter_lines()]

    def _body(self, prompt: str, limit: int) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "model": self.settings.model,
            "max_tokens": limit,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.settings.keep_going:
            asked["ignore_eos"] = True
        if self.settings.chat:
            return asked | {"messages": [{"role": "user", "content": prompt}]}
        return asked | {"prompt": prompt}


class Refused(CalibrationProblem):
    """The engine answered with an error; ``status`` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("engine_refused", message)
        self.status = status


def refusal(status: int, body: bytes) -> Refused:
    """What the engine's error says, and what may help."""
    said = " ".join(body.decode("utf-8", "replace").split())[:300]
    hint = f" ({_HINTS[status]})" if status in _HINTS else ""
    return Refused(status, f"the engine answered {status}: {said or 'nothing'}{hint}")
