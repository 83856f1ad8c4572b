"""MindIE's names (Ascend; started with MIES_SERVICE_MONITOR_MODE=1). They have no prefix."""

from tokenspot_client.engines.snapshot import Names

NAMES = Names(
    engine="mindie",
    prefixes=("request_received_total", "request_success_total", "num_requests_swapped"),
    required=(("prompt_tokens_total",), ("generation_tokens_total",)),
    prompt=("prompt_tokens_total",),
    generated=("generation_tokens_total",),
    finished={
        "received": "request_received_total",
        "success": "request_success_total",
        "failure": "request_failed_total",
    },
    running=("num_requests_running", "num_requests_swapped"),
    waiting=("num_requests_waiting",),
    other_tokens=frozenset(
        {
            "time_to_first_token_seconds",
            "time_per_output_token_seconds",
            "request_prompt_tokens",
            "request_generation_tokens",
            "avg_prompt_throughput_toks_per_s",
            "avg_generation_throughput_toks_per_s",
        }
    ),
    notes=("Tokens that a prefix cache served are not told.",),
)
