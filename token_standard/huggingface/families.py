"""What the model types of ``config.json`` leave unsaid: the defaults of the classes that read it, and other spellings.

Source: the configuration classes of transformers. A field that stands in the file always wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

_GPT2 = {
    "hidden_size": ("n_embd",),
    "num_hidden_layers": ("n_layer",),
    "num_attention_heads": ("n_head",),
    "intermediate_size": ("n_inner",),
}
_CHATGLM = {
    "num_hidden_layers": ("num_layers",),
    "intermediate_size": ("ffn_hidden_size",),
    "num_key_value_heads": ("multi_query_group_num",),
    "head_dim": ("kv_channels",),
    "vocab_size": ("padded_vocab_size",),
}


@dataclass(frozen=True)
class Family:
    """One model type. ``None`` defaults follow the general rule: as many key/value heads as heads, hidden / heads."""

    kv_heads: int | None = None
    head_dim: int | None = None
    gated: bool = True
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    intermediate_per_hidden: int = 0  # feed-forward width as a multiple of hidden, where none is given
    window: int | None = None  # sliding_window where the field is missing
    pattern: int = 0  # every how many layers one sees everything, where the file does not say
    windowed: Literal["all", "upper", "by pattern"] = "all"  # which layers a bare sliding_window is of
    experts_as_wide_as: str = "moe_intermediate_size"  # the field with one expert's width
    first_dense: int = 0  # first_k_dense_replace where the field is missing
    llama4: bool = False  # alternating experts with a width of their own, chunked attention
    linear: Literal["gated_delta", "lightning"] | None = None  # what its linear_attention layers are
    interval: int = 0  # every how many layers one is full attention, where the file does not say; 0: it must
    output_gate: bool = False  # attn_output_gate where the field is missing


_EXPERTS_IN_FULL = "intermediate_size"

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        **dict.fromkeys(
            ("llama", "olmo", "olmo2", "granite", "internlm2", "internlm3", "baichuan", "minicpm", "stablelm",
             "smollm3", "exaone4", "cohere", "phi3", "seed_oss"),
            Family(),
        ),
        "mistral": Family(kv_heads=8, window=4096),
        "mixtral": Family(kv_heads=8, experts_as_wide_as=_EXPERTS_IN_FULL),
        "phimoe": Family(experts_as_wide_as=_EXPERTS_IN_FULL),
        "olmoe": Family(experts_as_wide_as=_EXPERTS_IN_FULL),
        "qwen2": Family(kv_heads=32, windowed="upper"),
        "qwen2_moe": Family(kv_heads=16, windowed="upper"),
        "qwen3": Family(kv_heads=32, head_dim=128, windowed="upper"),
        "qwen3_moe": Family(kv_heads=4, windowed="upper"),
        "gemma": Family(kv_heads=16, head_dim=256),
        "gemma2": Family(kv_heads=4, head_dim=256, window=4096, pattern=2, windowed="by pattern"),
        "gemma3_text": Family(kv_heads=4, head_dim=256, window=4096, pattern=6, windowed="by pattern"),
        "cohere2": Family(window=4096, pattern=4, windowed="by pattern"),
        "glm": Family(kv_heads=2, head_dim=128),
        "glm4": Family(kv_heads=2, head_dim=128),
        "chatglm": Family(names=_CHATGLM),
        "glm4_moe": Family(kv_heads=8, first_dense=1),
        "glm_moe_dsa": Family(first_dense=3),
        "deepseek_v2": Family(),
        "deepseek_v3": Family(first_dense=3),
        "deepseek_v32": Family(first_dense=3),
        "kimi_k2": Family(first_dense=3),
        "gpt_oss": Family(
            kv_heads=8, head_dim=64, window=128, pattern=2, windowed="by pattern", experts_as_wide_as=_EXPERTS_IN_FULL,
            names={"num_experts_per_tok": ("experts_per_token",)},
        ),
        "llama4_text": Family(kv_heads=8, head_dim=128, experts_as_wide_as=_EXPERTS_IN_FULL, llama4=True),
        "qwen3_next": Family(kv_heads=2, head_dim=256, linear="gated_delta", interval=4, output_gate=True),
        **dict.fromkeys(
            ("qwen3_5_text", "qwen3_5_moe_text"), Family(linear="gated_delta", interval=4, output_gate=True)
        ),
        **dict.fromkeys(
            ("minimax", "minimax_text_01", "minimax_m1", "MiniMaxM1"),
            Family(kv_heads=8, experts_as_wide_as=_EXPERTS_IN_FULL, linear="lightning"),
        ),
        "gpt2": Family(gated=False, names=_GPT2, intermediate_per_hidden=4),
        "gpt_neox": Family(gated=False),
        "opt": Family(gated=False, names={"intermediate_size": ("ffn_dim",)}),
        "phi": Family(gated=False),
        "nemotron": Family(gated=False),
        "starcoder2": Family(gated=False, kv_heads=2),
    }
)  # fmt: skip
GENERIC = Family()

# Where a multimodal configuration keeps its language model.
NESTED = ("text_config", "llm_config", "language_config")

# Everything that is read here, and everything that is known to leave the cost of a token alone.
KNOWN_KEYS = frozenset(
    """
    adapter_config add_bias add_cross_attention architectures attention_bias attention_chunk_size attention_dropout
    attn_logit_softcapping attn_pdrop attn_temperature_tuning aux_loss_alpha auto_map bos_token_id chunk_size_feed_forward
    cache_implementation clip_qkv decoder_sparse_step dtype embd_pdrop embedding_dropout eos_token_id ep_size
    experts_per_token ffn_dim ffn_hidden_size final_logit_softcapping first_k_dense_replace floor_scale for_llm_class
    head_dim hidden_act hidden_activation hidden_dropout hidden_size id2label index_head_dim index_n_heads index_topk
    initial_context_length initializer_range inner_layer_size interleave_moe_layer_step intermediate_size
    intermediate_size_mlp is_decoder is_encoder_decoder kv_channels kv_lora_rank label2id layer_norm_eps
    layer_norm_epsilon layer_types logit_scale max_position_embeddings max_sequence_length max_window_layers mlp_bias
    mlp_only_layers model_type moe_intermediate_size moe_layer_freq moe_layers multi_query_attention
    multi_query_group_num n_ctx n_embd n_group n_head n_inner n_layer n_positions n_routed_experts n_shared_experts
    no_rope_layer_interval no_rope_layers norm_topk_prob num_attention_heads num_experts num_experts_per_tok
    num_hidden_layers num_key_value_heads num_layers num_local_experts num_nextn_predict_layers original_rope
    output_router_logits pad_token_id padded_vocab_size partial_rotary_factor position_embedding_type pretraining_tp
    q_lora_rank qk_head_dim qk_layernorm qk_nope_head_dim qk_rope_head_dim quantization_config query_pre_attn_scalar
    resid_pdrop rms_norm_eps rope_local_base_freq rope_parameters rope_scaling rope_theta rope_interleave rotary_dim
    rotary_pct rotary_emb_base routed_scaling_factor router_aux_loss_coef router_jitter_noise scoring_func seq_aux
    seq_length shared_expert_intermediate_size sliding_window sliding_window_pattern _sliding_window_pattern
    summary_first_dropout swiglu_limit task_specific_params tie_word_embeddings topk_group topk_method torch_dtype
    transformers_version unk_token_id use_cache use_qk_norm use_sliding_window v_head_dim vocab_size
    word_embed_proj_dim _name_or_path
    """.split()  # noqa: SIM905 - a block of words reads better than 150 quoted ones
)

# Read only of families that have linear attention: of any other they may mean anything.
LINEAR_KEYS = frozenset(
    """
    attn_output_gate attn_type_list block_size full_attention_interval full_attn_alpha_factor full_attn_beta_factor
    linear_attn_alpha_factor linear_attn_beta_factor linear_conv_kernel_dim linear_key_head_dim linear_num_key_heads
    linear_num_value_heads linear_value_head_dim mamba_ssm_dtype mlp_alpha_factor mlp_beta_factor mtp_num_hidden_layers
    """.split()  # noqa: SIM905 - as above
)
