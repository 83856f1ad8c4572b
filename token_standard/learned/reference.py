"""What the cost model says of a device for two reference loads, or why it says nothing.

Outside of the measured devices the model falls back to physics alone; a range is then withheld here, since a page that
compares devices would read it as if it were as good as the others.
"""

from dataclasses import dataclass

from token_standard import devices as catalogue
from token_standard.learned.devices import of_catalogue
from token_standard.learned.formats import served_format
from token_standard.learned.predict import predict
from token_standard.learned.prefer import Candidate, Range, request_seconds, throughput
from token_standard.learned.shapes import shape
from token_standard.learned.terms import PLAIN_ENGINE, Deployment, Load

FIGURES = "figures"  # what is outside where 16-bit peak, bandwidth or memory is not known
STACK = "stack"  # the same for other software than what was measured
MEASURED_STACK = "CUDA"


@dataclass(frozen=True)
class Reference:
    """A model, its deployment and a load, the same for every device."""

    model: str
    format: str
    tensor_parallel: int
    engine: str
    load: Load


SERVED = Reference("llama-3-8b", "fp16", 1, "vllm", Load(64, 1536, 1024))  # 2,048 positions in the mean
STATIC = Reference("llama-2-70b", "fp16", 8, PLAIN_ENGINE, Load(16, 1024, 512, static=True))
REFERENCES = (SERVED, STATIC)


@dataclass(frozen=True)
class Expected:
    """``st_per_second`` of the whole deployment with bounds, None where ``outside`` says what was never measured."""

    reference: Reference
    st_per_second: Range | None
    outside: tuple[str, ...]


def expected(listed: catalogue.Device) -> tuple[Expected, ...]:
    """What a device of the catalogue would deliver, one for each reference."""
    return tuple(_expected(listed, reference) for reference in REFERENCES)


def _expected(listed: catalogue.Device, reference: Reference) -> Expected:
    own = of_catalogue(listed)
    if own is None:
        return Expected(reference, None, (FIGURES,))
    if listed.stack != MEASURED_STACK:
        return Expected(reference, None, (STACK,))
    tp = reference.tensor_parallel
    deployment = Deployment(own, served_format(reference.format), tp, tp, reference.engine)
    candidate = Candidate(listed.name, deployment, shape(reference.model))
    said = predict(deployment, candidate.shape, reference.load)
    if said.outside:
        return Expected(reference, None, said.outside)
    return Expected(reference, throughput(candidate, reference.load, request_seconds(said, reference.load)), ())
