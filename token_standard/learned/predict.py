"""What a deployment does under a load: seconds per token, seconds to the first, standard tokens per second."""

from dataclasses import dataclass
from fractions import Fraction

from token_standard import usage
from token_standard.architecture import Architecture
from token_standard.cards import Card, Format
from token_standard.learned import estimator
from token_standard.learned.calibration import Calibration
from token_standard.learned.estimator import CostModel
from token_standard.learned.terms import Deployment, Load


@dataclass(frozen=True)
class Prediction:
    """Times in seconds; ``low`` and ``high`` hold 90 % of measured ``seconds_per_token``.

    ``st_per_second`` is what the whole deployment delivers by the card of the model in the served format, before any
    correction of the card. ``outside`` names what was never measured (model, device, format, engine, load, output) or
    cannot be (memory); the method is then physics alone, or for the first token of a model or device that was never
    measured, ``unnamed``: physics with what all of them have in common.
    """

    seconds_per_token: float
    low: float
    high: float
    ttft: float
    ttft_low: float
    ttft_high: float
    st_per_second: float
    method: str
    ttft_method: str
    outside: tuple[str, ...]


def predict(
    deployment: Deployment,
    shape: Architecture,
    load: Load,
    *,
    model: CostModel | None = None,
    per_token: Calibration | None = None,
    first_token: Calibration | None = None,
) -> Prediction:
    """Estimate a load of a deployment. ``per_token`` and ``first_token`` are what was measured there, if anything."""
    model = model or estimator.shipped()
    token = model.decode(deployment, shape, load, per_token)
    first = model.prefill(deployment, shape, load, first_token)
    seconds = first.seconds + load.output * token.seconds
    return Prediction(
        seconds_per_token=token.seconds,
        low=token.low,
        high=token.high,
        ttft=first.seconds,
        ttft_low=first.low,
        ttft_high=first.high,
        st_per_second=load.concurrency * request_st(deployment, shape, load) / seconds,
        method=token.method,
        ttft_method=first.method,
        outside=token.outside,
    )


def request_st(deployment: Deployment, shape: Architecture, load: Load) -> float:
    """Standard tokens of one request of this load, without corrections and without a prefix cache."""
    served = deployment.format
    form = Format(served.name, Fraction(served.pi), Fraction(served.w), Fraction(served.v))
    card = Card(model="estimate", architecture=shape, format=form)
    return float(usage.st(card, n=round(load.input), c=0, g=max(1, round(load.output))))
