"""Pages and REST of reconciliation and disputes: each party its own, a stranger nothing."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import services as accounts
from accounts.kernel import ids
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from metering_ingest.models import UsageRecord
from metering_ingest.reconciliation_models import Dispute
from metering_ingest.services.reconcile import reconcile_due
from tests.billing.scene import signed_in as session
from tests.metering_ingest.meters import OVER, SENT, send
from tests.metering_ingest.scene import NOW, Bought, build

READ, WRITE = ("usage:read",), ("usage:read", "disputes:write")


@pytest.fixture
def bought(db: None, monkeypatch: pytest.MonkeyPatch) -> Bought:
    scene = build()
    at(monkeypatch, OVER)
    return scene


def signed_in(actor: Actor) -> Client:
    """An owner of the organisation in a browser."""
    return session(actor, "owner")


def at(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: now)


def api(actor: Actor, *scopes: str) -> Client:
    secret = accounts.keys.create(actor=actor, name="k", scopes=list(scopes), now=NOW).secret
    return Client(headers={"authorization": f"Bearer {secret}"})


def post(client: Client, path: str, body: Any = None, key: str = "k") -> Any:
    return client.post(f"/api/v1/{path}", body or {}, content_type="application/json", headers={"idempotency-key": key})


@pytest.fixture
def dispute(bought: Bought) -> Dispute:
    send(bought, "gateway", range(3))
    send(bought, "agent", range(2))
    reconcile_due(now=OVER, quiet_seconds=0)
    return Dispute.objects.get()


class TestReconciliation:
    def test_lists_minutes_with_three_counts(self, bought: Bought, dispute: Dispute) -> None:
        body = api(bought.provider, *READ).get("/api/v1/reconciliation", {"state": "hard"}).json()

        (row,) = body["data"]
        assert (row["causes"], row["dispute"]) == (["missing_at_agent"], ids.encode("dsp", dispute.id))
        assert row["gateway"]["prompt_tokens"] == "20000"
        assert row["agent"]["records"] == 0
        assert row["over_micro_st"] == row["gateway"]["micro_st"]

    def test_shows_a_stranger_nothing_and_refuses_bad_filters(self, bought: Bought, dispute: Dispute) -> None:
        client = api(bought.stranger, *READ)

        assert client.get("/api/v1/reconciliation").json() == {"data": [], "next": None}
        for query in ({"state": "x"}, {"allocation": "x"}, {"cursor": "x"}, {"cursor": "1.x"}):
            assert client.get("/api/v1/reconciliation", query).status_code == 400
        assert api(bought.buyer, "market:read").get("/api/v1/reconciliation").status_code == 403

    @pytest.mark.parametrize("who", ["buyer", "provider"])
    def test_pages_show_own_allocations(self, bought: Bought, dispute: Dispute, who: str) -> None:
        client = signed_in(getattr(bought, who))
        address = {"buyer": "/usage/metering/", "provider": "/provider/metering/"}[who]
        allocation = ids.encode("alc", dispute.allocation_id)

        assert allocation in client.get(address).content.decode()
        assert "missing" not in client.get(f"/metering/{allocation}/").content.decode()
        assert client.get(f"/metering/{allocation}/").status_code == 200
        other = signed_in(bought.stranger)
        assert other.get(f"/metering/{allocation}/").status_code == 404
        assert allocation not in other.get("/usage/metering/").content.decode()
        assert client.get("/metering/x/").status_code == 404


class TestDisputes:
    def test_are_opened_read_and_answered_over_rest(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(2))
        send(bought, "buyer", [1], prompt=1)
        buyer, provider = api(bought.buyer, *WRITE), api(bought.provider, *WRITE)
        allocation = ids.encode("alc", bought.allocations[0].id)
        order = {"allocation": allocation, "statement": "Half."}

        made = post(buyer, "disputes", order)
        again = post(buyer, "disputes", order)
        assert (made.status_code, made.json()["id"]) == (201, again.json()["id"])
        assert again["Idempotency-Replayed"] == "true"
        public_id = made.json()["id"]
        assert [made.json()[name] for name in ("side", "opened_by", "causes", "state")] == [
            "buyer", "buyer", ["prompt_differs"], "open",
        ]  # fmt: skip
        answer = post(provider, f"disputes/{public_id}/reply", {"note": "No."})
        assert (answer.json()["side"], answer.json()["state"]) == ("seller", "proposed")
        for client in (buyer, provider):
            answer = post(client, f"disputes/{public_id}/accept")
        assert (answer.json()["state"], answer.json()["credited_micro_st"]) == ("resolved", "0")
        assert [one["id"] for one in buyer.get("/api/v1/disputes", {"state": "resolved"}).json()["data"]] == [public_id]
        assert buyer.get("/api/v1/disputes", {"allocation": allocation, "cursor": public_id}).json()["data"] == []

    def test_of_others_are_not_found(self, bought: Bought, dispute: Dispute) -> None:
        stranger, public_id = api(bought.stranger, *WRITE), ids.encode("dsp", dispute.id)
        page = signed_in(bought.stranger)

        assert stranger.get("/api/v1/disputes").json()["data"] == []
        for path in ("", "/evidence"):
            assert stranger.get(f"/api/v1/disputes/{public_id}{path}").status_code == 404
        for action, body in (
            ("reply", {"note": "x"}), ("accept", {}), ("escalate", {"note": "x"}),
            ("decide", {"credited_micro_st": "0", "reason": "x"}),
        ):  # fmt: skip
            answer = post(stranger, f"disputes/{public_id}/{action}", body, key=action)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert post(stranger, f"disputes/nothing/{action}", body, key=action + "2").status_code == 404
            assert page.post(f"/disputes/{public_id}/{action}/", {"note": "x", "reason-note": "x"}).status_code in {
                404,
                422,
            }
        assert page.get(f"/disputes/{public_id}/").status_code == 404
        assert page.get(f"/disputes/{public_id}/evidence/").status_code == 404
        answer = post(stranger, "disputes", {"allocation": ids.encode("alc", dispute.allocation_id), "statement": "x"})
        assert answer.status_code == 404
        dispute.refresh_from_db()
        assert dispute.state == "open"

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"statement": "x"}, 400, "invalid"),
            ({"allocation": "nothing", "statement": "x"}, 404, "not_found"),
            ({"allocation": "OWN", "statement": "x", "minutes": ["2026-11-24T16:00:00Z"]}, 409, "nothing_to_contest"),
            ({"allocation": "OWN", "statement": "x", "other": 1}, 400, "invalid"),
        ],
    )
    def test_refusals_have_codes(
        self, bought: Bought, dispute: Dispute, body: dict[str, Any], status: int, code: str
    ) -> None:
        if body.get("allocation") == "OWN":
            body = {**body, "allocation": ids.encode("alc", dispute.allocation_id)}
            body.setdefault("minutes", ["2026-11-24T16:02:00Z"])
        if code == "nothing_to_contest":
            body["minutes"] = ["2026-11-24T16:02:00Z"]

        answer = post(api(bought.buyer, *WRITE), "disputes", body)
        assert answer.status_code == status, answer.json()
        if status != 400:
            assert answer.json()["code"] == code

    def test_need_the_scope_and_a_key(self, bought: Bought, dispute: Dispute) -> None:
        public_id = ids.encode("dsp", dispute.id)

        assert post(api(bought.buyer, *READ), f"disputes/{public_id}/accept").status_code == 403
        assert post(Client(), "disputes").status_code == 401
        body = {"allocation": ids.encode("alc", dispute.allocation_id), "statement": "x"}
        answer = api(bought.buyer, *WRITE).post("/api/v1/disputes", body, content_type="application/json")
        assert answer.json()["code"] == "idempotency_key_missing"

    def test_are_decided_by_the_operator_alone(self, bought: Bought, dispute: Dispute) -> None:
        public_id, freeze = ids.encode("dsp", dispute.id), str(dispute.freeze_micro_st)
        body = {"credited_micro_st": freeze, "reason": "Logs."}

        refused = post(api(bought.buyer, *WRITE), f"disputes/{public_id}/decide", body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        over = post(
            api(bought.operator, *WRITE), f"disputes/{public_id}/decide", {**body, "credited_micro_st": freeze + "0"}
        )
        assert (over.status_code, over.json()["code"]) == (422, "bad_amount")
        done = post(api(bought.operator, *WRITE), f"disputes/{public_id}/decide", body)
        assert (done.json()["state"], done.json()["credited_micro_st"]) == ("resolved", freeze)

    def test_evidence_is_downloaded_with_its_hash(self, bought: Bought, dispute: Dispute) -> None:
        public_id = ids.encode("dsp", dispute.id)

        for answer in (
            api(bought.buyer, *READ).get(f"/api/v1/disputes/{public_id}/evidence"),
            signed_in(bought.provider).get(f"/disputes/{public_id}/evidence/"),
        ):
            assert hashlib.sha256(answer.content).hexdigest() == answer["X-Content-SHA256"]
            assert answer["Content-Disposition"].startswith("attachment")

    def test_pages_lead_from_list_to_outcome(self, bought: Bought, dispute: Dispute) -> None:
        public_id = ids.encode("dsp", dispute.id)
        address = f"/disputes/{public_id}/"
        buyer, provider, operator = (signed_in(one) for one in (bought.buyer, bought.provider, bought.operator))

        assert public_id in buyer.get("/disputes/").content.decode()
        assert public_id not in buyer.get("/disputes/", {"state": "resolved"}).content.decode()
        assert buyer.post(f"{address}reply/", {"note": ""}).status_code == 422
        for client in (buyer, provider):
            assert client.post(f"{address}reply/", {"note": "<b>I say</b>"}).status_code == 302
        page = buyer.get(address).content.decode()
        assert f"{address}accept/" in page and "&lt;b&gt;I say" in page and f"{address}decide/" not in page
        assert buyer.post(f"{address}accept/").status_code == 302
        assert provider.post(f"{address}escalate/", {"reason-note": "No."}).status_code == 302
        assert f"{address}decide/" in operator.get(address).content.decode()
        wrong = operator.post(f"{address}decide/", {"credited": "1e9", "reason": "x"})
        assert wrong.status_code == 422
        assert operator.post(f"{address}decide/", {"credited": "0", "reason": "So it is."}).status_code == 302
        dispute.refresh_from_db()
        assert dispute.state == "resolved"
        assert buyer.post(f"{address}accept/").status_code == 302  # accepted before: nothing changes

    def test_are_opened_from_the_allocations_page(self, bought: Bought) -> None:
        for meter in ("gateway", "agent"):
            send(bought, meter, range(2))
        send(bought, "buyer", [1], prompt=1)
        reconcile_due(now=SENT, quiet_seconds=0)
        client, address = signed_in(bought.buyer), f"/metering/{ids.encode('alc', bought.allocations[0].id)}/"

        assert f"{address}contest/" in client.get(address).content.decode()
        assert client.post(f"{address}contest/", {"note": ""}).status_code == 422
        assert client.post(f"{address}contest/", {"note": "Half."}).status_code == 302
        assert Dispute.objects.get().opened_by == "buyer"
        assert client.post(f"{address}contest/", {"note": "Half."}).status_code == 422


CSV = "request_id,prompt,cached,completion,time\n"


class TestReceipts:
    def upload(self, actor: Actor, text: str, **query: str) -> Any:
        client = api(actor, "usage:write")
        return client.generic(
            "POST", "/api/v1/receipts", text.encode(), content_type="text/csv", query_params=query or None
        )

    def test_find_their_allocation_and_count_once(self, bought: Bought) -> None:
        send(bought, "gateway", range(2))
        text = CSV + "".join(f"r0-{n},20000,0,2000,2026-11-24T16:0{n}:05Z\n" for n in range(3))

        answers = [self.upload(bought.buyer, text).json() for _ in range(2)]
        assert [(a["accepted"], a["replayed"], a["unknown"]) for a in answers] == [
            (2, 0, ["r0-2"]), (0, 2, ["r0-2"]),
        ]  # fmt: skip
        assert UsageRecord.objects.filter(meter="buyer", source="receipts").count() == 2
        named = self.upload(bought.buyer, text, allocation=ids.encode("alc", bought.allocations[0].id)).json()
        assert (named["accepted"], named["unknown"]) == (1, [])
        other = self.upload(bought.buyer, text.replace(",2000,", ",1999,")).json()
        assert other["conflicts"] == ["r0-0", "r0-1", "r0-2"][: len(other["conflicts"])] and other["accepted"] == 0

    def test_of_foreign_requests_are_unknown(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        text = CSV + "r0-0,20000,0,2000,2026-11-24T16:00:05Z\n"
        foreign = {"allocation": ids.encode("alc", bought.allocations[0].id)}

        assert self.upload(bought.stranger, text, **foreign).json()["unknown"] == ["r0-0"]
        assert self.upload(bought.operator, text).status_code == 403

    @pytest.mark.parametrize(
        ("text", "line"),
        [("", 1), ("a,b\n", 1), (CSV + "r,1,0\n", 2), (CSV + "r,1_0,0,1,2026-11-24T16:00:05Z\n", 2),
         (CSV + "r,1,2,1,2026-11-24T16:00:05Z\n", 2), (CSV + "r,1,0,1,2026-11-24T16:00:05\n", 2),
         (CSV + "r,-1,0,1,2026-11-24T16:00:05Z\n", 2), (CSV + "r,1,0,1e3,2026-11-24T16:00:05Z\n", 2),
         (CSV + "r\x00,1,0,1,2026-11-24T16:00:05Z\n", 1), (CSV + "r,1,0,1,2026-13-24T16:00:05Z\n", 2),
         (CSV + ",1,0,1,2026-11-24T16:00:05Z\n", 2), (CSV + 'r,"1,0,1\n', 1),
         (CSV + "r,١,0,1,2026-11-24T16:00:05Z\n", 2)],
    )  # fmt: skip
    def test_are_read_strictly(self, bought: Bought, text: str, line: int) -> None:
        answer = self.upload(bought.buyer, text)

        assert (answer.status_code, answer.json()["code"], answer.json()["line"]) == (400, "bad_receipts", line)
        assert UsageRecord.objects.count() == 0

    def test_are_uploaded_by_page(self, bought: Bought) -> None:
        send(bought, "gateway", [0])
        client = signed_in(bought.buyer)
        good = SimpleUploadedFile("r.csv", (CSV + "r0-0,20000,0,2000,2026-11-24T16:00:05Z\n").encode())

        assert client.post("/metering/receipts/", {"file": good}).status_code == 302
        assert UsageRecord.objects.filter(meter="buyer").count() == 1
        assert client.post("/metering/receipts/", {"file": SimpleUploadedFile("r.csv", b"x")}).status_code == 422
        assert client.get("/metering/receipts/").status_code == 200
