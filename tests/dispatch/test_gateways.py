"""Where the gateway may call."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from accounts.kernel import ids
from dispatch import gateways
from dispatch.kernel.asking import read
from providers.selectors import DeploymentView

ASKED = read(b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}', chat=True)
ONE = DeploymentView(
    id=UUID(int=1), organisation_id=UUID(int=2), pool_id=UUID(int=3), pool_name="p", device_count=1, line="m",
    line_name="M", card_digest="", served_format="fp16", engine_model="m", endpoint_url="https://localhost:1", private_endpoint=False,
    rate_st_per_second=1, share_bps=1, state="active", created_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


def reason(deployment: DeploymentView) -> str:
    async def call() -> None:
        async with gateways.client() as http:
            async for _ in gateways.complete(http, deployment, ASKED, key="", max_tokens=1):
                pass

    with pytest.raises(gateways.EngineError) as caught:
        asyncio.run(call())
    return caught.value.reason


class TestTarget:
    @pytest.mark.parametrize(
        "url", ["https://localhost:1", "https://127.0.0.1:1/x", "https://[::1]:1", "https://0.0.0.0:1"]
    )
    def test_an_address_inside_is_not_called(self, url: str) -> None:
        assert reason(replace(ONE, endpoint_url=url)) == "private_address"

    def test_a_name_that_does_not_exist_is_an_engine_that_failed(self) -> None:
        assert reason(replace(ONE, endpoint_url="https://nothing.invalid")) == "unknown_host"

    def test_an_address_that_the_operator_allowed_is_called(self) -> None:
        assert reason(replace(ONE, endpoint_url="http://127.0.0.1:1", private_endpoint=True)) == "connection"


class TestNaming:
    def test_the_providers_meter_learns_what_our_record_names(self) -> None:
        seen: list[httpx.Headers] = []

        def engine(request: httpx.Request) -> httpx.Response:
            seen.append(request.headers)
            return httpx.Response(200, content=b"data: [DONE]\n\n")

        async def call(named: gateways.Named | None) -> None:
            async with httpx.AsyncClient(transport=httpx.MockTransport(engine)) as http:
                private = replace(ONE, endpoint_url="http://127.0.0.1:1", private_endpoint=True)
                async for _ in gateways.complete(http, private, ASKED, key="", max_tokens=7, named=named):
                    pass

        asyncio.run(call(gateways.Named("req-1", UUID(int=5), "abc")))
        asyncio.run(call(None))

        sent = {name: value for name, value in seen[0].items() if name.startswith("x-tokenspot-")}
        assert sent == {
            "x-tokenspot-request": "req-1", "x-tokenspot-allocation": ids.encode("alc", UUID(int=5)),
            "x-tokenspot-card": "abc", "x-tokenspot-max-tokens": "7",
        }  # fmt: skip
        assert not any(name.startswith("x-tokenspot-") for name in seen[1])
