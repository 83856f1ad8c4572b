"""Usage as OpenTelemetry's ``gen_ai.client.token.usage``, where its API is installed."""

from __future__ import annotations

from typing import Any

from tokenspot_client.engines.usage import Usage

NAME = "gen_ai.client.token.usage"
# The boundaries that the semantic conventions advise for this metric.
BOUNDARIES = tuple(4**power for power in range(14))


class TokenUsage:
    """Records billable tokens: of an overrun only what the limit allowed. Does nothing without the API.

    :param provider: ``gen_ai.provider.name``, e.g. ``vllm``.
    :param meter_provider: OpenTelemetry's; without it the global one.
    """

    def __init__(self, provider: str, *, meter_provider: Any = None) -> None:
        self._provider, self._histogram = provider, _histogram(meter_provider)

    @property
    def available(self) -> bool:
        return self._histogram is not None

    def record(self, usage: Usage, *, model: str, operation: str = "chat") -> None:
        """Add one request: one value for its input, one for its output."""
        if self._histogram is None:
            return
        shared = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": model,
        }
        for kind, tokens in (("input", usage.prompt), ("output", usage.billable)):
            self._histogram.record(tokens, {**shared, "gen_ai.token.type": kind})


def _histogram(provider: Any) -> Any:
    try:
        from opentelemetry.metrics import get_meter
    except ImportError:
        return None
    meter = get_meter("tokenspot_client", meter_provider=provider)
    return meter.create_histogram(
        NAME,
        unit="{token}",
        description="Tokens of a request, as they may be billed.",
        explicit_bucket_boundaries_advisory=BOUNDARIES,
    )
