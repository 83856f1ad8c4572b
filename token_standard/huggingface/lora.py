"""LoRA adapters: two thin matrices beside each adapted one, which every token passes through."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from token_standard.architecture import Architecture, GroupedAttention
from token_standard.huggingface.fields import Fields, InvalidConfig

HIGHEST_RANK = 10**5
_ALL = "all-linear"


def with_adapter(shape: Architecture, plain: Mapping[str, Any]) -> Architecture:
    """The structure with the adapter that ``adapter_config.json`` describes: r · (d_in + d_out) elements a matrix.

    :raises InvalidConfig: another kind of adapter, a rank that cannot be, or a module that this structure has not.
    """
    if plain.get("peft_type") != "LORA":
        raise InvalidConfig(f"must be LORA, not {plain.get('peft_type')!r}", field="peft_type")
    if shape.linear:  # their matrices share names with others of another size
        raise InvalidConfig("is not counted yet for a model with linear attention", field="target_modules")
    for name in ("rank_pattern", "target_parameters"):
        if plain.get(name):
            raise InvalidConfig("is not counted yet", field=name)
    fields = Fields(plain)
    rank = fields.integer("r", highest=HIGHEST_RANK)
    layers = shape.layers
    chosen = fields.value("layers_to_transform")
    if type(chosen) is int:
        layers = 1
    elif chosen is not None:
        layers = len(set(fields.integers("layers_to_transform", highest=shape.layers - 1)))
        if not layers:
            raise InvalidConfig("names no layer", field="layers_to_transform")
    matrices = _matrices(shape)
    sides = sum(sum(matrices[module]) for module in _modules(plain.get("target_modules"), matrices))
    return replace(shape, adapter_weights=shape.adapter_weights + layers * rank * sides)


def _modules(given: object, matrices: Mapping[str, tuple[int, int]]) -> list[str]:
    if given == _ALL:
        return list(matrices)
    if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
        raise InvalidConfig(f"must be a list of names, or {_ALL!r}", field="target_modules")
    names = sorted({re.sub(r".*\.", "", each) for each in given})
    for name in names:
        if name not in matrices:
            known = ", ".join(matrices)
            raise InvalidConfig(
                f"has {name!r}, which is not counted for this model; known: {known}", field="target_modules"
            )
    return names


def _matrices(shape: Architecture) -> dict[str, tuple[int, int]]:
    """Input and output size of the matrices of a layer that adapters go with."""
    each, hidden = shape.attention, shape.hidden
    if isinstance(each, GroupedAttention):
        queries, keys = each.heads * each.head_dim, each.kv_heads * each.head_dim
        known = {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
        }
    else:
        queries = each.heads * (each.nope_dim + each.rope_dim)
        known = {
            "kv_a_proj_with_mqa": (hidden, each.kv_rank + each.rope_dim),
            "kv_b_proj": (each.kv_rank, each.heads * (each.nope_dim + each.value_dim)),
            "o_proj": (each.heads * each.value_dim, hidden),
        }
        known |= (
            {"q_a_proj": (hidden, each.q_rank), "q_b_proj": (each.q_rank, queries)}
            if each.q_rank
            else {"q_proj": (hidden, queries)}
        )
    if shape.experts is None and shape.gated:  # in a model with experts these names mean many matrices
        known |= dict.fromkeys(("gate_proj", "up_proj"), (hidden, shape.intermediate))
        known["down_proj"] = (shape.intermediate, hidden)
    return known
