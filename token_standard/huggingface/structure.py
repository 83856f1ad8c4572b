"""The structural integers of a model out of its ``config.json``."""

import re
from collections.abc import Mapping
from typing import Any

from token_standard.architecture import (
    Architecture,
    Experts,
    GroupedAttention,
    InvalidArchitecture,
    LatentAttention,
    LinearAttention,
    Sparse,
    Window,
)
from token_standard.huggingface.families import FAMILIES, GENERIC, KNOWN_KEYS, LINEAR_KEYS, Family
from token_standard.huggingface.fields import Fields, InvalidConfig

MOST_LAYERS = 2_000
MOST_HEADS = 10**5
MOST_EXPERTS = 10**5

_SHAPES = re.compile(
    r"expert|moe|heads?$|layers?$|_dim$|_rank$|window|top_?k|ssm|mamba|linear_|index_|conv_|state|ffn|intermediate"
)
_COUNTED_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
_LINEAR = "linear_attention"


def architecture(plain: Mapping[str, Any]) -> Architecture:
    """The structure of the language model that ``plain`` (the innermost object) describes.

    :raises InvalidConfig: a field that is missing, impossible, or that changes the structure in a way not known here.
    """
    model_type = plain.get("model_type")
    if model_type is not None and not isinstance(model_type, str):
        raise InvalidConfig(f"must be text, not {model_type!r}", field="model_type")
    family = FAMILIES.get(model_type or "", GENERIC)
    _refuse_unknown(plain, model_type, family, known=model_type in FAMILIES)
    fields = Fields(plain, family.names)
    layers = fields.integer("num_hidden_layers", highest=MOST_LAYERS)
    experts = _experts(fields, family, layers)
    hidden = fields.integer("hidden_size")
    try:
        return Architecture(
            layers=layers,
            hidden=hidden,
            vocabulary=fields.integer("vocab_size"),
            attention=_attention(fields, family, hidden),
            intermediate=_intermediate(fields, family, experts, layers, hidden),
            gated=family.gated,
            experts=experts,
            windows=() if "index_topk" in fields else _windows(fields, family, layers),
            sparse=_sparse(fields),
            linear=_linear(fields, family, layers, hidden),
        )
    except InvalidArchitecture as error:
        raise InvalidConfig(str(error)) from error


def _refuse_unknown(plain: Mapping[str, Any], model_type: str | None, family: Family, *, known: bool) -> None:
    """A field we do not know may double a token's cost. Of a known type only those whose name says shape are looked at."""
    read = KNOWN_KEYS | LINEAR_KEYS if family.linear else KNOWN_KEYS
    for name, value in plain.items():
        if name in read or value is None or value in ([], {}, 0, False):
            continue
        shaped = bool(_SHAPES.search(name)) and not isinstance(value, (float, str))
        if shaped or (not known and isinstance(value, (list, dict, int)) and not isinstance(value, bool)):
            raise InvalidConfig(f"is not known, and model type {model_type!r} may mean structure by it", field=name)


def _attention(fields: Fields, family: Family, hidden: int) -> GroupedAttention | LatentAttention:
    heads = fields.integer("num_attention_heads", highest=MOST_HEADS)
    if "kv_lora_rank" in fields:
        if not fields.has_key("q_lora_rank"):
            raise InvalidConfig("is missing (null where queries are not compressed)", field="q_lora_rank")
        return LatentAttention(
            heads=heads,
            q_rank=fields.integer("q_lora_rank") if "q_lora_rank" in fields else 0,
            kv_rank=fields.integer("kv_lora_rank"),
            nope_dim=fields.integer("qk_nope_head_dim"),
            rope_dim=fields.integer("qk_rope_head_dim"),
            value_dim=fields.integer("v_head_dim"),
        )
    kv_heads = fields.integer("num_key_value_heads", default=family.kv_heads or heads, highest=MOST_HEADS)
    if fields.value("multi_query_attention") is False:
        kv_heads = heads
    if heads % kv_heads:
        raise InvalidConfig(f"must divide the {heads} heads, not {kv_heads}", field="num_key_value_heads")
    return GroupedAttention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(fields, family, heads, hidden),
        output_gate=bool(family.linear) and fields.flag("attn_output_gate", default=family.output_gate),
    )


def _head_dim(fields: Fields, family: Family, heads: int, hidden: int) -> int:
    if "head_dim" in fields or family.head_dim:
        return fields.integer("head_dim", default=family.head_dim)
    if hidden % heads:
        raise InvalidConfig(f"is missing, and {hidden} hidden / {heads} heads is not whole", field="head_dim")
    return hidden // heads


def _linear(fields: Fields, family: Family, layers: int, hidden: int) -> LinearAttention | None:
    """The layers with a state of fixed size; none where the family has no such layers, or the file lists none."""
    if family.linear is None:
        return None
    count, field = _linear_layers(fields, family, layers)
    if not count:
        return None
    if count == layers:
        raise InvalidConfig("leaves no layer with keys and values, and only hybrid models are counted", field=field)
    if family.linear == "lightning":  # as many heads as the other layers have, of their size, none of them grouped
        heads = fields.integer("num_attention_heads", highest=MOST_HEADS)
        size = _head_dim(fields, family, heads, hidden)
        return LinearAttention(count, heads, heads, size, size, "lightning")
    return LinearAttention(
        layers=count,
        key_heads=fields.integer("linear_num_key_heads", highest=MOST_HEADS),
        value_heads=fields.integer("linear_num_value_heads", highest=MOST_HEADS),
        key_dim=fields.integer("linear_key_head_dim"),
        value_dim=fields.integer("linear_value_head_dim"),
        kind="gated_delta",
        convolution=fields.integer("linear_conv_kernel_dim", highest=MOST_LAYERS),
    )


def _linear_layers(fields: Fields, family: Family, layers: int) -> tuple[int, str]:
    """How many layers have linear attention, and the field that says so."""
    if "layer_types" in fields:
        return _layer_types(fields, family, layers).count(_LINEAR), "layer_types"
    if family.linear == "lightning":
        kinds = fields.integers("attn_type_list", highest=1)  # 0 is lightning, 1 full attention
        if len(kinds) != layers:
            raise InvalidConfig(f"must be a list of {layers}, one for each layer", field="attn_type_list")
        return kinds.count(0), "attn_type_list"
    every = fields.integer("full_attention_interval", default=family.interval, highest=MOST_LAYERS)
    return layers - layers // every, "full_attention_interval"


def _experts(fields: Fields, family: Family, layers: int) -> Experts | None:
    counted = [name for name in ("n_routed_experts", "num_local_experts", "num_experts") if fields.value(name)]
    if not counted:
        return None
    if len(counted) > 1:
        raise InvalidConfig(f"stands beside {counted[1]}: which is it?", field=counted[0])
    (name,) = counted
    intermediate = fields.integer(family.experts_as_wide_as)
    with_experts = _expert_layers(fields, family, layers)
    if not with_experts:
        raise InvalidConfig("is above zero, but no layer has experts", field=name)
    count = fields.integer(name, highest=MOST_EXPERTS)
    return Experts(
        layers=with_experts,
        count=count,
        top_k=fields.integer("num_experts_per_tok", highest=count),
        intermediate=intermediate,
        shared=_shared(fields, family, intermediate),
    )


def _expert_layers(fields: Fields, family: Family, layers: int) -> int:
    if family.llama4:
        if "moe_layers" in fields:
            return len(set(fields.integers("moe_layers", highest=layers - 1)))
        return layers // fields.integer("interleave_moe_layer_step", default=1, highest=layers)
    first = fields.integer("first_k_dense_replace", default=family.first_dense, lowest=0, highest=layers)
    every = fields.integer("moe_layer_freq", default=1, highest=layers)
    step = fields.integer("decoder_sparse_step", default=1, highest=layers)
    plain = set(fields.integers("mlp_only_layers", highest=MOST_LAYERS))
    return sum(i >= first and i % every == 0 and (i + 1) % step == 0 and i not in plain for i in range(layers))


def _shared(fields: Fields, family: Family, intermediate: int) -> int:
    """Experts that every token passes through, in units of a routed one."""
    if family.llama4:
        return 1
    width = fields.integer("shared_expert_intermediate_size", default=0, lowest=0)
    if width % intermediate:
        raise InvalidConfig(
            f"must be a multiple of an expert's {intermediate}", field="shared_expert_intermediate_size"
        )
    return width // intermediate + fields.integer("n_shared_experts", default=0, lowest=0, highest=MOST_EXPERTS)


def _intermediate(fields: Fields, family: Family, experts: Experts | None, layers: int, hidden: int) -> int:
    if experts and experts.layers == layers:
        return 0
    if family.llama4 and experts:
        return fields.integer("intermediate_size_mlp")
    default = family.intermediate_per_hidden * hidden or None
    return fields.integer("intermediate_size", default=default)


def _sparse(fields: Fields) -> Sparse | None:
    if "index_topk" not in fields:
        return None
    return Sparse(
        top_k=fields.integer("index_topk"),
        index_heads=fields.integer("index_n_heads", highest=MOST_HEADS),
        index_dim=fields.integer("index_head_dim"),
    )


def _windows(fields: Fields, family: Family, layers: int) -> tuple[Window, ...]:
    kinds = _layer_types(fields, family, layers)
    if family.llama4:
        return _chunks(fields, kinds, layers)
    windowed = kinds.count("sliding_attention")
    if "chunked_attention" in kinds:
        raise InvalidConfig("has chunked attention, which is known for Llama 4 only", field="layer_types")
    off = family.windowed == "upper" or "use_sliding_window" in fields
    if off and not fields.flag("use_sliding_window", default=False):
        return ()
    default = None if fields.has_key("sliding_window") else family.window
    if "sliding_window" not in fields and default is None:
        if windowed:
            raise InvalidConfig("is missing, but layer_types has sliding attention", field="sliding_window")
        return ()
    width = fields.integer("sliding_window", default=default)
    count = windowed if kinds else _windowed(fields, family, layers)
    return (Window(layers=count, width=width),) if count else ()


def _windowed(fields: Fields, family: Family, layers: int) -> int:
    """How many layers a bare sliding_window is of."""
    for name in ("sliding_window_pattern", "_sliding_window_pattern"):
        if name in fields:
            return layers - layers // fields.integer(name, highest=MOST_LAYERS)
    if family.windowed == "by pattern":
        return layers - layers // family.pattern
    if family.windowed == "upper" or "max_window_layers" in fields:
        return layers - min(layers, fields.integer("max_window_layers", default=28, lowest=0, highest=MOST_LAYERS))
    return layers


def _layer_types(fields: Fields, family: Family, layers: int) -> list[str]:
    kinds = fields.value("layer_types")
    if kinds is None:
        return []
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise InvalidConfig(f"must be a list of {layers}, one for each layer", field="layer_types")
    for kind in kinds:
        counted = isinstance(kind, str) and (kind in _COUNTED_LAYERS or (kind == _LINEAR and family.linear))
        if not counted:
            raise InvalidConfig(f"has {kind!r}, which is not counted yet", field="layer_types")
    return kinds


def _chunks(fields: Fields, kinds: list[str], layers: int) -> tuple[Window, ...]:
    """Llama 4 cuts the context of its rotary layers into chunks. Counted as a window: at most that many positions."""
    if "attention_chunk_size" not in fields:
        return ()
    if kinds:
        count = kinds.count("chunked_attention")
    elif flags := fields.integers("no_rope_layers", highest=1):  # an empty list is read as none at all
        if len(flags) != layers:
            raise InvalidConfig(f"must be a list of {layers}, one for each layer", field="no_rope_layers")
        count = sum(flags)
    else:
        count = layers - layers // fields.integer("no_rope_layer_interval", default=4, highest=MOST_LAYERS)
    return (Window(layers=count, width=fields.integer("attention_chunk_size")),) if count else ()
