"""SGLang's names (started with --enable-metrics). Its token counters move when a request ends."""

from tokenspot_client.engines.snapshot import Names

NAMES = Names(
    engine="sglang",
    prefixes=("sglang:",),
    required=(("sglang:prompt_tokens_total",), ("sglang:generation_tokens_total",)),
    prompt=("sglang:prompt_tokens_total",),
    cached=("sglang:cached_tokens_total",),
    generated=("sglang:generation_tokens_total",),
    cached_by=("sglang:cached_tokens_total", "cache_source"),
    finished={"all": "sglang:num_requests_total", "abort": "sglang:num_aborted_requests_total"},
    running=("sglang:num_running_reqs",),
    waiting=("sglang:num_queue_reqs",),
    other_tokens=frozenset(
        f"sglang:{name}"
        for name in (
            "prompt_tokens_histogram",
            "generation_tokens_histogram",
            "uncached_prompt_tokens_histogram",
            "time_to_first_token_seconds",
            "time_per_output_token_seconds",
            "inter_token_latency_seconds",
            "num_used_tokens",
            "max_total_num_tokens",
            "token_usage",
            "full_token_usage",
            "swa_token_usage",
            "pending_prealloc_token_usage",
            "new_token_ratio",
            "num_retracted_input_tokens_total",
            "num_retracted_output_tokens_total",
            "realtime_tokens_total",
            "dp_cooperation_realtime_tokens_total",
            "hicache_host_used_tokens",
            "hicache_host_total_tokens",
            "evicted_tokens_total",
            "load_back_tokens_total",
            "prefetched_tokens_total",
            "backuped_tokens_total",
        )
    ),
    notes=("Counts of a request appear when it ends.",),
)
