"""What comparing the meters found, and disputes about it.

`Comparison` and `Compared` are derived and may be made again from the records. Disputes are not: their minutes,
events and evidence are append-only, and a trigger keeps what a dispute is about as it was opened.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids
from metering_ingest.kernel import comparing, dispute_rules


def _choices(words: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


class Compared(models.Model):
    """How far an allocation was compared: the versions of its buckets added up, and when to look again."""

    allocation = models.OneToOneField("market.Allocation", models.PROTECT, primary_key=True, related_name="+")
    versions = models.BigIntegerField()
    due_at = models.DateTimeField(null=True)
    compared_at = models.DateTimeField()

    class Meta:
        db_table = "metering_compared"
        indexes = [models.Index(fields=["due_at"], name="compared_due", condition=Q(due_at__isnull=False))]


class CompareMark(models.Model):
    """Buckets that changed before this instant were compared; one row."""

    id = models.SmallIntegerField(primary_key=True)
    since = models.DateTimeField(null=True)

    class Meta:
        db_table = "metering_compare_mark"
        constraints = [models.CheckConstraint(name="compare_mark_single", condition=Q(id=1))]


class Comparison(models.Model):
    """One minute of an allocation as its meters counted it. Completion tokens are billable ones."""

    id = models.BigAutoField(primary_key=True)
    allocation = models.ForeignKey("market.Allocation", models.PROTECT, db_index=False, related_name="+")
    minute = models.DateTimeField()
    gateway_records = models.BigIntegerField()
    gateway_prompt = models.BigIntegerField()
    gateway_cached = models.BigIntegerField()
    gateway_completion = models.BigIntegerField()
    gateway_micro_st = models.BigIntegerField()
    agent_records = models.BigIntegerField()
    agent_prompt = models.BigIntegerField()
    agent_cached = models.BigIntegerField()
    agent_completion = models.BigIntegerField()
    agent_micro_st = models.BigIntegerField()
    buyer_records = models.BigIntegerField()
    buyer_prompt = models.BigIntegerField()
    buyer_cached = models.BigIntegerField()
    buyer_completion = models.BigIntegerField()
    buyer_micro_st = models.BigIntegerField()
    state = models.CharField(max_length=14, choices=_choices(comparing.STATES))
    # Words of kernel.comparing.CAUSES with a blank between them, in that order.
    causes = models.CharField(max_length=200)
    over_micro_st = models.BigIntegerField()
    under_micro_st = models.BigIntegerField()
    due_at = models.DateTimeField()
    compared_at = models.DateTimeField()

    class Meta:
        db_table = "metering_comparison"
        constraints = [
            # The upsert's ON CONFLICT target.
            models.UniqueConstraint(fields=["allocation", "minute"], name="comparison_once"),
            models.CheckConstraint(
                name="comparison_contested",
                condition=Q(over_micro_st__gte=0, over_micro_st__lte=F("gateway_micro_st"), under_micro_st__gte=0),
            ),
        ]
        indexes = [
            models.Index(
                fields=["allocation", "minute"],
                name="comparison_differs",
                condition=~Q(state__in=[comparing.MATCHED, comparing.SINGLE]),
            )
        ]


class Dispute(models.Model):
    """A contested count of one allocation. `freeze_micro_st` is what billing sets aside while it is not resolved."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    allocation = models.ForeignKey("market.Allocation", models.PROTECT, related_name="+")
    buyer_id = models.UUIDField()
    seller_id = models.UUIDField()
    opened_by = models.CharField(
        max_length=6, choices=_choices((dispute_rules.RULE, dispute_rules.BUYER, dispute_rules.SELLER))
    )
    causes = models.CharField(max_length=200)
    freeze_micro_st = models.BigIntegerField()
    claim_micro_st = models.BigIntegerField()
    opened_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=_choices(dispute_rules.STATES), default=dispute_rules.OPEN)
    # Until when the step that it is in may take; none where staff decide, or once it is resolved.
    deadline_at = models.DateTimeField(null=True)
    proposed_credit_micro_st = models.BigIntegerField(null=True)
    # Requests that the gateway's count should take over from the agent, as [request id, prompt, cached, completion].
    proposed_amendments = models.JSONField(default=list)
    proposed_rules = models.CharField(max_length=120, default="")
    credited_micro_st = models.BigIntegerField(null=True)
    amended = models.BooleanField(default=False)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "metering_dispute"
        constraints = [
            models.CheckConstraint(
                name="dispute_amounts",
                condition=Q(freeze_micro_st__gte=0, claim_micro_st__gte=0)
                & (
                    Q(proposed_credit_micro_st__isnull=True)
                    | Q(proposed_credit_micro_st__gte=0, proposed_credit_micro_st__lte=F("freeze_micro_st"))
                ),
            ),
            models.CheckConstraint(
                name="dispute_outcome",
                condition=Q(
                    state=dispute_rules.RESOLVED,
                    resolved_at__isnull=False,
                    credited_micro_st__isnull=False,
                    credited_micro_st__gte=0,
                    credited_micro_st__lte=F("freeze_micro_st"),
                    deadline_at__isnull=True,
                )
                | ~Q(state=dispute_rules.RESOLVED)
                & Q(resolved_at__isnull=True, credited_micro_st__isnull=True, amended=False),
            ),
        ]
        indexes = [
            models.Index(fields=["buyer_id", "opened_at"], name="dispute_buyer"),
            models.Index(fields=["seller_id", "opened_at"], name="dispute_seller"),
            models.Index(fields=["deadline_at"], name="dispute_due", condition=Q(deadline_at__isnull=False)),
        ]


class DisputeMinute(models.Model):
    """A minute that a dispute is about, for one side or both.

    Each is contested once for each side: what was decided is not opened again, and a seller's claim does not keep the
    buyer from contesting what was billed.
    """

    class Side(models.TextChoices):
        BUYER = "buyer"
        SELLER = "seller"

    id = models.BigAutoField(primary_key=True)
    dispute = models.ForeignKey(Dispute, models.PROTECT, related_name="minutes")
    allocation_id = models.UUIDField()
    minute = models.DateTimeField()
    side = models.CharField(max_length=6, choices=Side)

    class Meta:
        db_table = "metering_dispute_minute"
        constraints = [models.UniqueConstraint(fields=["allocation_id", "minute", "side"], name="dispute_minute_once")]


class DisputeEvent(models.Model):
    """What happened to a dispute, by whom and why."""

    class Kind(models.TextChoices):
        OPENED = "opened"
        REPLIED = "replied"
        PROPOSED = "proposed"
        ACCEPTED = "accepted"
        ESCALATED = "escalated"
        DECIDED = "decided"
        RESOLVED = "resolved"

    id = models.BigAutoField(primary_key=True)
    dispute = models.ForeignKey(Dispute, models.PROTECT, related_name="events")
    kind = models.CharField(max_length=9, choices=Kind)
    by = models.CharField(
        max_length=8, choices=_choices((dispute_rules.RULE, *dispute_rules.PARTIES, dispute_rules.OPERATOR))
    )
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    note = models.CharField(max_length=2_000)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        db_table = "metering_dispute_event"
        constraints = [
            # One ending, one opening; a party accepts once.
            models.UniqueConstraint(
                fields=["dispute", "kind"], name="dispute_event_once", condition=Q(kind__in=["opened", "resolved"])
            ),
            models.UniqueConstraint(
                fields=["dispute", "by"], name="dispute_accepted_once", condition=Q(kind="accepted")
            ),
        ]


class DisputeEvidence(models.Model):
    """What the platform collected of a dispute, as one JSON text and its SHA-256. A later one stands beside it."""

    id = models.BigAutoField(primary_key=True)
    dispute = models.ForeignKey(Dispute, models.PROTECT, related_name="evidence")
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()
    made_at = models.DateTimeField()

    class Meta:
        db_table = "metering_dispute_evidence"
        constraints = [models.UniqueConstraint(fields=["dispute", "sha256"], name="dispute_evidence_once")]


class WorkWindow(models.Model):
    """Measured work of a deployment and shape in one allocation window, against what was billed for it. Derived."""

    id = models.BigAutoField(primary_key=True)
    deployment_id = models.UUIDField()
    seller_id = models.UUIDField()
    shape = models.CharField(max_length=40)
    window_start = models.DateTimeField()
    requests = models.BigIntegerField()
    micro_st = models.BigIntegerField()
    gpu_micros = models.BigIntegerField()
    state = models.CharField(max_length=7)
    low_bps = models.BigIntegerField(null=True)
    high_bps = models.BigIntegerField(null=True)
    unbacked_micro_st = models.BigIntegerField()
    judged_at = models.DateTimeField()

    class Meta:
        db_table = "metering_work_window"
        constraints = [
            models.UniqueConstraint(fields=["deployment_id", "shape", "window_start"], name="work_window_once"),
        ]
        indexes = [models.Index(fields=["seller_id", "window_start"], name="work_window_seller")]
