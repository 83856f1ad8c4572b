"""llama.cpp server's names (started with --metrics).

Its prompt counter holds tokens that were computed, not those that a slot's
cache served, so it is ``computed`` here and never ``prompt``. It prints six
significant digits (C++ streams): beyond 999,999 its counters are rounded. The
start of its process is a header, Process-Start-Time-Unix; the router mode
sends one model's metrics at a time.
"""

from tokenspot_client.engines.snapshot import Names

NAMES = Names(
    engine="llama.cpp",
    prefixes=("llamacpp:",),
    required=(("llamacpp:prompt_tokens_total",), ("llamacpp:tokens_predicted_total",)),
    computed=("llamacpp:prompt_tokens_total",),
    generated=("llamacpp:tokens_predicted_total",),
    running=("llamacpp:requests_processing",),
    waiting=("llamacpp:requests_deferred",),
    seconds={
        "prefill": ("llamacpp:prompt_seconds_total", 1),
        "decode": ("llamacpp:tokens_predicted_seconds_total", 1),
    },
    other_tokens=frozenset(
        {
            "llamacpp:prompt_tokens_seconds",
            "llamacpp:predicted_tokens_seconds",
            "llamacpp:n_tokens_max",
            "llamacpp:kv_cache_tokens",
        }
    ),
    significant_digits=6,
    notes=("Prompt tokens that a slot's cache served are not told.",),
)
