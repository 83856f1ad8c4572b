"""Versions of the standard token, as data.

A version fixes every constant that a conversion depends on. It never changes once published: a usage record names
the version it was valued under, and must give the same micro-ST for ever. A better set of constants is a new version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from token_standard.errors import TokenStandardError

MICRO = 10**6  # micro-ST in one ST: the scale in which usage is stored


class UnknownVersion(TokenStandardError):
    code = "unknown_version"


@dataclass(frozen=True)
class Version:
    """The constants of one version of the standard token.

    One ST is the resource cost of one output token of Llama-2-7B in fp16 that attends to ``reference_context``
    positions, decoded in a batch of ``dense_batch`` sequences on the reference device (A100-80GB SXM).
    """

    name: str
    flops_per_second: int  # usable compute of the reference device
    bytes_per_second: int  # usable memory bandwidth of the reference device
    dense_batch: int  # sequences that share one read of the dense weights while decoding
    expert_batch: int  # the same for routed experts, which expert-parallel servers batch across ranks
    prefill_chunk: int  # prompt tokens that share one read of all weights
    reference_context: int  # positions
    reference_flops: int  # FLOP of the reference token
    reference_bytes: int  # bytes moved for the reference token
    reference_seconds: Fraction  # = reference_flops / flops_per_second + reference_bytes / bytes_per_second
    compute_discount: Mapping[str, int]  # by compute format: divides the FLOPs of weight matrices, never attention's
    storage_bytes: Mapping[str, Fraction]  # by storage format: bytes of a weight, or of a key or value element

    @property
    def flops_per_st(self) -> Fraction:
        """FLOPs that cost 1 ST when nothing else is used."""
        return self.flops_per_second * self.reference_seconds

    @property
    def bytes_per_st(self) -> Fraction:
        """Bytes moved that cost 1 ST when nothing else is used."""
        return self.bytes_per_second * self.reference_seconds


ST_2026_1 = Version(
    name="ST-2026.1",
    flops_per_second=218_400_000_000_000,  # 0.70 of the 312 TFLOP/s dense fp16 peak: fits measured prefill
    bytes_per_second=1_631_200_000_000,  # 0.80 of 2.039 TB/s
    dense_batch=64,  # what fits in 80 GB at the reference context
    expert_batch=256,
    prefill_chunk=8192,
    reference_context=2048,
    reference_flops=14_287_896_576,
    reference_bytes=1_280_737_280,
    reference_seconds=Fraction(7_706_182_832, 9_060_009_765_625),
    compute_discount=MappingProxyType({"fp16": 1, "bf16": 1, "fp8": 2, "int8": 2, "fp4": 4}),
    storage_bytes=MappingProxyType(
        {
            "fp16": Fraction(2),
            "bf16": Fraction(2),
            "fp8": Fraction(1),
            "int8": Fraction(1),
            "4bit": Fraction(9, 16),  # half a byte and its share of the scales
        }
    ),
)

VERSIONS: Mapping[str, Version] = MappingProxyType({ST_2026_1.name: ST_2026_1})
CURRENT = ST_2026_1


def version(name: str) -> Version:
    """The version of this name.

    :raises UnknownVersion: no such version was ever published.
    """
    try:
        return VERSIONS[name]
    except KeyError:
        raise UnknownVersion(f"unknown version {name!r}; known: {', '.join(VERSIONS)}") from None
