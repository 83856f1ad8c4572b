"""Hardware, what it serves, and the offers that sell it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.kernel import ids

WHOLE_BPS = 10_000
MAX_RATE = 10**9  # ST/s; above it a rate is a slip, and rate × hour would not fit a quantity


class Pool(models.Model):
    """Accelerators of one kind in one place. What is sold of it in one window is one deployment's."""

    class Tier(models.TextChoices):
        PROBATION = "probation"
        LISTED = "listed"
        VERIFIED = "verified"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    name = models.CharField(max_length=80)
    vendor = models.CharField(max_length=40)
    chip = models.CharField(max_length=60)
    device_count = models.PositiveIntegerField()
    region = models.CharField(max_length=40)
    data_terms = models.CharField(max_length=100)
    tier = models.CharField(max_length=20, choices=Tier, default=Tier.LISTED)
    # The last shortfall of the market that was looked at for it.
    shortfall_seen = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="providers_pool_name_once"),
            models.CheckConstraint(condition=Q(device_count__gt=0), name="providers_pool_has_devices"),
        ]


class Deployment(models.Model):
    """One model line served on one pool, at a rated speed, behind one address."""

    class State(models.TextChoices):
        ACTIVE = "active"
        RETIRED = "retired"

    id = models.UUIDField(primary_key=True, default=ids.new)
    pool = models.ForeignKey(Pool, models.PROTECT, related_name="deployments")
    line = models.ForeignKey("market.ModelLine", models.PROTECT, related_name="+")
    served_format = models.CharField(max_length=20)
    # What the engine calls the model, which need not be our name of the line.
    engine_model = models.CharField(max_length=200)
    endpoint_url = models.URLField(max_length=300)
    # Set by the operator only: lets the gateway call an address of its own network (the demo's engines).
    private_endpoint = models.BooleanField(default=False)
    rate_st_per_second = models.BigIntegerField()
    share_bps = models.PositiveIntegerField(default=WHOLE_BPS)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "line", "served_format"], name="providers_deployment_once"),
            models.CheckConstraint(
                condition=Q(rate_st_per_second__gt=0, rate_st_per_second__lte=MAX_RATE),
                name="providers_deployment_rate",
            ),
            models.CheckConstraint(
                condition=Q(share_bps__gt=0, share_bps__lte=WHOLE_BPS), name="providers_deployment_share"
            ),
        ]


class EngineKey(models.Model):
    """The bearer key of a deployment's engine, apart from the row that pages and the API read."""

    deployment = models.OneToOneField(Deployment, models.PROTECT, primary_key=True, related_name="engine_key")
    secret = models.CharField(max_length=400)


def _hours(begin: str, end: str) -> Q:
    """Hours that are named and of some length. A check passes where it is neither true nor false, hence `isnull`."""
    named = {f"{begin}__isnull": False, f"{end}__isnull": False}
    return Q(~Q(**{begin: F(end)}), **named, **{f"{begin}__range": (0, 23), f"{end}__range": (1, 24)})


_NO_WEEK = Q(weekdays__isnull=True, from_hour__isnull=True, to_hour__isnull=True)
_NO_WORKDAY = Q(workday_from_hour__isnull=True, workday_to_hour__isnull=True)
_NO_RESTDAY = Q(restday_from_hour__isnull=True, restday_to_hour__isnull=True)


class OfferPlan(models.Model):
    """What a provider wants sold, hours of certain days or one window, with a discount on the list price and a floor."""

    class Kind(models.TextChoices):
        WEEKLY = "weekly"
        CALENDAR = "calendar"
        ONCE = "once"

    class State(models.TextChoices):
        DRAFT = "draft"
        LIVE = "live"
        PAUSED = "paused"
        WITHDRAWN = "withdrawn"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="plans")
    grade = models.CharField(max_length=12)
    kind = models.CharField(max_length=8, choices=Kind)
    # Bit 0 is Monday. Hours are those of UTC+08:00; from 22 to 6 runs over midnight.
    weekdays = models.PositiveSmallIntegerField(null=True)
    from_hour = models.PositiveSmallIntegerField(null=True)
    to_hour = models.PositiveSmallIntegerField(null=True)
    # Of a calendar plan: hours of working days and of days off; a pair may be empty, not both.
    workday_from_hour = models.PositiveSmallIntegerField(null=True)
    workday_to_hour = models.PositiveSmallIntegerField(null=True)
    restday_from_hour = models.PositiveSmallIntegerField(null=True)
    restday_to_hour = models.PositiveSmallIntegerField(null=True)
    window_start = models.DateTimeField(null=True)
    discount_bps = models.PositiveIntegerField()
    floor_micros = models.BigIntegerField()
    share_bps = models.PositiveIntegerField(default=WHOLE_BPS)
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    # Why the last window could not be posted; empty once one could.
    problem = models.CharField(max_length=60, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(_NO_WEEK, _NO_WORKDAY, _NO_RESTDAY, kind="once", window_start__isnull=False)
                | Q(_hours("from_hour", "to_hour"), _NO_WORKDAY, _NO_RESTDAY, kind="weekly", window_start__isnull=True,
                    weekdays__isnull=False, weekdays__range=(1, 127))
                | Q(_hours("workday_from_hour", "workday_to_hour") | _NO_WORKDAY,
                    _hours("restday_from_hour", "restday_to_hour") | _NO_RESTDAY,
                    Q(workday_from_hour__isnull=False) | Q(restday_from_hour__isnull=False),
                    _NO_WEEK, kind="calendar", window_start__isnull=True),
                name="providers_plan_names_windows",
            ),
            models.CheckConstraint(
                condition=Q(discount_bps__lt=WHOLE_BPS, floor_micros__gt=0, share_bps__gt=0, share_bps__lte=WHOLE_BPS),
                name="providers_plan_bounds",
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["organisation", "-id"], name="providers_plan_of")]


class PostedOffer(models.Model):
    """A plan's sell order for one window. Its limit was fixed when it was posted."""

    class State(models.TextChoices):
        OPEN = "open"
        WITHDRAWN = "withdrawn"

    id = models.UUIDField(primary_key=True, default=ids.new)
    plan = models.ForeignKey(OfferPlan, models.PROTECT, related_name="posted")
    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="posted")
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    order = models.OneToOneField("market.Order", models.PROTECT, related_name="+")
    quantity_st = models.BigIntegerField()
    limit_micros = models.BigIntegerField()
    list_price_micros = models.BigIntegerField(null=True)
    # What of the deployment's rate this offer may need; after a withdrawal only what its sold part needs.
    rate_st_per_second = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    posted_at = models.DateTimeField()

    class Meta:
        constraints = [
            # A window is posted once per plan, whoever runs the task and however often.
            models.UniqueConstraint(
                fields=["plan", "window_start"], condition=Q(state="open"), name="providers_posted_once"
            ),
            models.CheckConstraint(
                condition=Q(quantity_st__gt=0, limit_micros__gt=0, rate_st_per_second__gte=0),
                name="providers_posted_bounds",
            ),
        ]
        indexes = [models.Index(fields=["deployment", "window_start"], name="providers_posted_rate")]


class Rating(models.Model):
    """What two calibration runs say of a deployment. Rows are never changed; the newest one stands while it holds.

    Rates are micro-ST a second of one device, with 95 % intervals; empty is without bound: that part cost no time that
    could be measured.
    """

    class How(models.TextChoices):
        AGENT = "agent"
        OPERATOR = "operator"

    id = models.UUIDField(primary_key=True, default=ids.new)
    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="ratings")
    card_digest = models.CharField(max_length=64)
    engine = models.CharField(max_length=40)
    engine_version = models.CharField(max_length=40, blank=True)
    driver = models.CharField(max_length=40, blank=True)
    served_format = models.CharField(max_length=20)
    tensor_parallel = models.PositiveIntegerField()
    devices = models.PositiveIntegerField()
    mix = models.CharField(max_length=40)
    # Other shapes than the standard ones were run.
    reduced = models.BooleanField()
    compute_micro = models.BigIntegerField(null=True)
    compute_low_micro = models.BigIntegerField()
    compute_high_micro = models.BigIntegerField(null=True)
    memory_micro = models.BigIntegerField(null=True)
    memory_low_micro = models.BigIntegerField()
    memory_high_micro = models.BigIntegerField(null=True)
    blended_micro = models.BigIntegerField()
    blended_low_micro = models.BigIntegerField()
    blended_high_micro = models.BigIntegerField(null=True)
    # GPU-picoseconds of one ST of either part: what observed work is compared with.
    compute_pico_seconds = models.BigIntegerField()
    memory_pico_seconds = models.BigIntegerField()
    separation_bps = models.PositiveIntegerField()
    residual_bps = models.PositiveIntegerField()
    how = models.CharField(max_length=8, choices=How)
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    measured_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    blended_low_micro__gt=0, blended_micro__gte=F("blended_low_micro"), devices__gt=0,
                    tensor_parallel__gt=0, expires_at__gt=F("measured_at"), compute_pico_seconds__gte=0,
                    memory_pico_seconds__gte=0,
                ),
                name="providers_rating_bounds",
            ),
        ]  # fmt: skip
        indexes = [models.Index(fields=["deployment", "-measured_at", "-id"], name="providers_rating_of")]


class RatingRun(models.Model):
    """One run of a rating: its totals, and window by window what was finished, from which anybody can solve it again."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    rating = models.ForeignKey(Rating, models.PROTECT, related_name="runs")
    position = models.PositiveSmallIntegerField()
    prompt_tokens = models.PositiveIntegerField()
    max_tokens = models.PositiveIntegerField()
    concurrency = models.PositiveIntegerField()
    requests = models.BigIntegerField()
    uncached_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    generated_tokens = models.BigIntegerField()
    # Of wall time; GPU-seconds are these times the rating's devices.
    micro_seconds = models.BigIntegerField()
    # [{"micro_seconds": 1, "requests": [[uncached, cached, generated, how many], …]}, …]
    windows = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rating", "position"], name="providers_rating_run_once"),
            models.CheckConstraint(
                condition=Q(requests__gt=0, micro_seconds__gt=0, generated_tokens__gt=0),
                name="providers_rating_run_bounds",
            ),
        ]


class RatingObservation(models.Model):
    """Work that a rated deployment did in a window at load, to see whether its rating still holds. Never changed."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    rating = models.ForeignKey(Rating, models.PROTECT, related_name="observations")
    requests = models.PositiveIntegerField()
    # Micro-ST of computing and of memory, and GPU-microseconds.
    compute_micro_st = models.BigIntegerField()
    memory_micro_st = models.BigIntegerField()
    gpu_micro_seconds = models.BigIntegerField()
    # What of the setup differs from the rating's; a rating with such an observation has lapsed.
    changed = models.CharField(max_length=20, blank=True, default="")
    observed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(requests__gt=0, gpu_micro_seconds__gt=0, compute_micro_st__gte=0, memory_micro_st__gte=0),
                name="providers_observation_bounds",
            ),
        ]
        indexes = [models.Index(fields=["rating", "-observed_at", "-id"], name="providers_observation_of")]


class Agent(models.Model):
    """A program at a provider that meters engines and signs what it sends."""

    class State(models.TextChoices):
        ACTIVE = "active"
        PARKED = "parked"
        REVOKED = "revoked"

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation = models.ForeignKey("accounts.Organisation", models.PROTECT, related_name="+")
    pool = models.ForeignKey(Pool, models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    # Why it is parked; said by whoever parked it.
    reason = models.CharField(max_length=200, blank=True, default="")
    version = models.CharField(max_length=40, blank=True, default="")
    last_seen_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation", "name"], name="providers_agent_name_once"),
            models.CheckConstraint(
                condition=~Q(state="parked") | ~Q(reason=""), name="providers_agent_parked_with_reason"
            ),
        ]


class AgentKey(models.Model):
    """A public key of an agent. What it signed before it ended stays signed."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="keys")
    public_key = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    # Set when another key takes its place: a few minutes later, so that requests under way still pass.
    ends_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # A key names one agent, or a stolen registration could speak for two.
            models.UniqueConstraint(fields=["public_key"], name="providers_agent_key_once"),
        ]


class RegistrationToken(models.Model):
    """Lets an agent hand in its key, once. Only the token's hash is kept."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    agent = models.ForeignKey(Agent, models.PROTECT, related_name="tokens")
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest"], name="providers_registration_token_once")]


class Nonce(models.Model):
    """A nonce that a key has used; kept until no signature that carries it could pass any more."""

    pk = models.CompositePrimaryKey("key_id", "nonce")
    key = models.ForeignKey(AgentKey, models.PROTECT, related_name="+", db_index=False)
    nonce = models.UUIDField()
    seen_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["seen_at"], name="providers_nonce_old")]
