"""Text Generation Inference's names: tokens are sums of histograms; no cached tokens, no time to the first."""

from tokenspot_client.engines.snapshot import Names

NAMES = Names(
    engine="tgi",
    prefixes=("tgi_",),
    required=(("tgi_request_input_length_sum",), ("tgi_request_generated_tokens_sum",)),
    prompt=("tgi_request_input_length_sum",),
    generated=("tgi_request_generated_tokens_sum",),
    finished={
        "success": "tgi_request_success",
        "failure": "tgi_request_failure",
    },
    running=("tgi_batch_current_size",),
    waiting=("tgi_queue_size",),
    seconds={
        "request": ("tgi_request_duration_sum", 1),
        "queue": ("tgi_request_queue_duration_sum", 1),
        "inference": ("tgi_request_inference_duration_sum", 1),
    },
    other_tokens=frozenset(
        {
            "tgi_request_generated_tokens",
            "tgi_request_max_new_tokens",
            "tgi_request_mean_time_per_token_duration",
            "tgi_batch_current_max_tokens",
        }
    ),
    notes=("Counts of a request appear when it ends.", "Tokens that a prefix cache served are not told."),
)
