"""Requests by key, line, hour and day: page, file and API say the same, and only one's own."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts import services as accounts
from accounts.kernel import ids
from accounts.selectors import clock
from dispatch import selectors
from dispatch.models import RequestLog
from market.models import ModelLine
from tests.billing.scene import keyed, signed_in
from tests.metering_ingest.scene import NOW, Bought, build

State = RequestLog.State


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


def ask(bought: Bought, at: datetime, *, key: Any = None, state: str = State.DONE, micro_st: int = 2_000_000,
        organisation: Any = None) -> None:  # fmt: skip
    """One row of the gateway's log."""
    one = bought.allocations[0]
    failed = state == State.FAILED
    RequestLog.objects.create(
        request_id="r", organisation_id=(organisation or bought.buyer).organisation_id, key_id=key,
        line=ModelLine.objects.get(slug=one.line), allocation_id=one.id, deployment_id=one.deployment_id,
        reservation_id=ids.new(), reserved_micro_st=micro_st, stream=False, max_tokens=10, prompt_tokens=100,
        cached_tokens=0 if failed else 40, completion_tokens=0 if failed else 7,
        micro_st=0 if failed else micro_st, state=state, opened_at=at,
        closed_at=None if state == State.OPEN else at,
    )  # fmt: skip


@pytest.fixture
def asked(bought: Bought) -> tuple[Bought, Any, datetime]:
    """Two keys, three hours, a failed and a running request, and somebody else's."""
    key = accounts.keys.create(actor=bought.buyer, name="=cmd", scopes=["inference"], now=NOW)
    row = next(one for one in selectors.keys.of(bought.buyer) if one.name == "=cmd")
    assert key.secret
    last = clock.now().replace(minute=0, second=1, microsecond=0) - timedelta(hours=1)
    ask(bought, last, key=row.id)
    ask(bought, last, key=row.id, state=State.FAILED)
    ask(bought, last - timedelta(hours=2), key=row.id)
    ask(bought, last - timedelta(hours=1), micro_st=3_000_000)
    ask(bought, last, state=State.OPEN)
    ask(bought, last - timedelta(days=8))
    ask(bought, last, organisation=bought.stranger)
    return bought, row.id, last


class TestSelector:
    def test_sums_by_key_with_the_value_at_the_allocations_price(self, asked: tuple[Bought, Any, datetime]) -> None:
        bought, key_id, last = asked
        price = bought.allocations[0].price_micros
        rows = selectors.used(bought.buyer, by="key", since=last - timedelta(days=7), until=last + timedelta(hours=1))

        assert [(row.group, row.requests, row.failed, row.micro_st, row.exact) for row in rows] == [
            (str(key_id), 3, 1, 4_000_000, 4_000_000 * price),
            ("", 1, 0, 3_000_000, 3_000_000 * price),
        ]
        assert (rows[0].input_tokens, rows[0].cached_tokens, rows[0].output_tokens) == (120, 80, 14)

    def test_hours_start_in_utc_and_the_end_is_left_out(self, asked: tuple[Bought, Any, datetime]) -> None:
        bought, key_id, last = asked
        since = last - timedelta(hours=2)
        rows = selectors.used(bought.buyer, by="hour", since=since, until=last, key_id=None)

        assert [datetime.fromisoformat(row.group) for row in rows] == [
            (last - timedelta(hours=back)).replace(second=0) for back in (1, 2)
        ]
        assert len(selectors.used(bought.buyer, by="hour", since=since, until=last, key_id=key_id)) == 1

    @pytest.mark.parametrize("by", ["key", "line", "hour", "day"])
    def test_every_grouping_has_the_same_sum(self, asked: tuple[Bought, Any, datetime], by: Any) -> None:
        bought, _, last = asked
        rows = selectors.used(bought.buyer, by=by, since=last - timedelta(days=30), until=clock.now())

        assert sum(row.micro_st for row in rows) == 9_000_000


class TestPage:
    def test_shows_keys_by_name_in_both_languages(self, asked: tuple[Bought, Any, datetime]) -> None:
        english = signed_in(asked[0].buyer).get("/usage/requests/").content.decode()
        chinese = signed_in(asked[0].buyer, "owner", language="zh-hans").get("/usage/requests/?by=hour")

        assert "=cmd" in english and "Signed in, without a key" in english
        assert "按密钥与小时的请求" in chinese.content.decode()

    @pytest.mark.parametrize("query", ["?by=nothing&days=x&key=1", "?by=hour&days=1", "?by=day&days=30", "?by=line"])
    def test_takes_any_address(self, asked: tuple[Bought, Any, datetime], query: str) -> None:
        assert signed_in(asked[0].buyer).get(f"/usage/requests/{query}").status_code == 200

    def test_says_that_nothing_was_asked(self, bought: Bought) -> None:
        assert "No request yet" in signed_in(bought.buyer).get("/usage/requests/?days=30").content.decode()

    def test_the_file_has_the_same_rows_and_no_formula(self, asked: tuple[Bought, Any, datetime]) -> None:
        response = signed_in(asked[0].buyer).get("/usage/requests.csv?days=7")
        rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))

        assert [(row["requests"], row["micro_st"]) for row in rows] == [("3", "4000000"), ("1", "3000000")]
        assert rows[0]["name"].startswith("'=cmd")


class TestApi:
    def test_says_what_the_page_says(self, asked: tuple[Bought, Any, datetime]) -> None:
        bought, key_id, _ = asked
        api = keyed(bought.buyer, "usage:read")
        rows = api.get("/api/v1/usage/requests?by=key").json()["data"]

        assert [row["group"] for row in rows] == [ids.encode("key", key_id), ""]
        assert rows[0]["micro_st"] == "4000000" and rows[0]["currency"] == "CNY"
        only = api.get(f"/api/v1/usage/requests?by=hour&key={ids.encode('key', key_id)}").json()["data"]
        assert sum(int(row["micro_st"]) for row in only) == 4_000_000
        assert keyed(bought.stranger, "usage:read").get("/api/v1/usage/requests").json()["data"][0]["requests"] == 1

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("by=nothing", "by"), ("since=yesterday", "since"), ("key=key_1", "key"), ("days=7", "days"),
            ("since=2026-11-25T00:00:00Z&until=2026-11-24T00:00:00Z", "since"),
            ("since=2020-01-01T00:00:00Z&until=2026-11-24T00:00:00Z", "since"),
        ],
    )  # fmt: skip
    def test_refuses_what_it_cannot_read(self, bought: Bought, query: str, field: str) -> None:
        answer = keyed(bought.buyer, "usage:read").get(f"/api/v1/usage/requests?{query}")

        assert answer.status_code == 400
        assert field in answer.content.decode()

    def test_needs_its_scope(self, bought: Bought) -> None:
        assert keyed(bought.buyer, "market:read").get("/api/v1/usage/requests").status_code == 403
