"""The columns of a table of loads, in the spellings that benchmarks use."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from token_standard.errors import TokenStandardError


class InvalidTable(TokenStandardError):
    code = "invalid_table"


ALIASES: Mapping[str, tuple[str, ...]] = {
    "device": ("hardware", "gpu", "accelerator", "system", "device_name", "device_type", "gpu_name", "gpu_type"),
    "devices": ("gpus", "num_gpus", "n_gpus", "gpu_count", "num_devices", "n_devices", "device_count"),
    "model": ("model_name", "model_path", "model_id", "model_config", "config", "config_path", "model_name_or_path"),
    "format": ("precision", "dtype", "quantization", "number_format"),
    "tensor_parallel": (
        "tp",
        "tp_size",
        "tensor_parallel_size",
        "tensor_parallelism",
        "num_tensor_parallel_workers",
    ),
    "data_parallel": ("attention_dp_size", "dp", "dp_size", "data_parallel_size"),
    "pipeline_parallel": ("pp", "pp_size", "pipeline_parallel_size"),
    "engine": ("backend", "framework", "server"),
    "mode": (),
    "kind": (),
    "batch": ("batch_size", "static_batch"),
    "concurrency": ("silicon_concurrency", "max_concurrency", "num_concurrent", "concurrent_requests", "users"),
    "input": (
        "isl",
        "input_tokens",
        "input_length",
        "input_len",
        "prompt",
        "prompt_size",
        "prompt_tokens",
        "prompt_length",
        "prompt_len",
    ),
    "output": (
        "osl",
        "output_tokens",
        "output_length",
        "output_len",
        "token_size",
        "generated",
        "generated_tokens",
        "completion_tokens",
    ),
    "tokens": ("num_tokens",),
    "calibration": ("calibrate", "is_calibration", "calibration_flag"),
    "measured": ("measured_value",),  # in the unit of the answer
    "measured_tpot_ms": (
        "tpot_ms",
        "silicon_tpot_ms",
        "tpot",
        "itl_ms",
        "measured_itl_ms",
        "token_time",
        "token_time_ms",
        "ms_per_token",
        "ms_token",
    ),
    "measured_tpot_s": ("tpot_s", "measured_s", "measured_seconds", "seconds_per_token"),
    "measured_ttft_ms": ("ttft_ms", "silicon_ttft_ms", "ttft", "prompt_time", "prompt_time_ms"),
    "layer_us": ("measured_layer_us", "layer_time_us"),
    "tflops": ("fp16_tflops", "bf16_tflops", "peak_tflops"),
    "fp8_tflops": (),
    "fp4_tflops": (),
    "gbps": ("bandwidth_gbps", "memory_gbps", "gb_per_second"),
    "memory_gb": ("memory", "vram_gb"),
    "link_gbps": ("nvlink_gbps",),
    "layers": ("num_layers", "n_layer", "num_hidden_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "embedding_dim"),
    "heads": ("n_head", "num_heads", "num_attention_heads", "num_q_heads"),
    "kv_heads": ("n_kv_head", "num_kv_heads", "num_key_value_heads"),
    "head_dim": ("head_size",),
    "intermediate": ("intermediate_size", "n_expanded_embd", "ffn_dim", "mlp_hidden_dim"),
    "vocabulary": ("vocab", "vocab_size"),
    "gated": ("gated_mlp", "use_gated_mlp"),
    "experts": ("num_experts", "n_routed_experts", "num_local_experts"),
    "experts_per_token": ("top_k", "num_experts_per_tok"),
    "expert_intermediate": ("moe_intermediate_size",),
    "shared_experts": ("n_shared_experts",),
}
_BY_SPELLING = {spelling: name for name, others in ALIASES.items() for spelling in (name, *others)}


@dataclass(frozen=True)
class Header:
    """Where each column of ours stands in a file, and the file's columns that mean nothing here."""

    index: Mapping[str, int]
    ignored: tuple[str, ...]


def header(cells: Iterable[str]) -> Header:
    """Read a table's first row.

    :raises InvalidTable: two columns that mean the same.
    """
    index: dict[str, int] = {}
    ignored = []
    for at, cell in enumerate(cells):
        name = _BY_SPELLING.get(_spelling(cell))
        if name is None:
            ignored.append(cell)
        elif name in index:
            raise InvalidTable(f"column {cell!r} repeats another column for {name}")
        else:
            index[name] = at
    return Header(index, tuple(ignored))


def _spelling(cell: str) -> str:
    """What names are compared by: ``TPOT (ms)`` and ``tpot-ms`` are ``tpot_ms``."""
    return re.sub(r"[\W_]+", "_", cell.lower()).strip("_")
