"""What an event may look like, and what is refused by name."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.kernel import ids
from metering_ingest.kernel.events import (
    BATCH,
    MAX_EVENTS,
    STRUCTURED,
    TYPE,
    MalformedEvent,
    UnsupportedContentType,
    parse,
)
from metering_ingest.kernel.identity import content_hash, usage_key

ALLOCATION = ids.encode("alc", UUID(int=7))


def good(**change: Any) -> dict[str, Any]:
    data = {"allocation": ALLOCATION, "card": "ab" * 32, "prompt_tokens": 10, "completion_tokens": 5}
    data |= change.pop("data", {})
    return {
        "specversion": "1.0",
        "id": "a",
        "source": "s",
        "type": TYPE,
        "time": "2026-11-24T16:01:00Z",
        "data": data,
        **change,
    }


def read(*events: Any) -> Any:
    return parse(json.dumps(list(events)).encode(), content_type=BATCH)


class TestForms:
    def test_a_batch_a_single_event_and_headers_say_the_same(self) -> None:
        (batch,) = read(good())
        (single,) = parse(json.dumps(good()).encode(), content_type=STRUCTURED + "; charset=utf-8")
        headers = {f"ce-{k}": v for k, v in good().items() if k != "data"}
        (binary,) = parse(json.dumps(good()["data"]).encode(), content_type="application/json", headers=headers)

        assert batch == single == binary
        assert batch.allocation_id == UUID(int=7)

    def test_other_media_types_are_refused(self) -> None:
        with pytest.raises(UnsupportedContentType):
            parse(b"[]", content_type="text/csv")


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"data": {"prompt_tokens": -1}}, "data.prompt_tokens"),
            ({"data": {"prompt_tokens": 1.5}}, "data.prompt_tokens"),
            ({"data": {"prompt_tokens": "10"}}, "data.prompt_tokens"),
            ({"data": {"prompt_tokens": True}}, "data.prompt_tokens"),
            ({"data": {"prompt_tokens": 10**12}}, "data.prompt_tokens"),
            ({"data": {"cached_tokens": 11}}, "data.cached_tokens"),
            ({"data": {"tokens": 1}}, "data"),
            ({"data": {"allocation": "ord_" + ALLOCATION[4:]}}, "data.allocation"),
            ({"type": "other"}, "type"),
            ({"specversion": "0.3"}, "specversion"),
            ({"time": "2026-11-24T16:01:00"}, "time"),
            ({"time": "yesterday"}, "time"),
            ({"id": ""}, "id"),
            ({"id": "a\x00"}, ""),
            ({"source": "词"}, "source"),
        ],
    )
    def test_name_the_event_and_the_field(self, change: dict[str, Any], field: str) -> None:
        with pytest.raises(MalformedEvent) as refused:
            read(good(), good(**change))

        if field:
            assert (refused.value.index, refused.value.field) == (1, field)

    @pytest.mark.parametrize(
        "raw", [b"", b"{", b"[NaN]", b'{"a":1,"a":2}', b"\xff", b"[" * 3_000, b"1" * 5_000, b"null", b"{}"]
    )
    def test_bodies_that_are_no_batch(self, raw: bytes) -> None:
        with pytest.raises(MalformedEvent):
            parse(raw, content_type=BATCH)

    def test_too_many_events(self) -> None:
        with pytest.raises(MalformedEvent, match="at most"):
            read(*[good()] * (MAX_EVENTS + 1))

    @settings(max_examples=300, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_nothing_else_is_ever_raised(self, value: Any) -> None:
        for body in (value, [value], good(data=value if isinstance(value, dict) else {"card": value})):
            with contextlib.suppress(MalformedEvent):
                parse(json.dumps(body).encode("utf-8", "surrogatepass"), content_type=BATCH)


class TestIdentity:
    def test_no_two_pairs_spell_the_same_key(self) -> None:
        tenant = UUID(int=1)

        assert usage_key(tenant, "ab", "c") != usage_key(tenant, "a", "bc")
        assert usage_key(tenant, "a", "b") != usage_key(UUID(int=2), "a", "b")

    def test_every_count_is_part_of_the_content(self) -> None:
        (plain,) = read(good())
        hashes = {content_hash(plain)}
        for change in (
            {"prompt_tokens": 11},
            {"completion_tokens": 6},
            {"cached_tokens": 1},
            {"max_tokens": 5},
            {"finish_reason": "x"},
        ):
            (other,) = read(good(data=change))
            hashes.add(content_hash(other))

        assert len(hashes) == 6

    def test_what_goes_beyond_the_requests_limit_is_not_billable(self) -> None:
        (event,) = read(good(data={"completion_tokens": 90, "max_tokens": 64}))

        assert event.billable_tokens == 64
