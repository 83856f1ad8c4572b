"""Usage records, each counted once, and what is summed from them.

`UsageKey` (hash-partitioned) claims an identity; `UsageRecord` (range-partitioned
by day of arrival, so that old days can be detached) keeps the counts; `Bucket`
is their roll-up. The partitions are made in the migration and by
`services.partitions`. Records, settled buckets, conflicts and quarantine rows are
append-only: triggers refuse UPDATE, DELETE and TRUNCATE.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

# Django finds an app's models through this module.
from metering_ingest import reconciliation_models  # noqa: F401


class Meter(models.TextChoices):
    """Who counted."""

    GATEWAY = "gateway", "Platform gateway"
    AGENT = "agent", "Provider's agent"
    BUYER = "buyer", "Buyer's receipt"


class Evidence(models.TextChoices):
    """How strongly the sender is known."""

    UNSIGNED = "unsigned", "Bearer key, unsigned"
    SIGNED = "signed", "Signed by an agent's key"


class Multirange(models.Field):
    """Whole numbers as ranges, which PostgreSQL joins and subtracts."""

    def db_type(self, connection: Any) -> str:
        """PostgreSQL's own type."""
        return "int8multirange"


class UsageKey(models.Model):
    """One identity, claimed by the first event that named it."""

    key = models.UUIDField(primary_key=True)
    content = models.UUIDField()
    arrived_on = models.DateField()

    class Meta:
        db_table = "metering_usage_key"


class UsageRecord(models.Model):
    """One request as one meter counted it, with its standard tokens by the card of that time."""

    pk = models.CompositePrimaryKey("arrived_on", "key")
    arrived_on = models.DateField()
    key = models.UUIDField()
    tenant = models.UUIDField()
    meter = models.CharField(max_length=8, choices=Meter)
    evidence = models.CharField(max_length=8, choices=Evidence)
    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    request_id = models.CharField(max_length=255)
    # No foreign key: every record also adds to a bucket, whose foreign key proves the allocation.
    allocation_id = models.UUIDField()
    card_digest = models.CharField(max_length=80)
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    billable_tokens = models.BigIntegerField()
    micro_st = models.BigIntegerField()
    max_tokens = models.BigIntegerField(null=True)
    finish_reason = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField()
    agent_id = models.UUIDField(null=True)
    served_format = models.CharField(max_length=20, default="")
    counted_by = models.CharField(max_length=8, default="")
    gpu_micros = models.BigIntegerField(null=True)
    draft_tokens = models.BigIntegerField(null=True)
    accepted_tokens = models.BigIntegerField(null=True)
    # How many requests it stands for, and the digest of the file that lists them; both or neither.
    aggregate_records = models.BigIntegerField(null=True)
    aggregate_digest = models.CharField(max_length=80, default="")

    class Meta:
        db_table = "metering_usage_record"
        constraints = [
            models.CheckConstraint(
                name="usage_record_counts",
                condition=Q(
                    prompt_tokens__gte=0,
                    cached_tokens__gte=0,
                    cached_tokens__lte=F("prompt_tokens"),
                    billable_tokens__gte=0,
                    billable_tokens__lte=F("completion_tokens"),
                    micro_st__gte=0,
                ),
            ),
        ]
        indexes = [models.Index(fields=["allocation_id", "meter"], name="usage_record_allocation")]


class Bucket(models.Model):
    """Running sums of one meter's records of one allocation under one card."""

    allocation = models.ForeignKey("market.Allocation", on_delete=models.PROTECT, related_name="+")
    card_digest = models.CharField(max_length=80)
    meter = models.CharField(max_length=8, choices=Meter)
    records = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    micro_st = models.BigIntegerField()
    version = models.BigIntegerField()
    settled_version = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField()
    # Since when something of it waits to be settled; a bucket in steady use is never quiet.
    waiting_since = models.DateTimeField()

    class Meta:
        db_table = "metering_bucket"
        constraints = [
            # The roll-up's ON CONFLICT target: one bucket, whoever comes first.
            models.UniqueConstraint(fields=["allocation", "card_digest", "meter"], name="bucket_identity"),
            models.CheckConstraint(name="bucket_settled_not_ahead", condition=Q(settled_version__lte=F("version"))),
        ]
        indexes = [
            # The settle task looks for buckets that changed since they were last settled.
            models.Index(fields=["changed_at"], name="bucket_dirty", condition=Q(settled_version__lt=F("version"))),
        ]


class SettleCounter(models.Model):
    """One locked row gives settled buckets their gapless sequence, so that a reader's cursor never skips one."""

    id = models.SmallIntegerField(primary_key=True)
    last = models.BigIntegerField()

    class Meta:
        db_table = "metering_settle_counter"
        constraints = [models.CheckConstraint(name="settle_counter_single", condition=Q(id=1))]


class SettledBucket(models.Model):
    """A bucket as it stood when it had been quiet long enough to be rated. A later version replaces the earlier."""

    sequence = models.BigIntegerField(primary_key=True)
    bucket = models.ForeignKey(Bucket, on_delete=models.PROTECT, related_name="+")
    version = models.BigIntegerField()
    records = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    micro_st = models.BigIntegerField()
    settled_at = models.DateTimeField()

    class Meta:
        db_table = "metering_settled_bucket"
        constraints = [
            models.UniqueConstraint(fields=["bucket", "version"], name="settled_bucket_version"),
        ]


class Conflict(models.Model):
    """An event whose identity, or whose place in its agent's sequence, was taken by another.

    The first stays counted; both are kept as evidence.
    """

    class Kind(models.TextChoices):
        CONTENT = "content", "Same id, other content"
        SEQUENCE = "sequence", "Same sequence, other id"

    id = models.BigAutoField(primary_key=True)
    key = models.UUIDField()
    tenant = models.UUIDField()
    content = models.UUIDField()
    event = models.JSONField()
    received_at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.CONTENT)
    agent_id = models.UUIDField(null=True)
    # The record that was there first.
    other_key = models.UUIDField(null=True)

    class Meta:
        db_table = "metering_conflict"
        constraints = [
            # The same conflicting event sent again is one conflict.
            models.UniqueConstraint(fields=["key", "content"], name="conflict_once"),
        ]


class Quarantined(models.Model):
    """An event that was stored but not counted, with the reason; it waits for its owner."""

    key = models.UUIDField(primary_key=True)
    tenant = models.UUIDField()
    reason = models.CharField(max_length=40)
    event = models.JSONField()
    received_at = models.DateTimeField()
    evidence = models.CharField(max_length=8, choices=Evidence, default=Evidence.UNSIGNED)
    agent_id = models.UUIDField(null=True)

    class Meta:
        db_table = "metering_quarantine"
        indexes = [models.Index(fields=["tenant", "received_at"], name="quarantine_tenant")]


class Epoch(models.Model):
    """One life of an agent's counter: which of its sequences arrived, and how far its checkpoints say it went."""

    id = models.BigAutoField(primary_key=True)
    agent_id = models.UUIDField()
    epoch = models.CharField(max_length=64)
    received = Multirange()
    checkpoint_seq = models.BigIntegerField(default=0)
    closed = models.BooleanField(default=False)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "metering_epoch"
        constraints = [models.UniqueConstraint(fields=["agent_id", "epoch"], name="epoch_of_agent")]


class Sequence(models.Model):
    """One place of an epoch, and the record that took it. The key is unique: a place is taken once."""

    pk = models.CompositePrimaryKey("epoch_id", "seq")
    epoch_id = models.BigIntegerField()
    seq = models.BigIntegerField()
    key = models.UUIDField()

    class Meta:
        db_table = "metering_sequence"


class Checkpoint(models.Model):
    """What an agent said it had made of an epoch: how trailing gaps are seen."""

    id = models.BigAutoField(primary_key=True)
    epoch = models.ForeignKey(Epoch, on_delete=models.PROTECT, related_name="+")
    seq = models.BigIntegerField()
    records = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    closed = models.BooleanField()
    received_at = models.DateTimeField()

    class Meta:
        db_table = "metering_checkpoint"
        constraints = [
            # The same checkpoint sent again is one.
            models.UniqueConstraint(
                fields=["epoch", "seq", "records", "prompt_tokens", "completion_tokens", "closed"],
                name="checkpoint_once",
            )
        ]


class Void(models.Model):
    """A record that takes another back. It may arrive before what it voids, and then waits for it."""

    key = models.UUIDField(primary_key=True)
    voided_key = models.UUIDField()
    tenant = models.UUIDField()
    evidence = models.CharField(max_length=8, choices=Evidence)
    agent_id = models.UUIDField(null=True)
    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        db_table = "metering_void"
        indexes = [
            models.Index(fields=["voided_key"], name="void_of"),
            models.Index(fields=["tenant"], name="void_tenant"),
        ]


class Reversal(models.Model):
    """What a void took out of a bucket: the amounts of the record, once."""

    key = models.UUIDField(primary_key=True)  # the voided record's: nothing is taken back twice
    void_key = models.UUIDField()
    allocation_id = models.UUIDField()
    card_digest = models.CharField(max_length=80)
    meter = models.CharField(max_length=8, choices=Meter)
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    micro_st = models.BigIntegerField()
    reversed_at = models.DateTimeField()

    class Meta:
        db_table = "metering_reversal"
        indexes = [models.Index(fields=["allocation_id", "meter"], name="reversal_allocation")]


class Resolution(models.Model):
    """How a quarantined record ended: judged again and counted, or rejected, by whom and why."""

    class Action(models.TextChoices):
        RELEASED = "released", "Released"
        REJECTED = "rejected", "Rejected"

    key = models.UUIDField(primary_key=True)
    action = models.CharField(max_length=8, choices=Action)
    reason = models.CharField(max_length=200)
    organisation_id = models.UUIDField()
    user_id = models.UUIDField(null=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "metering_resolution"


class Backfill(models.Model):
    """A file of one organisation's records that staff send through ingest with only the time window lifted."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"

    id = models.UUIDField(primary_key=True)
    organisation_id = models.UUIDField()
    name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    reason = models.CharField(max_length=200)
    records = models.IntegerField()
    records_done = models.IntegerField(default=0)
    counts = models.JSONField(default=dict)  # records by result
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    made_by_organisation = models.UUIDField()
    made_by_user = models.UUIDField(null=True)
    made_by_key = models.UUIDField(null=True)
    made_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "metering_backfill"
        constraints = [
            # The same file sent twice by a double click is one job; when it is done it may be sent again.
            models.UniqueConstraint(
                fields=["organisation_id", "sha256"], name="backfill_once", condition=~Q(state="done")
            ),
            models.CheckConstraint(
                name="backfill_progress", condition=Q(records_done__gte=0, records_done__lte=F("records"))
            ),
        ]


class BackfillPart(models.Model):
    """Some of a backfill's records, one JSON object a line, and once they were taken in, what became of each."""

    pk = models.CompositePrimaryKey("backfill_id", "number")
    backfill = models.ForeignKey(Backfill, on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField()
    records = models.IntegerField()
    content = models.BinaryField()
    results = models.BinaryField(null=True)

    class Meta:
        db_table = "metering_backfill_part"


class Witness(models.Model):
    """A token counter of a program's own telemetry (OTLP), beside the meters: never a record, never billed."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.UUIDField()
    metric = models.CharField(max_length=100)
    token_type = models.CharField(max_length=40)
    # Of everything that names the series: attributes of resource, scope and point.
    attributes = models.UUIDField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    value = models.BigIntegerField()
    cumulative = models.BooleanField()
    received_at = models.DateTimeField()

    class Meta:
        db_table = "metering_witness"
        constraints = [
            # The same export sent again adds nothing.
            models.UniqueConstraint(
                fields=["tenant", "metric", "token_type", "attributes", "started_at", "ended_at"], name="witness_once"
            ),
            models.CheckConstraint(name="witness_value", condition=Q(value__gte=0)),
        ]
        indexes = [models.Index(fields=["tenant", "ended_at"], name="witness_tenant")]


class Proof(models.Model):
    """One night's proof of the books: how many breaches were found, the first of them, and how long it took."""

    id = models.BigAutoField(primary_key=True)
    made_at = models.DateTimeField()
    breaches = models.PositiveIntegerField()
    first = models.JSONField()
    milliseconds = models.PositiveIntegerField()

    class Meta:
        db_table = "metering_proof"
