"""The same counts in three engines' names, as each of them prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.fakes.llama.scheduler import Scheduler


def vllm(scheduler: Scheduler, model: str) -> str:
    """vLLM 0.32's names, by the Python client's habits."""
    of, labels = scheduler.counts.of, {"engine": "0", "model_name": model}
    page = _Page()
    page.add("process_start_time_seconds", "gauge", [({}, scheduler.counts.started)])
    for name, value in (("running", len(scheduler.running)), ("waiting", len(scheduler.waiting))):
        page.add(f"vllm:num_requests_{name}", "gauge", [(labels, value)])
    counters = {"prompt_tokens": "prompt", "prompt_tokens_cached": "cached", "generation_tokens": "generated"}
    counters |= {f"spec_decode_num_{name}": key for name, key in (("drafts", "drafts"), ("draft_tokens", "drafted"), ("accepted_tokens", "accepted"))}  # fmt: skip
    for name, key in counters.items():
        page.add(f"vllm:{name}_total", "counter", [(labels, of[key])])
    sources = {"local_compute": of["prompt"] - of["cached"], "local_cache_hit": of["cached"]}
    page.add(
        "vllm:prompt_tokens_by_source_total", "counter", [({**labels, "source": s}, n) for s, n in sources.items()]
    )
    page.add(
        "vllm:prompt_tokens_cached_by_source_total", "counter", [({**labels, "source": "device"}, of["cached"])]
    )  # fmt: skip
    positions = sorted(scheduler.counts.accepted_at.items())
    page.add(
        "vllm:spec_decode_num_accepted_tokens_per_pos_total",
        "counter",
        [({**labels, "position": str(position)}, n) for position, n in positions],
    )
    page.add(
        "vllm:request_success_total",
        "counter",
        [({**labels, "finished_reason": reason}, n) for reason, n in scheduler.counts.finished.items()],
    )
    name = "vllm:iteration_tokens_total"
    page.add(name, "histogram", [])
    page.sample(f"{name}_bucket", {**labels, "le": "+Inf"}, of["steps"])
    page.sample(f"{name}_count", labels, of["steps"])
    page.sample(f"{name}_sum", labels, of["iteration"])
    return page.text


def sglang(scheduler: Scheduler, model: str) -> str:
    """SGLang's names; counted when requests end."""
    of, labels, page = scheduler.counts.of, {"model_name": model}, _Page()
    page.add("sglang:num_running_reqs", "gauge", [(labels, len(scheduler.running))])
    page.add("sglang:num_queue_reqs", "gauge", [(labels, len(scheduler.waiting))])
    page.add("sglang:prompt_tokens_total", "counter", [(labels, of["finished prompt"])])
    page.add("sglang:generation_tokens_total", "counter", [(labels, of["finished generated"])])
    cached = of["finished cached"]
    page.add(
        "sglang:cached_tokens_total", "counter", [({**labels, "cache_source": "device"}, cached)] if cached else []
    )
    page.add("sglang:num_requests_total", "counter", [(labels, scheduler.counts.finished.total())])
    page.add("sglang:token_usage", "gauge", [(labels, 0.25)])
    return page.text


def llamacpp(scheduler: Scheduler, model: str) -> str:
    """llama.cpp's names: prompt tokens are those computed, and six digits are printed."""
    of, page = scheduler.counts.of, _Page(lambda value: f"{value:.6g}")
    for name, key in (("prompt_tokens_total", "computed"), ("tokens_predicted_total", "generated")):
        page.add(
            f"llamacpp:{name}", "counter", [({}, of["prompt"] - of["cached"] if key == "computed" else of[key])]
        )  # fmt: skip
    for name, key in (("prompt_seconds_total", "prompt"), ("tokens_predicted_seconds_total", "decode")):
        page.add(f"llamacpp:{name}", "counter", [({}, scheduler.counts.seconds[key])])
    page.add("llamacpp:requests_processing", "gauge", [({}, len(scheduler.running))])
    page.add("llamacpp:requests_deferred", "gauge", [({}, len(scheduler.waiting))])
    return page.text


PAGES: dict[str, Callable[[Scheduler, str], str]] = {"vllm": vllm, "sglang": sglang, "llama.cpp": llamacpp}


class _Page:
    def __init__(self, number: Callable[[float], str] = lambda value: repr(float(value))) -> None:
        self._number, self._lines = number, list[str]()

    def add(self, name: str, kind: str, samples: Iterable[tuple[dict[str, str], Any]]) -> None:
        self._lines += [f"# HELP {name} As the engine says.", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            self.sample(name, labels, value)

    def sample(self, name: str, labels: dict[str, str], value: float) -> None:
        spelled = ",".join(f'{key}="{text}"' for key, text in labels.items())
        self._lines.append(f"{name}{{{spelled}}} {self._number(value)}" if spelled else f"{name} {self._number(value)}")

    @property
    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
