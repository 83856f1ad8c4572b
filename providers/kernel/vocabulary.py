"""The words that a pool may use of itself."""

from __future__ import annotations

from collections.abc import Mapping

from market.kernel.orders import DATA_TERMS

__all__ = ["DATA_TERMS", "REGIONS", "VENDORS", "known_formats"]

VENDORS = (
    "nvidia",
    "huawei",
    "amd",
    "cambricon",
    "hygon",
    "kunlunxin",
    "metax",
    "moore-threads",
    "iluvatar",
    "enflame",
    "biren",
    "intel",
    "other",
)
REGIONS = ("cn-north", "cn-east", "cn-south", "cn-central", "cn-southwest", "cn-northwest", "cn-northeast")
# From the finest: a deployment may serve a finer format than the line's contract, never a coarser one.
_FORMATS: Mapping[str, int] = {"fp32": 0, "bf16": 1, "fp16": 1, "fp8": 2, "int8": 2, "fp4": 3, "4bit": 3}


def known_formats() -> tuple[str, ...]:
    """Formats that a deployment may serve."""
    return tuple(_FORMATS)


def serves_contract(served: str, contracted: str) -> bool:
    """Whether a served format is at least as good as the contracted one. An unknown word is only equal to itself."""
    if served == contracted:
        return True
    return served in _FORMATS and contracted in _FORMATS and _FORMATS[served] <= _FORMATS[contracted]
