"""Shapes of ratings in the API: what was measured goes in, what it says comes out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework import serializers

from accounts.http.serializers import StrictSerializer
from accounts.kernel import ids
from providers.kernel import ratings as rules
from providers.kernel.ratings import CheckDraft, RatingDraft, RunDraft, Setup, State, WindowDraft
from providers.selectors import DeploymentView, Rate, RatingDetail, Standing
from token_standard.figures import decimal
from token_standard.ratings import Requests
from token_standard.usage import st_text

_SECONDS = r"\A[0-9]{1,6}(\.[0-9]{1,6})?\Z"
_MOST_TOKENS, _MOST_TIMES, _MOST_ROWS, _MOST_WINDOWS, _MOST_RUNS = 10**7, 10**6, 2_000, 64, 4
_MOST_IN_ALL = 20_000  # rows
_ROW = 4
_STATES = ", ".join(State)
_RATIO_PLACES = 3


class WindowInSerializer(StrictSerializer):
    """What an engine at load finished in `seconds` of wall time.

    `requests` are rows `[uncached, cached, generated, how many]` of requests with the same counts.
    """

    seconds = serializers.RegexField(_SECONDS, help_text="of wall time, at most six decimals")
    requests = serializers.ListField(
        child=serializers.ListField(
            child=serializers.IntegerField(min_value=0, max_value=_MOST_TOKENS), min_length=_ROW, max_length=_ROW
        ),
        min_length=1,
        max_length=_MOST_ROWS,
    )

    def validate_requests(self, rows: list[list[int]]) -> list[list[int]]:
        """Each row stands for one request at least."""
        if any(not 1 <= row[-1] <= _MOST_TIMES for row in rows):
            raise serializers.ValidationError("The last number of a row is how many requests it stands for.")
        return rows


class RunInSerializer(StrictSerializer):
    """One shape at load; warm-up left out."""

    prompt_tokens = serializers.IntegerField(min_value=1, max_value=_MOST_TOKENS)
    max_tokens = serializers.IntegerField(min_value=1, max_value=_MOST_TOKENS)
    concurrency = serializers.IntegerField(min_value=1, max_value=100_000)
    windows = serializers.ListField(child=WindowInSerializer(), min_length=1, max_length=_MOST_WINDOWS)


class _SetupInSerializer(StrictSerializer):
    card = serializers.RegexField(r"\A[0-9a-f]{64}\Z", help_text="digest of the card that counted the runs")
    engine = serializers.CharField(max_length=40)
    engine_version = serializers.CharField(max_length=40, default="", allow_blank=True)
    driver = serializers.CharField(max_length=40, default="", allow_blank=True)
    served_format = serializers.CharField(max_length=20)
    tensor_parallel = serializers.IntegerField(min_value=1, max_value=1_000_000, default=1)
    devices = serializers.IntegerField(min_value=1, max_value=1_000_000)
    measured_at = serializers.DateTimeField()


class RatingInSerializer(_SetupInSerializer):
    """Two calibration runs or more. What they say is worked out here; no conclusion is taken."""

    runs = serializers.ListField(child=RunInSerializer(), min_length=1, max_length=_MOST_RUNS)

    def validate_runs(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """So many rows as can be solved within a second or two."""
        if sum(len(window["requests"]) for run in runs for window in run["windows"]) > _MOST_IN_ALL:
            raise serializers.ValidationError(
                f"At most {_MOST_IN_ALL} rows of requests in all: put equal ones together."
            )
        return runs


class CheckInSerializer(_SetupInSerializer):
    """One window at load, to be compared with the standing rating."""

    window = WindowInSerializer()


class RateSerializer(serializers.Serializer):
    """ST/s of one device with its 95 % interval; null is without bound: that part took no time to speak of."""

    st_per_second = serializers.CharField(allow_null=True)
    low = serializers.CharField()
    high = serializers.CharField(allow_null=True)


class RunSerializer(serializers.Serializer):
    """A run's shape, totals and windows."""

    prompt_tokens = serializers.IntegerField()
    max_tokens = serializers.IntegerField()
    concurrency = serializers.IntegerField()
    requests = serializers.IntegerField()
    uncached_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    generated_tokens = serializers.IntegerField()
    seconds = serializers.CharField()
    windows = WindowInSerializer(many=True)


class RatingSerializer(serializers.Serializer):
    """A rating. Rates are of one device; `blended` is of the fixed mix that `mix` names."""

    id = serializers.CharField()
    deployment = serializers.CharField()
    state = serializers.CharField(help_text=_STATES)
    card = serializers.CharField()
    engine = serializers.CharField()
    engine_version = serializers.CharField()
    driver = serializers.CharField()
    served_format = serializers.CharField()
    tensor_parallel = serializers.IntegerField()
    devices = serializers.IntegerField()
    mix = serializers.CharField()
    reduced = serializers.BooleanField(help_text="other shapes than 2048/128 and 128/2048 were run")
    compute = RateSerializer()
    memory = RateSerializer()
    blended = RateSerializer()
    separation_bps = serializers.IntegerField()
    residual_bps = serializers.IntegerField()
    how = serializers.CharField()
    measured_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    runs = RunSerializer(many=True)


class RatingListSerializer(serializers.Serializer):
    """All ratings of a deployment, newest first; there is no further page."""

    data = RatingSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class CheckSerializer(serializers.Serializer):
    """How the standing rating looks after this window.

    `ratio` is the median of GPU-seconds taken over those foretold, of the newest windows that have `needed` requests
    together; the rating is `drifting` once it lies outside `low` to `high` on that many.
    """

    state = serializers.CharField(help_text=_STATES)
    changed = serializers.CharField(allow_null=True, help_text="what of the setup differs from the rating's")
    ratio = serializers.CharField(allow_null=True)
    low = serializers.CharField()
    high = serializers.CharField(allow_null=True)
    requests = serializers.IntegerField()
    needed = serializers.IntegerField()


class StandingSerializer(serializers.Serializer):
    """How a deployment is rated now: ST/s of all its devices."""

    state = serializers.CharField(help_text=_STATES)
    st_per_second = serializers.CharField(allow_null=True)
    low = serializers.CharField(allow_null=True)
    high = serializers.CharField(allow_null=True)
    measured_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)


def rating_draft(deployment_id: UUID, data: dict[str, Any]) -> RatingDraft:
    """The draft of a checked request."""
    runs = tuple(
        RunDraft(run["prompt_tokens"], run["max_tokens"], run["concurrency"], tuple(map(_window_in, run["windows"])))
        for run in data["runs"]
    )
    return RatingDraft(deployment_id, _setup(data), data["devices"], data["measured_at"], runs)


def check_draft(deployment_id: UUID, data: dict[str, Any]) -> CheckDraft:
    """The draft of a checked request."""
    return CheckDraft(deployment_id, _setup(data), data["devices"], data["measured_at"], _window_in(data["window"]))


def rating(found: RatingDetail) -> dict[str, Any]:
    """A rating as JSON."""
    view, setup = found.rating, found.rating.setup
    same = ("devices", "mix", "reduced", "separation_bps", "residual_bps", "how", "measured_at", "expires_at",
            "created_at")  # fmt: skip
    counts = ("prompt_tokens", "max_tokens", "concurrency", "requests", "uncached_tokens", "cached_tokens",
              "generated_tokens")  # fmt: skip
    return {
        "id": ids.encode("rtg", view.id),
        "deployment": ids.encode("dep", view.deployment_id),
        "state": found.state.value,
        "card": setup.card_digest,
        "engine": setup.engine,
        "engine_version": setup.engine_version,
        "driver": setup.driver,
        "served_format": setup.served_format,
        "tensor_parallel": setup.tensor_parallel,
        **{name: getattr(view, name) for name in same},
        **{name: _rate(getattr(view, name)) for name in ("compute", "memory", "blended")},
        "runs": [
            {
                **{name: getattr(run, name) for name in counts},
                "seconds": st_text(run.micro_seconds),
                "windows": [
                    {"seconds": st_text(window["micro_seconds"]), "requests": window["requests"]}
                    for window in run.windows
                ],
            }
            for run in found.runs
        ],
    }


def check(found: Standing) -> dict[str, Any]:
    """What a check says as JSON."""
    drift = found.drift
    assert drift is not None  # a check is of a standing rating
    return {
        "state": found.state.value,
        "changed": found.changed or None,
        "ratio": None if drift.ratio is None else decimal(drift.ratio, _RATIO_PLACES),
        "low": decimal(drift.low, _RATIO_PLACES),
        "high": None if drift.high is None else decimal(drift.high, _RATIO_PLACES),
        "requests": drift.requests,
        "needed": rules.JUDGED_REQUESTS,
    }


def standing(deployment: DeploymentView, found: Standing) -> dict[str, Any]:
    """How a deployment is rated, as JSON."""
    view = found.rating
    rate = view.blended.of(deployment.device_count) if view else None
    return {
        "state": found.state.value,
        "st_per_second": _micro(rate.point) if rate else None,
        "low": _micro(rate.low) if rate else None,
        "high": _micro(rate.high) if rate else None,
        "measured_at": view.measured_at if view else None,
        "expires_at": view.expires_at if view else None,
    }


def _setup(data: dict[str, Any]) -> Setup:
    return Setup(
        card_digest=data["card"],
        engine=data["engine"],
        engine_version=data["engine_version"],
        driver=data["driver"],
        served_format=data["served_format"],
        tensor_parallel=data["tensor_parallel"],
    )


def _window_in(data: dict[str, Any]) -> WindowDraft:
    return WindowDraft(
        micro_seconds=int(Decimal(data["seconds"]) * rules.MICRO),
        requests=tuple(Requests(*row) for row in data["requests"]),
    )


def _rate(rate: Rate) -> dict[str, Any]:
    return {"st_per_second": _micro(rate.point), "low": _micro(rate.low), "high": _micro(rate.high)}


def _micro(value: int | None) -> str | None:
    return None if value is None else st_text(value)
