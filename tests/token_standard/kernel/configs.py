"""Published configurations, cut down to the fields that say structure and a few that do not."""

PLAIN = {"torch_dtype": "bfloat16", "rope_theta": 500000.0, "rms_norm_eps": 1e-05, "use_cache": True, "bos_token_id": 1}


def config(model_type, hidden, layers, heads, vocab, **more):
    return PLAIN | {
        "model_type": model_type, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "vocab_size": vocab,
    } | more  # fmt: skip


DEEPSEEK_V3 = config(
    "deepseek_v3", 7168, 61, 128, 129280, num_key_value_heads=128, intermediate_size=18432, moe_intermediate_size=2048,
    n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3, moe_layer_freq=1,
    q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, n_group=8,
    topk_group=4, num_nextn_predict_layers=1, ep_size=1,
    quantization_config={"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]},
)  # fmt: skip

# By the name of the catalogue's card that the configuration must give.
TABLE = {
    "llama-2-7b": config("llama", 4096, 32, 32, 32000, intermediate_size=11008),
    "llama-3-8b": config("llama", 4096, 32, 32, 128256, num_key_value_heads=8, intermediate_size=14336),
    "mistral-7b-v0.1": config("mistral", 4096, 32, 32, 32000, num_key_value_heads=8, intermediate_size=14336, sliding_window=4096),
    "qwen2.5-7b": config(
        "qwen2", 3584, 28, 28, 152064, num_key_value_heads=4, intermediate_size=18944, sliding_window=131072,
        use_sliding_window=False, max_window_layers=28,
    ),
    "glm-4-9b": {
        "model_type": "chatglm", "hidden_size": 4096, "num_layers": 40, "num_attention_heads": 32, "padded_vocab_size": 151552,
        "multi_query_attention": True, "multi_query_group_num": 2, "kv_channels": 128, "ffn_hidden_size": 13696,
    },
    "qwen3-32b": config("qwen3", 5120, 64, 64, 151936, num_key_value_heads=8, intermediate_size=25600, head_dim=128),
    "llama-3-70b": config("llama", 8192, 80, 64, 128256, num_key_value_heads=8, intermediate_size=28672),
    "qwen2.5-72b": config("qwen2", 8192, 80, 64, 152064, num_key_value_heads=8, intermediate_size=29568, use_sliding_window=False),
    "llama-3.1-405b": config("llama", 16384, 126, 128, 128256, num_key_value_heads=8, intermediate_size=53248),
    "mixtral-8x7b": config(
        "mixtral", 4096, 32, 32, 32000, num_key_value_heads=8, intermediate_size=14336, num_local_experts=8,
        num_experts_per_tok=2, sliding_window=None, output_router_logits=False,
    ),
    "qwen3-30b-a3b": config(
        "qwen3_moe", 2048, 48, 32, 151936, num_key_value_heads=4, head_dim=128, intermediate_size=6144, num_experts=128,
        moe_intermediate_size=768, num_experts_per_tok=8, decoder_sparse_step=1, mlp_only_layers=[],
        use_sliding_window=False, norm_topk_prob=True,
    ),
    "deepseek-v3": DEEPSEEK_V3,
    "gpt-oss-120b": config(
        "gpt_oss", 2880, 36, 64, 201088, num_key_value_heads=8, head_dim=64, intermediate_size=2880, num_local_experts=128,
        num_experts_per_tok=4, experts_per_token=4, sliding_window=128,
        layer_types=["sliding_attention", "full_attention"] * 18, swiglu_limit=7.0,
        quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
    ),
}  # fmt: skip
