"""Backfills: staff only, only the time window lifted, each record once, and whole after a kill at any part."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.kernel import ids
from accounts.models import AuditEvent
from metering_ingest import selectors, services, tasks
from metering_ingest.kernel import files
from metering_ingest.models import Backfill, BackfillPart
from metering_ingest.services import backfills
from metering_ingest.services.backfills import BackfillForbidden, BadBackfill, NeedsReason
from tests.billing.scene import signed_in
from tests.metering_ingest.faces import AT, by_key, here, record
from tests.metering_ingest.scene import NOW, Bought, build
from tests.metering_ingest.test_case_pages import staff_of
from tests.providers.test_api import Api

LATE = AT + timedelta(days=60)


@pytest.fixture
def bought(db: None, monkeypatch: pytest.MonkeyPatch) -> Bought:
    here(monkeypatch, at=LATE)
    return build()


def lines(bought: Bought, count: int, **change: Any) -> bytes:
    return b"\n".join(json.dumps(record(bought.allocations[0], f"b{n}", **change)).encode() for n in range(count))


def start(bought: Bought, raw: bytes, *, actor: Any = None, now: datetime = LATE) -> Any:
    return backfills.start(
        raw, organisation_id=bought.provider.organisation_id, name="old.ndjson", reason="disk found", now=now,
        actor=actor or bought.operator,
    )  # fmt: skip


def results(bought: Bought) -> list[dict[str, Any]]:
    job = Backfill.objects.get()
    text = b"".join(selectors.backfills.results(job.id, bought.operator))
    return [json.loads(line) for line in text.splitlines()]


class TestTakingIn:
    def test_lifts_the_time_window_and_nothing_else(self, bought: Bought) -> None:
        late = by_key_of(bought, {"records": [record(bought.allocations[0], "old")]})
        assert late["code"] == "too_late"
        bad = [
            record(bought.allocations[0], "outside", time="2026-11-24T12:00:00Z"),
            record(bought.allocations[0], "card", card="none"),
            record(bought.allocations[0], "counts", prompt_tokens=-1),
            record(bought.allocations[0], "seq", seq=1),
        ]
        start(bought, lines(bought, 2) + b"\n\n" + b"\r\n".join(json.dumps(one).encode() for one in bad))

        assert tasks.backfill() == 1

        said = [(one["line"], one["result"], one["code"]) for one in results(bought)]
        assert said == [
            (1, "accepted", None), (2, "accepted", None), (3, "quarantined", "outside_window"),
            (4, "quarantined", "unknown_card"), (5, "rejected", "out_of_range"), (6, "rejected", "not_signed"),
        ]  # fmt: skip
        assert selectors.totals(meter="agent").records == 2
        assert selectors.verify() == []

    def test_the_same_file_again_counts_nothing_twice(self, bought: Bought) -> None:
        first, same = start(bought, lines(bought, 3)), start(bought, lines(bought, 3))
        assert first.id == same.id
        backfills.advance(now=LATE)

        again = start(bought, lines(bought, 3))
        backfills.advance(now=LATE)

        assert again.id != first.id
        counts = [one.counts for one in selectors.backfills.backfills(bought.operator)]
        assert counts == [{"replayed": 3}, {"accepted": 3}]
        assert selectors.totals(meter="agent").records == 3

    def test_a_kill_leaves_whole_parts_and_the_next_worker_goes_on(
        self, bought: Bought, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backfills, "PART", 2)
        start(bought, lines(bought, 5))
        real, calls = backfills._line, [0]

        def dies(*given: Any) -> bytes:
            calls[0] += 1
            if calls[0] == 3:  # in the middle of the second part, after its records were taken in
                raise KeyboardInterrupt
            return real(*given)

        monkeypatch.setattr(backfills, "_line", dies)
        with pytest.raises(KeyboardInterrupt):
            backfills.advance(now=LATE)

        job = Backfill.objects.get()
        assert (job.state, job.records_done, selectors.totals(meter="agent").records) == ("running", 2, 2)
        backfills.advance(now=LATE)
        job.refresh_from_db()
        assert (job.state, job.records_done, job.counts) == ("done", 5, {"accepted": 5})
        assert [one["id"] for one in results(bought)] == [f"b{n}" for n in range(5)]
        assert selectors.verify() == []

    def test_is_in_the_audit_log(self, bought: Bought) -> None:
        start(bought, lines(bought, 1))
        backfills.advance(now=LATE)

        said = {one.action: one.detail for one in AuditEvent.objects.filter(action__startswith="metering.backfill")}
        assert said["metering.backfill_started"]["reason"] == "disk found"
        assert said["metering.backfill_done"]["accepted"] == 1

    def test_is_for_staff_only_and_says_why(self, bought: Bought) -> None:
        for actor in (bought.provider, bought.buyer):
            with pytest.raises(BackfillForbidden):
                start(bought, lines(bought, 1), actor=actor)
        with pytest.raises(NeedsReason):
            backfills.start(
                b"{}", organisation_id=bought.buyer.organisation_id, name="", reason=" ", actor=bought.operator, now=NOW
            )
        assert not BackfillPart.objects.exists()


class TestFiles:
    def test_lines_an_array_and_a_body_are_alike(self) -> None:
        rows: list[dict[str, Any]] = [{"id": "a"}, {"id": "b\n"}]
        forms = [
            b"\n".join(json.dumps(row).encode() for row in rows),
            json.dumps(rows, indent=2).encode(),
            json.dumps({"records": rows}, indent=1).encode(),
        ]
        for raw in forms:
            assert [json.loads(line) for line in files.split(raw)] == rows

    @pytest.mark.parametrize(
        ("raw", "line"),
        [(b"", 0), (b"\n \n", 0), (b"[]", 0), (b'{"a":1}\n{"b"', 2), (b"[1]", 1), (b"\xff", 1), (b'{"a":"' + b"x" * 16_384 + b'"}', 1)],
    )  # fmt: skip
    def test_others_are_refused_with_the_line(self, bought: Bought, raw: bytes, line: int) -> None:
        with pytest.raises(BadBackfill) as caught:
            start(bought, raw)
        assert caught.value.details["line"] == line

    def test_a_line_that_cannot_be_read_spoils_no_other(self) -> None:
        batch = files.read([b'{"id":"a","id":"b"}', b'{"id":"c","x":1}', b'{"id":"d"}'])
        assert [one.code for one in batch.records] == ["malformed_body", "unknown_field", "required"]  # type: ignore[union-attr]


class TestRest:
    def test_a_program_of_the_operator(self, bought: Bought) -> None:
        api = api_of(bought.operator)
        of = ids.encode("org", bought.provider.organisation_id)
        made = upload(api, lines(bought, 2), organisation=of, reason="x", name="f")

        assert (made.status_code, made.json()["state"], made.json()["records"]) == (202, "queued", 2)
        backfills.advance(now=LATE)
        found = api.get(f"/metering/backfills/{made.json()['id']}").json()
        assert (found["state"], found["counts"]) == ("done", {"accepted": 2})
        listed = api.get(f"/metering/backfills/{found['id']}/results")
        assert b"".join(listed.streaming_content).count(b'"accepted"') == 2
        assert [one["id"] for one in api.get("/metering/backfills").json()["data"]] == [found["id"]]

    def test_bad_input_has_codes(self, bought: Bought) -> None:
        api, of = api_of(bought.operator), ids.encode("org", bought.provider.organisation_id)

        assert upload(api, b"{}", organisation="x", reason="x").status_code == 400
        assert upload(api, b"{}", organisation=of).json()["code"] == "reason_missing"
        assert upload(api, b"nothing", organisation=of, reason="x").json()["code"] == "bad_file"
        unknown = ids.encode("org", ids.new())
        assert upload(api, b"{}", organisation=unknown, reason="x").json()["code"] == "unknown_organisation"
        assert api.get("/metering/backfills/x").status_code == 404

    @pytest.mark.parametrize("who", ["provider", "buyer", "stranger"])
    def test_others_may_not_and_see_none(self, bought: Bought, who: str) -> None:
        made = start(bought, lines(bought, 1))
        api, of = api_of(getattr(bought, who)), ids.encode("org", bought.provider.organisation_id)

        assert upload(api, lines(bought, 1), organisation=of, reason="x").status_code == 403
        assert api.get("/metering/backfills").json()["data"] == []
        for path in ("", "/results"):
            assert api.get(f"/metering/backfills/{ids.encode('bfl', made.id)}{path}").status_code == 404


class TestPages:
    def test_from_the_file_to_the_results(self, bought: Bought) -> None:
        client = staff_of(bought)
        assert "No backfill yet" in client.get("/metering/backfills/").content.decode()
        given = {"organisation": ids.encode("org", bought.provider.organisation_id), "reason": "disk <b>"}

        made = client.post("/metering/backfills/", {**given, "file": SimpleUploadedFile("o.ndjson", lines(bought, 2))})
        waiting = client.get(made["location"]).content.decode()
        backfills.advance(now=LATE)
        done = client.get(made["location"]).content.decode()

        assert "0 of 2" in waiting and "every 3s" in waiting
        assert "2 of 2" in done and "every 3s" not in done and "disk &lt;b&gt;" in done
        assert b"".join(client.get(made["location"] + "results/").streaming_content).count(b"\n") == 2
        assert "<html" not in client.get(made["location"], headers={"hx-request": "true"}).content.decode()
        for wrong in ({"organisation": "org_x"}, {"file": SimpleUploadedFile("o", b"x")}, {"reason": ""}):
            full = {**given, "file": SimpleUploadedFile("o.ndjson", lines(bought, 2)), **wrong}
            assert client.post("/metering/backfills/", full).status_code == 422

    def test_are_for_staff(self, bought: Bought) -> None:
        made = ids.encode("bfl", start(bought, lines(bought, 1)).id)
        owner = signed_in(bought.provider, "owner")
        for path in ("", f"{made}/", f"{made}/results/"):
            assert owner.get(f"/metering/backfills/{path}").status_code == 403
            assert Client().get(f"/metering/backfills/{path}").status_code == 302
        assert owner.post("/metering/backfills/").status_code == 403
        assert staff_of(bought).get(f"/metering/backfills/{ids.encode('bfl', ids.new())}/").status_code == 404


def api_of(actor: Any) -> Api:
    return Api(actor, "usage:read", "usage:write", now=NOW)


def upload(api: Api, raw: bytes, **query: str) -> Any:
    from urllib.parse import urlencode

    path = f"/api/v1/metering/backfills?{urlencode(query)}"
    return api._client.post(path, raw, content_type="application/x-ndjson")


def by_key_of(bought: Bought, body: Any) -> dict[str, Any]:
    from accounts.services import keys

    secret = keys.create(actor=bought.provider, name="k", scopes=["usage:write"], now=NOW).secret
    return by_key(secret, body).json()["results"][0]


def test_release_and_backfill_agree(bought: Bought) -> None:
    """What the window kept out, a backfill of the same record does not count beside a release."""
    by_key_of(bought, json.loads(b'{"records":[' + lines(bought, 1) + b"]}"))
    start(bought, lines(bought, 1))
    backfills.advance(now=LATE)

    assert [one["result"] for one in results(bought)] == ["replayed"]
    (waiting,) = selectors.quarantined(bought.provider)
    services.release(waiting.key, reason="x", actor=bought.operator, now=LATE)
    assert selectors.totals(meter="agent").records == 1
