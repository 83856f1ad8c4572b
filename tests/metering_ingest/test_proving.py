"""The nightly proof, the file of counts, and the calibration in a dispute's evidence."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.kernel import ids
from accounts.models import User
from accounts.selectors import clock
from metering_ingest.models import Proof
from metering_ingest.reconciliation_models import Dispute, DisputeEvidence
from metering_ingest.services import proving
from metering_ingest.services.reconcile import reconcile_due
from metering_ingest.tasks import prove
from tests.billing.scene import signed_in, tamper
from tests.metering_ingest.meters import OVER, send
from tests.metering_ingest.scene import NOW, Bought, build
from tests.providers.test_ratings import Api, body


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


class TestProof:
    def test_of_good_books_is_kept_without_a_breach(self, bought: Bought) -> None:
        send(bought, "gateway", range(3))
        assert prove() == 0

        row = Proof.objects.get()
        assert (row.breaches, row.first) == (0, [])

    def test_names_a_roll_up_that_is_not_its_records_and_staff_see_it(self, bought: Bought) -> None:
        send(bought, "gateway", range(3))
        tamper("UPDATE metering_bucket SET micro_st = micro_st + 1", "metering_bucket")
        assert proving.prove(now=NOW) >= 1

        assert Proof.objects.get().first[0]["rule"] == "roll-up = raw"
        staff = signed_in(bought.operator, "owner")
        User.objects.filter(memberships__organisation_id=bought.operator.organisation_id).update(is_staff=True)
        assert "roll-up = raw" in staff.get("/metering/quarantine/").content.decode()
        assert "do not hold" not in signed_in(bought.buyer, "owner").get("/metering/quarantine/").content.decode()

    @pytest.mark.parametrize("change", ["UPDATE {} SET breaches = 0", "DELETE FROM {}", "TRUNCATE {}"])
    def test_is_never_changed(self, bought: Bought, change: str) -> None:
        proving.prove(now=NOW)
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change.format("metering_proof"))


class TestFile:
    def test_has_the_minutes_of_ones_own_allocations(self, bought: Bought, monkeypatch: pytest.MonkeyPatch) -> None:
        send(bought, "gateway", range(3))
        send(bought, "agent", range(3))
        reconcile_due(now=OVER, quiet_seconds=0)
        monkeypatch.setattr(clock, "now", lambda: OVER)

        for actor, role in ((bought.buyer, "trader"), (bought.provider, "provider")):
            answer = signed_in(actor, role).get("/metering/counts.csv")
            rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
            assert [row["minute"] for row in rows] == [f"2026-11-24T16:{n:02}:00Z" for n in (2, 1, 0)]
            assert {
                (row["state"], row["gateway_prompt"], row["agent_prompt"], row["buyer_prompt"]) for row in rows
            } == {("matched", "20000", "20000", "0")}
        answer = signed_in(bought.stranger).get("/metering/counts.csv")
        assert len(answer.content.decode().strip().splitlines()) == 1


class TestEvidence:
    def test_says_that_a_deployment_was_never_rated(self, bought: Bought) -> None:
        send(bought, "gateway", range(3))
        send(bought, "agent", range(2))
        reconcile_due(now=OVER, quiet_seconds=0)

        kept = DisputeEvidence.objects.get(dispute=Dispute.objects.get())
        assert json.loads(bytes(kept.content))["rating"] is None

    def test_has_the_rating_that_stands(self, bought: Bought) -> None:
        deployment = ids.encode("dep", bought.allocations[0].deployment_id)
        api = Api(bought.provider, "offers:read", "offers:write", now=NOW)
        assert api.post(f"/provider/deployments/{deployment}/ratings", body(NOW)).status_code == 201
        send(bought, "gateway", range(3))
        send(bought, "agent", range(2))
        reconcile_due(now=OVER, quiet_seconds=0)

        rating = json.loads(bytes(DisputeEvidence.objects.get().content))["rating"]
        assert rating["state"] == "rated"
        assert rating["blended"]["low"] <= rating["blended"]["point"]
