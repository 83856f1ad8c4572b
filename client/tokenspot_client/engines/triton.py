"""Triton's names: executions and microseconds. It counts no tokens."""

from tokenspot_client.engines.snapshot import Names

MICROSECOND = 1e-6

NAMES = Names(
    engine="triton",
    prefixes=("nv_inference_",),
    required=(("nv_inference_count",),),
    model_label="model",
    finished={
        "success": "nv_inference_request_success",
        "failure": "nv_inference_request_failure",
        "executions": "nv_inference_exec_count",
        "inferences": "nv_inference_count",
    },
    waiting=("nv_inference_pending_request_count",),
    seconds={
        "request": ("nv_inference_request_duration_us", MICROSECOND),
        "queue": ("nv_inference_queue_duration_us", MICROSECOND),
        "input": ("nv_inference_compute_input_duration_us", MICROSECOND),
        "inference": ("nv_inference_compute_infer_duration_us", MICROSECOND),
        "output": ("nv_inference_compute_output_duration_us", MICROSECOND),
    },
    notes=("Triton counts executions and time, no tokens: take tokens from usage objects or hooks.",),
)
