"""vLLM's names: 0.32, and the older ones of the V1 engine. Cambricon's and Kunlun's plug-ins send the same."""

from tokenspot_client.engines.snapshot import Names

NAMES = Names(
    engine="vllm",
    prefixes=("vllm:",),
    required=(("vllm:prompt_tokens_total",), ("vllm:generation_tokens_total",)),
    prompt=("vllm:prompt_tokens_total",),
    cached=(
        "vllm:prompt_tokens_cached_total",
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits_total",
    ),
    # Hits are counted at each scheduling: a preempted request is looked up, and counted, again.
    cached_inexact=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    generated=("vllm:generation_tokens_total",),
    iteration=("vllm:iteration_tokens_total_sum",),
    drafts=("vllm:spec_decode_num_drafts_total",),
    drafted=("vllm:spec_decode_num_draft_tokens_total",),
    accepted=("vllm:spec_decode_num_accepted_tokens_total",),
    prompt_by=("vllm:prompt_tokens_by_source_total", "source"),
    cached_by=("vllm:prompt_tokens_cached_by_source_total", "source"),
    accepted_by=("vllm:spec_decode_num_accepted_tokens_per_pos_total", "position"),
    finished_by=("vllm:request_success_total", "finished_reason"),
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting",),
    seconds={
        "prefill": ("vllm:request_prefill_time_seconds_sum", 1),
        "decode": ("vllm:request_decode_time_seconds_sum", 1),
        "queue": ("vllm:request_queue_time_seconds_sum", 1),
    },
    other_tokens=frozenset(
        {
            "vllm:request_prompt_tokens",
            "vllm:request_generation_tokens",
            "vllm:request_max_num_generation_tokens",
            "vllm:request_params_max_tokens",
            "vllm:request_prefill_kv_computed_tokens",
            "vllm:request_time_per_output_token_seconds",
            "vllm:iteration_tokens_total",
            "vllm:inter_token_latency_seconds",
            "vllm:time_per_output_token_seconds",
            "vllm:time_to_first_token_seconds",
            "vllm:tokens_total",
        }
    ),
    versions=(
        ("vllm:prompt_tokens_cached_total", "0.32 or near it"),
        ("vllm:prefix_cache_hits_total", "0.9 or newer"),
        ("vllm:gpu_prefix_cache_hits_total", "0.8"),
        ("vllm:gpu_cache_usage_perc", "before 0.9"),
    ),
)
