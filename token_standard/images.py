"""Images in a request: their tokens are prompt tokens, and the encoder that makes them does work of its own.

    seconds of an image = (2 · N · p + 4 · d · L · p²) / P

with N weights of the encoder, width d, L layers, p patches, P the usable compute of the reference device. An encoder is
read once for many images, so its bytes are left out. Cards do not hold an encoder: its part is an estimate beside a
bill, never in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from token_standard.errors import TokenStandardError
from token_standard.version import CURRENT, Version

PROJECTIONS = 4  # of a layer's attention: query, key, value, output
FLOPS_PER_WEIGHT = 2
ATTENTION_FLOPS = 4  # per (patch, patch) pair and unit of width: scores, and values; all patches see all


class InvalidImage(TokenStandardError):
    code = "invalid_image"


@dataclass(frozen=True)
class Encoder:
    """A vision transformer: ``weights`` of its matrices, width and layers.

    :raises InvalidImage: a number below one.
    """

    weights: int
    hidden: int
    layers: int

    def __post_init__(self) -> None:
        if min(self.weights, self.hidden, self.layers) < 1:
            raise InvalidImage("an encoder has weights, width and layers of at least 1")

    def flops(self, patches: int) -> int:
        """FLOP of one image.

        :raises InvalidImage: no patch.
        """
        if patches < 1:
            raise InvalidImage("an image has at least one patch")
        return FLOPS_PER_WEIGHT * self.weights * patches + ATTENTION_FLOPS * self.hidden * self.layers * patches**2


@dataclass(frozen=True)
class Image:
    """``patches`` that the encoder sees and ``tokens`` that the model gets, fewer where patches are merged."""

    patches: int
    tokens: int


def encoder_of(*, hidden: int, intermediate: int, layers: int, gated: bool = False) -> Encoder:
    """A plain vision transformer by its configuration; embeddings and the projector are left out."""
    matrices = 3 if gated else 2
    return Encoder(layers * (PROJECTIONS * hidden**2 + matrices * hidden * intermediate), hidden, layers)


def prompt_tokens(text: int, images: Sequence[Image]) -> int:
    """Prompt tokens of a request: of its text, and of its images."""
    return text + sum(each.tokens for each in images)


def encoder_st(encoder: Encoder, images: Sequence[Image], version: Version = CURRENT) -> Fraction:
    """Standard tokens of encoding the images, each on its own."""
    return sum((encoder.flops(each.patches) for each in images), 0) / version.flops_per_st
