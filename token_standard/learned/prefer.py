"""Which of several deployments to prefer for a load: seconds of a request and ST/s, with intervals, ranked.

    ranked = prefer(
        [
            Candidate("pool-a", Deployment(device("h100"), served_format("fp8"), 4, engine="vllm"), shape("llama-3-70b")),
            Candidate("pool-b", Deployment(device("a100"), served_format("fp16"), 4, engine="vllm"), shape("llama-3-70b")),
        ],
        Load(32, 1024, 512),
    )
    ranked[0].name  # the one to prefer; ranked[1].close says whether the model can tell it from the first

Quotes and ranks only; no bill depends on it. Without Django, numpy or scikit-learn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from token_standard.architecture import Architecture
from token_standard.learned.calibration import Calibration
from token_standard.learned.predict import Prediction, predict, request_st
from token_standard.learned.terms import Deployment, InvalidDeployment, Load

Aim = Literal["seconds", "st_per_second"]

SECONDS: Aim = "seconds"
THROUGHPUT: Aim = "st_per_second"
AIMS: tuple[Aim, ...] = (SECONDS, THROUGHPUT)
MEMORY = "memory"


@dataclass(frozen=True)
class Range:
    """An estimate and the bounds that hold 90 % of measurements of each of its parts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """A deployment under a name of the caller's, such as a pool's id, with the structure of its model."""

    name: str
    deployment: Deployment
    shape: Architecture


@dataclass(frozen=True)
class Preference:
    """A candidate in the ranking, ``rank`` from 1.

    ``seconds`` of one request, first token included; ``st_per_second`` of the whole deployment by the card of the
    model in the served format. ``usable`` is false where weights or sequences have no room. ``close``: its interval
    reaches the best one's, so the model does not tell the two apart. ``outside`` names what was never measured.
    """

    rank: int
    name: str
    seconds: Range
    st_per_second: Range
    usable: bool
    close: bool
    outside: tuple[str, ...]
    method: str


def prefer(
    candidates: Sequence[Candidate],
    load: Load,
    *,
    aim: Aim = SECONDS,
    calibrations: Mapping[str, tuple[Calibration | None, Calibration | None]] | None = None,
) -> tuple[Preference, ...]:
    """The candidates, best first: fewest seconds for a request, or most ST/s; those without room last.

    ``calibrations`` by name: of seconds per token and to the first token. Equal ones stay in order of their names.

    :raises InvalidDeployment: no candidate, or a name twice.
    """
    if not candidates:
        raise InvalidDeployment("there is no deployment to choose from")
    if len({each.name for each in candidates}) != len(candidates):
        raise InvalidDeployment("two deployments have the same name")
    known = calibrations or {}
    found = []
    for each in candidates:
        per_token, first_token = known.get(each.name, (None, None))
        prediction = predict(each.deployment, each.shape, load, per_token=per_token, first_token=first_token)
        seconds = request_seconds(prediction, load)
        found.append((each, prediction, seconds, throughput(each, load, seconds)))
    found.sort(key=lambda one: (MEMORY in one[1].outside, _cost(aim, one[2], one[3]), one[0].name))
    best = found[0]
    return tuple(
        Preference(
            rank=rank,
            name=each.name,
            seconds=seconds,
            st_per_second=rate,
            usable=MEMORY not in prediction.outside,
            close=_reaches(aim, (seconds, rate), best[2:]),
            outside=prediction.outside,
            method=prediction.method,
        )
        for rank, (each, prediction, seconds, rate) in enumerate(found, start=1)
    )


def request_seconds(prediction: Prediction, load: Load) -> Range:
    """Seconds of one request: to the first token, and for each generated one. Bounds are the sums of the bounds."""
    return Range(
        prediction.ttft + load.output * prediction.seconds_per_token,
        prediction.ttft_low + load.output * prediction.low,
        prediction.ttft_high + load.output * prediction.high,
    )


def throughput(candidate: Candidate, load: Load, seconds: Range) -> Range:
    """Standard tokens a second of the whole deployment while it serves the load."""
    st = load.concurrency * request_st(candidate.deployment, candidate.shape, load)
    return Range(st / seconds.value, st / seconds.high, st / seconds.low)


def _cost(aim: Aim, seconds: Range, rate: Range) -> float:
    return seconds.value if aim == SECONDS else -rate.value


def _reaches(aim: Aim, mine: Sequence[Range], best: Sequence[Range]) -> bool:
    """Whether this interval overlaps the best one's in what is aimed at."""
    at = AIMS.index(aim)
    return mine[at].low <= best[at].high and best[at].low <= mine[at].high
