"""Number formats: by name, and as ``quantization_config`` says it."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from token_standard.cards import Format, published_format
from token_standard.huggingface.fields import Fields, InvalidConfig
from token_standard.version import CURRENT, Version

UNQUANTISED = "fp16"

# name: (compute, weights, key/value elements), in the version's words; weight-only formats compute in 16 bits.
_MIXED = {
    "fp8-kv16": ("fp8", "fp8", "fp16"),
    "int8-kv16": ("int8", "int8", "fp16"),
    "fp4-kv16": ("fp4", "4bit", "fp16"),
    "w8a16": ("fp16", "int8", "fp16"),
    "w4a16": ("fp16", "4bit", "fp16"),
    "w8a16-kv8": ("fp16", "int8", "fp8"),
    "w4a16-kv8": ("fp16", "4bit", "fp8"),
    "w4a8": ("fp8", "4bit", "fp16"),
    "w4a8-kv8": ("fp8", "4bit", "fp8"),
    "fp4": ("fp4", "4bit", "fp8"),
}
NAMES = ("fp16", "bf16", "fp8", "int8", *_MIXED)


def named_format(name: str, version: Version = CURRENT) -> Format:
    """The format of this name: ``fp16``, ``fp8`` (weights, cache and arithmetic), ``w4a16`` (weights only) and so on.

    :raises InvalidConfig: no such name.
    """
    if name in _MIXED:
        compute, weights, cache = _MIXED[name]
        pi = Fraction(version.compute_discount[compute])
        return Format(name=name, pi=pi, w=version.storage_bytes[weights], v=version.storage_bytes[cache])
    if name not in NAMES:
        raise InvalidConfig(f"{name!r} is not known; known: {', '.join(NAMES)}", field="format")
    return published_format(name, version)


def format_name(plain: Mapping[str, Any]) -> str:
    """The name of the format that a configuration's ``quantization_config`` describes; fp16 without one.

    :raises InvalidConfig: a method, or a number of bits, whose figures are not published.
    """
    quantised = plain.get("quantization_config", plain.get("compression_config"))
    if quantised is None:
        return UNQUANTISED
    if not isinstance(quantised, dict):
        raise InvalidConfig("must be an object", field="quantization_config")
    method = quantised.get("quant_method", "compressed-tensors" if "config_groups" in quantised else None)
    if method == "fp8":
        return "fp8-kv16"
    if method == "mxfp4":
        return "w4a16"
    if method in {"awq", "gptq"}:
        return _weight_only(Fields(quantised).integer("bits", highest=16), "quantization_config.bits")
    if method == "bitsandbytes":
        four, eight = quantised.get("load_in_4bit") is True, quantised.get("load_in_8bit") is True
        if four == eight:
            raise InvalidConfig("must set one of load_in_4bit and load_in_8bit", field="quantization_config")
        return "w4a16" if four else "w8a16"
    if method == "compressed-tensors":
        return _compressed(quantised)
    raise InvalidConfig(f"{method!r} is not known", field="quantization_config.quant_method")


def _compressed(quantised: Mapping[str, Any]) -> str:
    groups = quantised.get("config_groups")
    if not isinstance(groups, dict) or not groups or not all(isinstance(group, dict) for group in groups.values()):
        raise InvalidConfig("must be an object of groups", field="quantization_config.config_groups")
    names = {_group(group) for group in groups.values()}
    if len(names) != 1:
        raise InvalidConfig("must be quantised alike", field="quantization_config.config_groups")
    (name,) = names
    cache = quantised.get("kv_cache_scheme")
    if cache is None:
        return name
    if not isinstance(cache, dict) or cache.get("num_bits") != 8:
        raise InvalidConfig("must be of 8 bits, or null", field="quantization_config.kv_cache_scheme")
    short = {"fp8-kv16": "fp8", "int8-kv16": "int8", "fp4-kv16": "fp4"}
    return short.get(name) or f"{name}-kv8"


def _group(group: Mapping[str, Any]) -> str:
    weights, activations = group.get("weights"), group.get("input_activations")
    if not isinstance(weights, dict):
        raise InvalidConfig("is missing", field="quantization_config.config_groups.weights")
    bits = Fields(weights).integer("num_bits", highest=16)
    if activations is None:
        return _weight_only(bits, "quantization_config.config_groups.weights.num_bits")
    if not isinstance(activations, dict):
        raise InvalidConfig("must be an object", field="quantization_config.config_groups.input_activations")
    inputs = Fields(activations).integer("num_bits", highest=16)
    kind = activations.get("type")
    if (bits, inputs) == (8, 8) and kind in {"float", "int"}:
        return "fp8-kv16" if kind == "float" else "int8-kv16"
    if (bits, inputs, kind) == (4, 4, "float"):
        return "fp4-kv16"
    if (bits, inputs) == (4, 8):
        return "w4a8"
    raise InvalidConfig(
        f"has no published figures: weights of {bits}, inputs of {inputs} bits, {kind}",
        field="quantization_config.config_groups",
    )


def _weight_only(bits: int, field: str) -> str:
    if bits not in {4, 8}:
        raise InvalidConfig(f"must be 4 or 8, not {bits}", field=field)
    return f"w{bits}a16"
