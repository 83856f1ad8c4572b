"""What an event may look like, and what is refused by name."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
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

    def test_header_values_are_percent_decoded_so_that_every_form_names_the_same_event(self) -> None:
        event = good(id="a b", source="pool/50%")
        headers = {f"ce-{k}": v for k, v in event.items() if k != "data"}
        headers |= {"ce-id": "a%20b", "ce-source": "pool/50%25"}

        (binary,) = parse(json.dumps(event["data"]).encode(), content_type="application/json", headers=headers)

        assert [binary] == read(event)

    @pytest.mark.parametrize("encoded", ["%00", "%FF", "%E8%AF%8D", "a%0Ab", ""])
    def test_percent_decoding_lets_no_unprintable_character_in(self, encoded: str) -> None:
        headers = {f"ce-{k}": v for k, v in good().items() if k != "data"} | {"ce-id": encoded}

        with pytest.raises(MalformedEvent) as refused:
            parse(json.dumps(good()["data"]).encode(), content_type="application/json", headers=headers)

        assert refused.value.field == "id"

    def test_plain_json_without_event_headers_is_no_event(self) -> None:
        with pytest.raises(UnsupportedContentType):
            parse(json.dumps(good()).encode(), content_type="application/json", headers={})

    def test_extensions_may_stand_beside_the_named_attributes(self) -> None:
        assert read(good(traceparent="00-1-2-01")) == read(good())

    def test_a_batch_may_be_empty(self) -> None:
        assert read() == []

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
            ({"data": {"prompt_tokens": 10.0}}, "data.prompt_tokens"),
            ({"data": {"prompt_tokens": None}}, "data.prompt_tokens"),
            ({"data": {"prompt_tokens": True}}, "data.prompt_tokens"),
            ({"data": {"completion_tokens": -1}}, "data.completion_tokens"),
            ({"data": {"cached_tokens": -1}}, "data.cached_tokens"),
            ({"data": {"max_tokens": -1}}, "data.max_tokens"),
            ({"data": {"card": ""}}, "data.card"),
            ({"data": {"finish_reason": "x" * 256}}, "data.finish_reason"),
            ({"data": {"started_at": "2026-11-24T16:01:00"}}, "data.started_at"),
            ({"data": {"finished_at": "0001-01-01T00:00:00+14:00"}}, "data.finished_at"),
            ({"subject": 7}, "subject"),
            ({"time": 1_795_000_000}, "time"),
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
        "raw",
        [
            b"",
            b"{",
            b"[NaN]",
            b"[1e999]",
            b'[{"a":1,"a":2}]',
            b"\xff",
            b"[" * 3_000,
            b"1" * 5_000,
            b"null",
            b"{}",
            b"[7]",
        ],
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

    @pytest.mark.parametrize("member", ["specversion", "id", "source", "type", "time", "data"])
    def test_every_required_member_is_missed(self, member: str) -> None:
        event = good()
        del event[member]

        with pytest.raises(MalformedEvent, match=member) as refused:
            read(good(), good(), event)

        assert refused.value.index == 2

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from(["specversion", "id", "source", "type", "time", "subject", "data"])
        | st.sampled_from(["allocation", "card", "prompt_tokens", "cached_tokens", "completion_tokens", "max_tokens",
                           "finish_reason", "started_at", "finished_at"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
        | st.datetimes().map(lambda at: at.isoformat() + "+23:59") | st.datetimes().map(lambda at: at.isoformat() + "Z"),
    )  # fmt: skip
    def test_one_wrong_member_is_refused_or_read_but_never_raises_otherwise(self, member: str, value: Any) -> None:
        event = good()
        (event if member in {*event, "subject"} else event["data"])[member] = value

        try:
            (found,) = read(event)
        except MalformedEvent as refused:
            assert refused.index == 0
        else:
            assert 0 <= found.cached_tokens <= found.prompt_tokens
            assert all(at is None or at.utcoffset() == timedelta(0)
                       for at in (found.time, found.started_at, found.finished_at))  # fmt: skip


class TestIdentity:
    def test_one_instant_in_two_offsets_is_the_same_content(self) -> None:
        (utc,) = read(good())
        (local,) = read(good(time="2026-11-25T00:01:00+08:00"))

        assert content_hash(utc) == content_hash(local)

    @pytest.mark.parametrize(
        "change",
        [
            {"time": "2026-11-24T16:01:01Z"},
            {"subject": "x"},
            {"data": {"card": "cd" * 32}},
            {"data": {"allocation": ids.encode("alc", UUID(int=8))}},
            {"data": {"started_at": "2026-11-24T16:01:00Z"}},
            {"data": {"finished_at": "2026-11-24T16:01:00Z"}},
        ],
    )
    def test_everything_else_that_is_said_is_part_of_the_content(self, change: dict[str, Any]) -> None:
        (plain,), (other,) = read(good()), read(good(**change))

        assert content_hash(plain) != content_hash(other)

    def test_the_identity_is_no_part_of_the_content(self) -> None:
        (plain,), (other,) = read(good()), read(good(id="b", source="t"))

        assert content_hash(plain) == content_hash(other)

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
