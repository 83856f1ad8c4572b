"""The words that a pool may use of itself, each with its names for people."""

from __future__ import annotations

from collections.abc import Mapping

VENDORS: Mapping[str, str] = {
    "nvidia": "NVIDIA",
    "huawei": "Huawei Ascend",
    "amd": "AMD",
    "cambricon": "Cambricon",
    "hygon": "Hygon",
    "kunlunxin": "Kunlunxin",
    "metax": "MetaX",
    "moore-threads": "Moore Threads",
    "iluvatar": "Iluvatar CoreX",
    "enflame": "Enflame",
    "biren": "Biren",
    "intel": "Intel",
    "other": "Other",
}
REGIONS: Mapping[str, str] = {
    "cn-north": "North China",
    "cn-east": "East China",
    "cn-south": "South China",
    "cn-central": "Central China",
    "cn-southwest": "Southwest China",
    "cn-northwest": "Northwest China",
    "cn-northeast": "Northeast China",
}
# Retention, training use, jurisdiction. The first is what buyers get unless they say otherwise.
DATA_TERMS: Mapping[str, str] = {
    "no-retention": "Nothing kept, no training, mainland",
    "retention-30d": "Kept up to 30 days against abuse, no training, mainland",
    "unknown": "Not declared (counts as the worst)",
}

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
