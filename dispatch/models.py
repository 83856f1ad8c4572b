"""What the gateway keeps of a request: who, when, how much. Never what was said."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.kernel import ids


class RequestLog(models.Model):
    """One attempt at a request: opened before the engine is called, closed in the transaction that meters it."""

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"  # the engine finished
        CUT = "cut"  # the client left, or the engine broke off; what was delivered is counted
        FAILED = "failed"  # nothing was delivered, nothing is billed

    id = models.UUIDField(primary_key=True, default=ids.new)
    # The X-Request-Id of the answer; a second row has it where a first engine failed before its first token.
    request_id = models.CharField(max_length=64)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    key_id = models.UUIDField(null=True)
    line = models.ForeignKey("market.ModelLine", models.PROTECT, related_name="+")
    allocation = models.ForeignKey("market.Allocation", models.PROTECT, related_name="+")
    deployment = models.ForeignKey("providers.Deployment", models.PROTECT, related_name="+", db_index=False)
    reservation_id = models.UUIDField(unique=True)
    reserved_micro_st = models.BigIntegerField()
    stream = models.BooleanField()
    max_tokens = models.PositiveIntegerField()
    prompt_tokens = models.PositiveIntegerField()
    cached_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    micro_st = models.BigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    finish_reason = models.CharField(max_length=30, blank=True, default="")
    opened_at = models.DateTimeField()
    first_token_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    # How it was served, against what its grade promises; empty where nothing was delivered, or it is not to be judged.
    first_token_ms = models.PositiveIntegerField(null=True)
    speed_milli = models.PositiveBigIntegerField(null=True)  # thousandths of a model token a second
    kept = models.BooleanField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open", closed_at__isnull=True) | ~Q(state="open") & Q(closed_at__isnull=False),
                name="dispatch_request_closed",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | Q(completion_tokens=0, micro_st=0), name="dispatch_failed_is_free"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation", "-id"], name="dispatch_request_of"),
            models.Index(fields=["request_id"], name="dispatch_request_by_id"),
            models.Index(fields=["opened_at"], name="dispatch_request_open", condition=Q(state="open")),
            # What ran on a deployment in a window; in place of the foreign key's own index.
            models.Index(fields=["deployment", "opened_at"], name="dispatch_request_ran"),
        ]


class SaturatedWindow(models.Model):
    """That a rated deployment's window was looked at, and for how long it was at load. Never changed."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    deployment = models.ForeignKey("providers.Deployment", models.PROTECT, related_name="+", db_index=False)
    starts_at = models.DateTimeField()
    loaded_micro_seconds = models.BigIntegerField()  # of wall time; 0 where it was never at load
    requests = models.PositiveIntegerField()  # that closed at load
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            # What makes the observation of a window happen once.
            models.UniqueConstraint(fields=["deployment", "starts_at"], name="dispatch_window_once"),
            models.CheckConstraint(condition=Q(loaded_micro_seconds__gte=0), name="dispatch_window_load"),
        ]
