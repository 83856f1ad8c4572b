"""Each event counts once, whatever is sent twice, late, in another order or by another."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from metering_ingest import selectors, services
from metering_ingest.kernel.events import BATCH
from metering_ingest.models import Bucket, Conflict, Quarantined, SettledBucket, UsageRecord
from tests.metering_ingest.scene import HOUR, Bought, build, cloud_event, event
from token_standard import usage
from token_standard.catalogue import card

SENT = HOUR + timedelta(minutes=2)


@pytest.fixture
def bought(db: None) -> Bought:
    return build()


class TestCounting:
    def test_a_batch_is_stored_and_summed_by_the_lines_card(self, bought: Bought) -> None:
        events = [event(bought.allocations[0], f"r{n}", prompt=n, generated=n) for n in range(1, 8)]

        result = services.ingest_records(events, sender=bought.operator, now=SENT)

        expected = sum(usage.micro_st(card("llama-3-8b"), n=n, c=0, g=n) for n in range(1, 8))
        bucket = Bucket.objects.get()
        assert (result.accepted, bucket.records, bucket.micro_st) == (7, 7, expected)
        assert selectors.verify() == []

    def test_duplicates_and_any_order_give_the_same_totals(self, bought: Bought) -> None:
        events = [event(bought.allocations[n % 2], f"r{n}", prompt=n + 1) for n in range(40)]
        dice = random.Random(7)
        stream = events + dice.choices(events, k=30)
        dice.shuffle(stream)

        results = [
            services.ingest_records(stream[i : i + 9], sender=bought.operator, now=SENT) for i in range(0, 70, 9)
        ]

        assert sum(result.accepted for result in results) == 40
        assert sum(result.replayed for result in results) == 30
        assert selectors.totals().prompt_tokens == sum(range(1, 41))
        assert selectors.verify() == []

    def test_other_content_under_the_same_id_is_a_conflict_and_changes_nothing(self, bought: Bought) -> None:
        first = event(bought.allocations[0], "r1", prompt=10)
        other = event(bought.allocations[0], "r1", prompt=11)
        services.ingest_records([first], sender=bought.operator, now=SENT)

        result = services.ingest_records([other, other], sender=bought.operator, now=SENT)

        assert (result.accepted, result.conflicts) == (0, ("r1", "r1"))
        assert selectors.totals().prompt_tokens == 10
        assert Conflict.objects.count() == 1

    def test_the_sender_decides_the_meter(self, bought: Bought) -> None:
        for sender in (bought.operator, bought.provider, bought.buyer):
            services.ingest_records([event(bought.allocations[0], "r1")], sender=sender, now=SENT)

        assert set(Bucket.objects.values_list("meter", flat=True)) == {"gateway", "agent", "buyer"}

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"card": "00" * 32}, "unknown_card"),
            ({"at": HOUR - timedelta(hours=2)}, "outside_window"),
            ({"at": HOUR + timedelta(hours=2)}, "future_time"),
            ({"at": HOUR - timedelta(days=40)}, "too_late"),
        ],
    )
    def test_what_cannot_count_is_kept_with_its_reason(self, bought: Bought, change: dict, reason: str) -> None:
        services.ingest_records([event(bought.allocations[0], "r1", **change)], sender=bought.operator, now=SENT)

        assert Quarantined.objects.get().reason == reason
        assert UsageRecord.objects.count() == 0
        assert selectors.verify() == []

    def test_to_a_stranger_the_allocation_does_not_exist(self, bought: Bought) -> None:
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.stranger, now=SENT)

        assert Quarantined.objects.get().reason == "unknown_allocation"

    def test_a_malformed_event_leaves_nothing_of_its_batch(self, bought: Bought) -> None:
        one = bought.allocations[0]
        body = [cloud_event(one.id, bought.digest, "a"), cloud_event(one.id, bought.digest, "b", prompt_tokens=-1)]

        with pytest.raises(Exception, match=r"must lie in"):
            services.ingest(json.dumps(body).encode(), content_type=BATCH, sender=bought.operator, now=SENT)

        assert UsageRecord.objects.count() == 0


class TestProof:
    def test_names_a_bucket_that_differs_from_its_records(self, bought: Bought) -> None:
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.operator, now=SENT)
        bucket = Bucket.objects.get()
        Bucket.objects.update(micro_st=bucket.micro_st + 1)

        (breach,) = selectors.verify()

        assert (breach.rule, breach.subject) == ("roll-up = raw", f"bucket {bucket.id}")

    @pytest.mark.parametrize("table", ["metering_usage_record", "metering_usage_key", "metering_settled_bucket"])
    @pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {}"])
    def test_the_database_refuses_to_lose_a_row(self, bought: Bought, table: str, statement: str) -> None:
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.operator, now=SENT)
        services.settle(now=SENT, quiet_seconds=0)
        connection.check_constraints()

        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            connection.cursor().execute(statement.format(table))


class TestSettling:
    def test_waits_until_the_bucket_is_quiet_but_not_for_ever(self, bought: Bought) -> None:
        def send(name: str, at: timedelta) -> None:
            services.ingest_records([event(bought.allocations[0], name)], sender=bought.operator, now=SENT + at)

        send("r1", timedelta(0))
        assert services.settle(now=SENT + timedelta(seconds=9), quiet_seconds=10) == 0
        for second in range(5, 50, 5):
            send(f"s{second}", timedelta(seconds=second))
        assert services.settle(now=SENT + timedelta(seconds=49), quiet_seconds=10) == 0
        assert services.settle(now=SENT + timedelta(seconds=50), quiet_seconds=10) == 1

    def test_a_later_version_replaces_and_the_sequence_has_no_gap(self, bought: Bought) -> None:
        for n in range(3):
            services.ingest_records(
                [event(one, f"r{n}{one.id}") for one in bought.allocations], sender=bought.operator, now=SENT
            )
            services.settle(now=SENT, quiet_seconds=0)

        assert sorted(SettledBucket.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4, 5, 6]
        newest = selectors.latest_settled([one.id for one in bought.allocations])
        assert [one.records for one in newest] == [3, 3]
        assert [one.sequence for one in selectors.settled_after(4)] == [5, 6]
