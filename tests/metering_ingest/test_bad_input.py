"""A corpus of bad values on every field of both faces: refused by name, never a fault of ours, and nothing stored."""

from __future__ import annotations

import json

import pytest

from accounts import services as accounts
from metering_ingest.models import UsageKey
from tests.metering_ingest.faces import EVENTS, by_key, here, record
from tests.metering_ingest.scene import NOW, Bought, build, cloud_event

# As JSON texts, since Python's own writer makes no duplicates and no broken bytes.
VALUES = [
    "NaN", "Infinity", "-Infinity", "-1", "1e400", "1E5", "1.5", "1" + "0" * 30, "9" * 5_000, '"1_000"', '"١٢٣"', "true", "[]",
    "{}", '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', "[" * 3_000 + "]" * 3_000, '{"a":' * 30 + "1" + "}" * 30, '""', '"\ufeff"',
    '"' + "x" * 300 + '"', '"a\\tb"', '"2026-11-24T16:01:00"', '"0000-00-00T00:00:00Z"', '"9999-12-31T23:59:59-23:59"', '"é"',
]  # fmt: skip
BODIES = [
    b"", b"\xff", b"{", b"null", b"[]", b"1", b'{"records":null}', b'{"records":{}}', b'{"records":[1]}', b'{"records":[[]]}',
    b'{"records":[],"records":[]}', b'{"records":[],"x":1}', b'{"records":[]}x', b'\xef\xbb\xbf{"records":[]}',
    b'{"records":[' + b"{}," * 5_000 + b"{}]}", b'{"records":' + b"[" * 100_000, b'{"records":[],"epoch":"e"}',
    '{"records":[],"\ud83d":1}'.encode("utf-8", "surrogatepass"),
]  # fmt: skip


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch)


def test_no_value_on_any_field_of_a_record_is_a_fault(bought: Bought) -> None:
    secret = accounts.keys.create(actor=bought.buyer, name="k", scopes=["usage:write"], now=NOW).secret
    good = record(bought.allocations[0], "a", **{
        "source": "s", "cached_tokens": 0, "max_tokens": 9, "served_format": "fp16", "started_at": None, "finished_at": None,
        "gpu_seconds": "1.5", "draft_tokens": 1, "accepted_tokens": 1, "voids": None, "aggregate": None,
    })  # fmt: skip
    counts = {"200": 0, "400": 0}

    for name in good:
        for value in VALUES:
            raw = json.dumps({"records": [{**good, name: "@"}]}).replace('"@"', value).encode("utf-8", "surrogatepass")
            answer = by_key(secret, raw)
            counts[str(answer.status_code)] += 1  # anything else is a KeyError
            if answer.status_code == 200:
                (one,) = answer.json()["results"]
                if one["result"] == "rejected":
                    assert one["code"] and (one["field"] or name) and one["reason"]
                else:
                    assert name not in {"prompt_tokens", "completion_tokens", "time", "card", "allocation"} or one[
                        "result"
                    ] in {"quarantined", "conflict"}

    assert counts["400"] > 100 and counts["200"] > 100


def test_a_field_twice_or_unknown_is_refused(bought: Bought) -> None:
    secret = accounts.keys.create(actor=bought.buyer, name="k", scopes=["usage:write"], now=NOW).secret
    raw = json.dumps({"records": [record(bought.allocations[0], "a")]})

    for twice in ('"id":"b"', '"id" :"b"', '"id"\n:"b"', '"\\u0069d":"b"'):
        answer = by_key(secret, raw.replace('"id":', twice + ', "id":', 1).encode())
        assert answer.status_code == 400, twice
    unknown = by_key(secret, raw.replace('"id":', '"surprise": 1, "id":', 1).encode()).json()["results"][0]

    assert (unknown["result"], unknown["code"], unknown["field"]) == ("rejected", "unknown_field", "surprise")
    assert UsageKey.objects.count() == 0


@pytest.mark.parametrize("raw", BODIES)
def test_bodies_that_are_wrong_as_a_whole_are_400(bought: Bought, raw: bytes) -> None:
    secret = accounts.keys.create(actor=bought.buyer, name="k", scopes=["usage:write"], now=NOW).secret

    answer = by_key(secret, raw)

    assert answer.status_code == 400 or all(one["result"] == "rejected" for one in answer.json()["results"])
    assert UsageKey.objects.count() == 0


def test_no_value_on_any_field_of_a_cloud_event_is_a_fault(bought: Bought) -> None:
    secret = accounts.keys.create(actor=bought.operator, name="k", scopes=["usage:write"], now=NOW).secret
    good = cloud_event(
        bought.allocations[0].id, bought.digest, "a", cached_tokens=0, max_tokens=9, finish_reason="stop"
    )
    statuses = set()

    for name in [*good, *good["data"]]:
        for value in VALUES:
            changed = {**good, name: "@"} if name in good else {**good, "data": {**good["data"], name: "@"}}
            raw = json.dumps(changed).replace('"@"', value).encode("utf-8", "surrogatepass")
            statuses.add(
                by_key(secret, raw, path=EVENTS, **{"content-type": "application/cloudevents+json"}).status_code
            )

    assert statuses <= {204, 400}
