"""Ratings as the pages show them: speeds with their error bands, states, and the command that rates again."""

from __future__ import annotations

import shlex
from typing import Any

from django.utils.translation import gettext as _

from accounts.kernel import formats, ids
from providers.kernel import ratings as rules
from providers.selectors import DeploymentView, Rate, RatingDetail, RatingView, RunView, Standing
from providers.web import labels
from token_standard.catalogue import card_by_digest
from token_standard.figures import decimal

_DIGITS = 4  # of a speed; its error band is wider than what more would say
_BPS_DIGITS = 2


def standing(deployment: DeploymentView, found: Standing) -> dict[str, Any]:
    """How a deployment is rated: ST/s of all its devices, each with its band."""
    view = found.rating
    shown: dict[str, Any] = {
        "state": found.state.value,
        "chip": labels.RATING_CHIPS[found.state.value],
        "rating": view,
        "over": found.supported is False,
        "over_text": _over(deployment, found),
        "why": _why(found),
        "command": command(deployment),
        "check": command(deployment, check=True),
    }
    if view:
        shown |= _rates(view, deployment.device_count)
    return shown


def history(found: RatingDetail) -> dict[str, Any]:
    """One rating of a deployment's history, of one device, with its runs."""
    view = found.rating
    return {
        "view": view,
        "public_id": ids.encode("rtg", view.id),
        "chip": labels.RATING_CHIPS[found.state.value],
        "engine": " ".join(part for part in (view.setup.engine, view.setup.engine_version) if part),
        "how": labels.RATED_HOW.get(view.how, view.how),
        "separation": formats.scaled(view.separation_bps, _BPS_DIGITS),
        "residual": formats.scaled(view.residual_bps, _BPS_DIGITS),
        "runs": [_run(run) for run in found.runs],
        **_rates(view, 1),
    }


def command(deployment: DeploymentView, *, check: bool = False) -> str:
    """What a provider runs beside the engine to rate it, or to check its rating."""
    card = card_by_digest(deployment.card_digest)
    words = [
        "tokenspot",
        "agent",
        "calibrate",
        "--endpoint",
        deployment.endpoint_url,
        "--model",
        deployment.engine_model,
    ]
    words += ["--card", f"{card.model}/{card.format.name}", "--devices", str(deployment.device_count)]
    words += ["--deployment", ids.encode("dep", deployment.id), "--check" if check else "--submit"]
    return shlex.join(words)


def rate_text(micro: int | None) -> str:
    """A speed in ST/s with four digits, from micro-ST/s."""
    if micro is None:
        return formats.NOTHING
    places = 0
    while micro and micro * 10**places < rules.MICRO * 10 ** (_DIGITS - 1) and places < _DIGITS + 2:
        places += 1
    rounded = round(micro * 10**places / rules.MICRO)
    return formats.scaled(rounded, places)


def _rates(view: RatingView, devices: int) -> dict[str, Any]:
    return {name: _rate(getattr(view, name).of(devices)) for name in ("compute", "memory", "blended")}


def _rate(rate: Rate) -> dict[str, str]:
    if rate.point is None:
        return {"value": _("no bound"), "band": _("from %(low)s") % {"low": rate_text(rate.low)}}
    if rate.high is None:
        return {"value": rate_text(rate.point), "band": _("from %(low)s") % {"low": rate_text(rate.low)}}
    return {"value": rate_text(rate.point), "band": f"{rate_text(rate.low)}–{rate_text(rate.high)}"}


def _run(run: RunView) -> dict[str, Any]:
    return {
        "shape": f"{run.prompt_tokens}/{run.max_tokens}",
        "view": run,
        "windows": len(run.windows),
        "prompt": run.uncached_tokens + run.cached_tokens,
        "seconds": _seconds(run.micro_seconds),
    }


def _seconds(micro_seconds: int) -> str:
    return formats.scaled(round(micro_seconds / 10**5), 1)


def _over(deployment: DeploymentView, found: Standing) -> str:
    if found.supported is not False or found.rating is None:
        return ""
    high = found.rating.blended.of(deployment.device_count).high
    return _("Declared are %(declared)s ST/s; its rating allows %(high)s at most.") % {
        "declared": formats.tokens_exact(deployment.rate_st_per_second),
        "high": rate_text(high),
    }


def _why(found: Standing) -> str:
    """One sentence on a state that asks for something."""
    if found.state is rules.State.DRIFTING and found.drift and found.drift.ratio is not None:
        return _("The last %(n)d requests took %(ratio)s times what the rating says. Rate it again.") % {
            "n": found.drift.requests,
            "ratio": decimal(found.drift.ratio, 2),
        }
    if found.state is rules.State.CHANGED:
        return _("Not as it was rated any more: %(what)s. Rate it again.") % {
            "what": labels.SETUP.get(found.changed, found.changed)
        }
    return str(labels.RATING_STATES.get(found.state.value, ""))
