"""Each event counts once, whatever is sent twice, late, in another order or by another."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering_ingest import selectors, services
from metering_ingest.kernel.events import BATCH, STRUCTURED, MalformedEvent
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

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(stream=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=25), cut=st.integers(1, 8))
    def test_whatever_the_order_the_first_of_each_name_counts(
        self, bought: Bought, stream: list[tuple[int, int]], cut: int
    ) -> None:
        """Names repeat with the same and with other content, inside and across batches."""
        events = [
            event(bought.allocations[name % 2], f"h{name}", prompt=10 + name + 100 * other) for name, other in stream
        ]
        firsts: dict[int, int] = {}
        for name, other in stream:
            firsts.setdefault(name, other)
        with transaction.atomic():
            results = [
                services.ingest_records(events[i : i + cut], sender=bought.operator, now=SENT)
                for i in range(0, len(events), cut)
            ]

            differing = {(name, other) for name, other in stream if other != firsts[name]}
            assert sum(one.accepted for one in results) == selectors.totals().records == len(firsts)
            assert selectors.totals().prompt_tokens == sum(10 + name + 100 * other for name, other in firsts.items())
            assert sum(len(one.conflicts) for one in results) == sum(pair in differing for pair in stream)
            assert sum(one.accepted + one.replayed + len(one.conflicts) for one in results) == len(stream)
            assert Conflict.objects.count() == len(differing)
            assert selectors.verify() == []
            transaction.set_rollback(True)

    def test_what_was_acknowledged_before_midnight_counts_once_after_it(self, bought: Bought) -> None:
        one = event(bought.allocations[0], "r1")
        services.ingest_records([one], sender=bought.operator, now=SENT)

        result = services.ingest_records([one], sender=bought.operator, now=SENT + timedelta(days=1))

        assert (result.accepted, result.replayed, selectors.totals().records) == (0, 1, 1)

    def test_two_senders_may_use_the_same_name(self, bought: Bought) -> None:
        services.ingest_records([event(bought.allocations[0], "r1", prompt=10)], sender=bought.operator, now=SENT)
        result = services.ingest_records([event(bought.allocations[0], "r1", prompt=11)], sender=bought.buyer, now=SENT)

        assert (result.accepted, result.conflicts) == (1, ())

    def test_an_offset_that_the_database_does_not_know_is_stored(self, bought: Bought) -> None:
        body = cloud_event(bought.allocations[0].id, bought.digest, "a", started_at="2026-11-25T15:00:30+23:00")

        services.ingest(json.dumps(body).encode(), content_type=STRUCTURED, sender=bought.operator, now=SENT)

        assert UsageRecord.objects.get().started_at == HOUR + timedelta(seconds=30)

    def test_a_quarantined_event_sent_again_is_known_and_still_not_counted(self, bought: Bought) -> None:
        wrong = event(bought.allocations[0], "r1", card="00" * 32)
        services.ingest_records([wrong], sender=bought.operator, now=SENT)

        again = services.ingest_records([wrong], sender=bought.operator, now=SENT)

        assert (again.replayed, again.quarantined) == (1, ())
        assert Quarantined.objects.count() == 1
        assert [one.reason for one in selectors.quarantined(bought.operator)] == ["unknown_card"]
        assert selectors.quarantined(bought.buyer) == []

    def test_tokens_beyond_the_requests_limit_are_stored_but_not_billed(self, bought: Bought) -> None:
        services.ingest_records(
            [event(bought.allocations[0], "r1", prompt=10, generated=90, max_tokens=64)],
            sender=bought.operator,
            now=SENT,
        )

        record = UsageRecord.objects.get()
        assert (record.completion_tokens, record.billable_tokens) == (90, 64)
        assert Bucket.objects.get().micro_st == usage.micro_st(card("llama-3-8b"), n=10, c=0, g=64)

    def test_other_content_under_the_same_id_is_a_conflict_and_changes_nothing(self, bought: Bought) -> None:
        first = event(bought.allocations[0], "r1", prompt=10)
        other = event(bought.allocations[0], "r1", prompt=11)
        services.ingest_records([first], sender=bought.operator, now=SENT)

        result = services.ingest_records([other, other], sender=bought.operator, now=SENT)

        assert (result.accepted, result.replayed, result.conflicts) == (0, 0, ("r1", "r1"))
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

        with pytest.raises(MalformedEvent, match=r"must lie in") as refused:
            services.ingest(json.dumps(body).encode(), content_type=BATCH, sender=bought.operator, now=SENT)

        assert (refused.value.index, refused.value.field) == (1, "data.prompt_tokens")
        assert UsageRecord.objects.count() == 0


class TestProof:
    def test_names_a_bucket_that_differs_from_its_records(self, bought: Bought) -> None:
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.operator, now=SENT)
        bucket = Bucket.objects.get()
        Bucket.objects.update(micro_st=bucket.micro_st + 1)

        (breach,) = selectors.verify()

        assert (breach.rule, breach.subject) == ("roll-up = raw", f"bucket {bucket.id}")

    @pytest.mark.parametrize(
        ("table", "statement", "rule"),
        [
            ("usage_record", "DELETE FROM metering_usage_record", "one key, one record"),
            ("usage_record", "UPDATE metering_usage_record SET prompt_tokens = 7", "roll-up = raw"),
            ("usage_record", "UPDATE metering_usage_record SET billable_tokens = 0", "roll-up = raw"),
            ("usage_record", "UPDATE metering_usage_record SET key = gen_random_uuid()", "one key, one record"),
            ("quarantine", "DELETE FROM metering_quarantine", "one key, one record"),
            ("settled_bucket", "UPDATE metering_settled_bucket SET sequence = 2", "settled sequence contiguous"),
            ("settled_bucket", "UPDATE metering_settled_bucket SET micro_st = micro_st - 1", "settled <= bucket"),
            ("settled_bucket", "UPDATE metering_settled_bucket SET version = 9", "settled <= bucket"),
        ],
    )
    def test_names_whatever_was_tampered_with(self, bought: Bought, table: str, statement: str, rule: str) -> None:
        events = [event(bought.allocations[0], "r1"), event(bought.allocations[0], "r2", card="00" * 32)]
        services.ingest_records(events, sender=bought.operator, now=SENT)
        services.settle(now=SENT, quiet_seconds=0)
        assert selectors.verify() == []
        connection.check_constraints()

        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE metering_{table} DISABLE TRIGGER USER")
            cursor.execute(statement)

        assert rule in {breach.rule for breach in selectors.verify()}

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("metering_usage_record", "tenant"),
            ("metering_usage_key", "content"),
            ("metering_settled_bucket", "version"),
            ("metering_conflict", "content"),
            ("metering_quarantine", "reason"),
        ],
    )
    @pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
    def test_the_database_refuses_to_change_or_lose_a_row(
        self, bought: Bought, table: str, column: str, statement: str
    ) -> None:
        events = [event(bought.allocations[0], "r1"), event(bought.allocations[0], "r1", prompt=9)]
        services.ingest_records(events, sender=bought.operator, now=SENT)
        services.ingest_records([event(bought.allocations[0], "r2")], sender=bought.stranger, now=SENT)
        services.settle(now=SENT, quiet_seconds=0)
        connection.check_constraints()

        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            connection.cursor().execute(statement.format(table, column))

    @pytest.mark.parametrize("statement", ["TRUNCATE {}", "DELETE FROM {}", "UPDATE {} SET key = key"])
    def test_no_partition_is_emptied_past_its_parent(self, bought: Bought, statement: str) -> None:
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.operator, now=SENT)
        connection.check_constraints()
        with connection.cursor() as cursor:
            cursor.execute("SELECT tableoid::regclass::text FROM metering_usage_record UNION ALL "
                           "SELECT tableoid::regclass::text FROM metering_usage_key")  # fmt: skip
            partitions = [row[0] for row in cursor]

        assert len(partitions) == 2
        for partition in partitions:
            with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
                connection.cursor().execute(statement.format(partition))


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

    def test_a_bucket_settled_at_its_version_is_not_settled_again(self, bought: Bought) -> None:
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.operator, now=SENT)

        assert [services.settle(now=SENT, quiet_seconds=0) for _ in range(3)] == [1, 0, 0]
        assert selectors.last_settled_sequence() == 1

    def test_a_limit_leaves_the_rest_for_the_next_time(self, bought: Bought) -> None:
        services.ingest_records([event(a, f"r{a.id}") for a in bought.allocations], sender=bought.operator, now=SENT)

        assert [services.settle(now=SENT, quiet_seconds=0, limit=1) for _ in range(3)] == [1, 1, 0]
        assert selectors.last_settled_sequence() == 2

    def test_what_witnesses_counted_is_never_given_to_billing(self, bought: Bought) -> None:
        for sender in (bought.provider, bought.buyer):
            services.ingest_records([event(bought.allocations[0], "r1")], sender=sender, now=SENT)

        assert services.settle(now=SENT, quiet_seconds=0) == 2
        assert selectors.settled_after(0) == selectors.latest_settled([bought.allocations[0].id]) == []


class TestPartitions:
    def test_of_the_coming_week_are_made_once(self, bought: Bought) -> None:
        later = SENT + timedelta(days=365)

        assert [services.make_partitions(now=later) for _ in range(2)] == [8, 0]

    def test_are_made_by_the_batch_that_needs_one(self, bought: Bought) -> None:
        sent = SENT + timedelta(days=20)
        services.ingest_records([event(bought.allocations[0], "r1")], sender=bought.operator, now=sent)

        assert UsageRecord.objects.get().arrived_on == sent.date()
