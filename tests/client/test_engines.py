"""Readings of each engine, differences of two, and the identities between them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenspot_client.engines import (
    MalformedMetrics,
    MissingCounters,
    NotComparable,
    Snapshot,
    UnknownEngine,
    Verdict,
    breaches,
    check,
    delta,
    read,
    read_usage,
)


def vllm(prompt: int = 0, cached: int = 0, generated: int = 0, iteration: int | None = None, **more: Any) -> str:
    """A text as vLLM 0.32 sends it."""
    total = prompt - cached + generated if iteration is None else iteration
    label = 'engine="0",model_name="tiny"'
    lines = [
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {more.get('start', 1.7e9)}",
        "# TYPE vllm:num_requests_running gauge",
        f"vllm:num_requests_running{{{label}}} {more.get('running', 0)}",
        "# TYPE vllm:prompt_tokens_total counter",
        f"vllm:prompt_tokens_total{{{label}}} {prompt}.0",
        "# TYPE vllm:prompt_tokens_cached_total counter",
        f"vllm:prompt_tokens_cached_total{{{label}}} {cached}.0",
        "# TYPE vllm:generation_tokens_total counter",
        f"vllm:generation_tokens_total{{{label}}} {generated}.0",
        "# TYPE vllm:iteration_tokens_total histogram",
        f'vllm:iteration_tokens_total_bucket{{{label},le="+Inf"}} 3.0',
        f"vllm:iteration_tokens_total_count{{{label}}} 3.0",
        f"vllm:iteration_tokens_total_sum{{{label}}} {total}.0",
        "# TYPE vllm:spec_decode_num_drafts_total counter",
        f"vllm:spec_decode_num_drafts_total{{{label}}} {more.get('drafts', 0)}.0",
        f"vllm:spec_decode_num_draft_tokens_total{{{label}}} {more.get('drafted', 0)}.0",
        f"vllm:spec_decode_num_accepted_tokens_total{{{label}}} {more.get('accepted', 0)}.0",
        "# TYPE vllm:request_success_total counter",
        f'vllm:request_success_total{{{label},finished_reason="stop"}} {more.get("stopped", 0)}.0',
        f'vllm:request_success_total{{{label},finished_reason="length"}} 0.0',
    ]
    return "\n".join(lines) + "\n"


def counted(snapshot: Snapshot) -> tuple[int | None, ...]:
    return (snapshot.prompt, snapshot.computed, snapshot.cached, snapshot.generated)


class TestEngines:
    def test_reads_vllm(self) -> None:
        snapshot = read(vllm(282, 128, 256, drafts=66, drafted=178, accepted=166, stopped=4, running=2))

        assert (snapshot.engine, snapshot.version, snapshot.process_start) == ("vllm", "0.32 or near it", 1.7e9)
        assert counted(snapshot) == (282, 154, 128, 256)
        assert (snapshot.drafts, snapshot.drafted, snapshot.accepted) == (66, 178, 166)
        assert (snapshot.finished["stop"], snapshot.running, snapshot.waiting) == (4, 2, None)

    def test_reads_older_vllm(self) -> None:
        snapshot = read(
            "vllm:prompt_tokens_total 9\nvllm:generation_tokens_total 4\n"
            "vllm:gpu_prefix_cache_hits_total 3\nvllm:gpu_cache_usage_perc 0.5\n"
        )

        assert counted(snapshot) == (9, 6, 3, 4)
        assert (snapshot.version, snapshot.cached_exact, snapshot.iteration) == ("0.8", False, None)

    def test_reads_sglang(self) -> None:
        snapshot = read(
            'sglang:prompt_tokens_total{model_name="m"} 100\nsglang:generation_tokens_total{model_name="m"} 7\n'
            'sglang:cached_tokens_total{model_name="m",cache_source="device"} 30\n'
            'sglang:cached_tokens_total{model_name="m",cache_source="host"} 10\n'
            "sglang:num_running_reqs 1\nsglang:num_queue_reqs 2\nsglang:token_usage 0.25\n"
        )

        assert counted(snapshot) == (100, 60, 40, 7)
        assert (dict(snapshot.cached_by_source), snapshot.in_flight) == ({"device": 30, "host": 10}, 3)
        assert snapshot.unknown == ()

    def test_takes_a_declared_counter_without_series_for_zero(self) -> None:
        text = (
            "# TYPE sglang:prompt_tokens_total counter\n# TYPE sglang:generation_tokens_total counter\n"
            "# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs 0\n"
        )

        assert (read(text).prompt, read(text).cached) == (0, None)

    def test_does_not_take_a_declaration_at_the_end_for_zero(self) -> None:
        with pytest.raises(MissingCounters, match="generation"):
            read("sglang:prompt_tokens_total 5\n# TYPE sglang:generation_tokens_total counter\n")

    def test_reads_tgi(self) -> None:
        snapshot = read(
            "tgi_request_input_length_sum 50\ntgi_request_input_length_count 2\ntgi_request_generated_tokens_sum 20\n"
            "tgi_request_success 2\ntgi_request_duration_sum 1.5\ntgi_queue_size 0\n"
        )

        assert counted(snapshot) == (50, None, None, 20)
        assert (dict(snapshot.finished), dict(snapshot.seconds)) == ({"success": 2}, {"request": 1.5})

    def test_reads_llamacpp_prompt_as_what_was_computed(self) -> None:
        snapshot = read("llamacpp:prompt_tokens_total 123\nllamacpp:tokens_predicted_total 45\n", process_start=5.0)

        assert counted(snapshot) == (None, 123, None, 45)
        assert (dict(snapshot.rounded), snapshot.process_start) == ({}, 5.0)

    def test_knows_that_llamacpp_rounds(self) -> None:
        snapshot = read("llamacpp:prompt_tokens_total 1.23457e+07\nllamacpp:tokens_predicted_total 45\n")

        assert dict(snapshot.rounded) == {"computed": 100}

    def test_reads_mindie_without_prefix(self) -> None:
        snapshot = read(
            "request_received_total 4\nrequest_success_total 3\nrequest_failed_total 1\nprompt_tokens_total 40\n"
            "generation_tokens_total 12\nnum_requests_running 1\nnum_requests_waiting 0\nnum_requests_swapped 1\n"
        )

        assert counted(snapshot) == (40, None, None, 12)
        assert (snapshot.engine, snapshot.running, snapshot.finished["failure"]) == ("mindie", 2, 1)

    def test_says_that_triton_counts_no_tokens(self) -> None:
        snapshot = read(
            'nv_inference_count{model="m",version="1"} 5\nnv_inference_exec_count{model="m",version="1"} 3\n'
            'nv_inference_compute_infer_duration_us{model="m",version="1"} 250000\n'
        )

        assert not snapshot.tells_tokens
        assert counted(snapshot) == (None, None, None, None)
        assert (snapshot.seconds["inference"], snapshot.finished["executions"]) == (0.25, 3)
        assert "no tokens" in snapshot.notes[0]

    def test_lists_names_it_does_not_know(self) -> None:
        text = vllm(1, 0, 1) + "vllm:reasoning_tokens_total 9\nvllm:free_memory 3\n"

        assert read(text).unknown == ("vllm:reasoning_tokens_total",)
        assert read(text).generated == 1

    def test_counts_one_model_or_all(self) -> None:
        text = "".join(
            f'vllm:{name}_tokens_total{{model_name="{model}"}} {count}\n'
            for name, model, count in [
                ("prompt", "a", 1),
                ("prompt", "b", 2),
                ("generation", "a", 4),
                ("generation", "b", 8),
            ]
        )

        assert read(text).models == ("a", "b")
        assert (read(text).prompt, read(text, model="b").prompt, read(text, model="b").generated) == (3, 2, 8)


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "words"),
        [("NaN", "counter"), ("-3", "counter"), ("+Inf", r"2\^53"), ("1e30", r"2\^53"), ("1.5", "whole number")],
    )
    def test_of_a_count_that_cannot_be(self, value: str, words: str) -> None:
        text = vllm(7).replace("vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 0.0",
                               f"vllm:generation_tokens_total{{engine=\"0\",model_name=\"tiny\"}} {value}")  # fmt: skip

        with pytest.raises(MalformedMetrics, match=words) as caught:
            read(text)

        assert caught.value.line == 10

    def test_of_nan_without_a_declared_type(self) -> None:
        with pytest.raises(MalformedMetrics, match=r"line 2: .* not a count"):
            read("vllm:prompt_tokens_total 1\nvllm:generation_tokens_total NaN\n")

    def test_of_metrics_without_the_counters(self) -> None:
        with pytest.raises(MissingCounters, match="vllm:generation_tokens_total"):
            read("vllm:prompt_tokens_total 1\n")

    @pytest.mark.parametrize("text", ["up 1\n", "vllm:a 1\nsglang:b 1\n"])
    def test_of_an_engine_that_cannot_be_told(self, text: str) -> None:
        with pytest.raises(UnknownEngine):
            read(text)

    def test_of_a_text_cut_between_two_lines(self) -> None:
        lines = vllm(282, 128, 256).splitlines(keepends=True)
        for kept in range(1, len(lines)):
            with pytest.raises((MalformedMetrics, NotComparable)):
                delta(read(vllm(200, 100, 150)), read("".join(lines[:kept])))

    def test_of_a_lost_series_does_not_hide_a_restart(self) -> None:
        series = "vllm:generation_tokens_total 1\n"
        before = read(series + 'vllm:prompt_tokens_total{a="1"} 5\n')

        after = read(series.replace("1", "0") + 'vllm:prompt_tokens_total{a="2"} 7\n')

        assert delta(before, after).counts["prompt"] == 7


class TestWindows:
    def test_holds_the_identity_with_speculation(self) -> None:
        window = delta(read(vllm()), read(vllm(282, 128, 256, 410, drafts=66, drafted=178, accepted=166)))

        finding = check(window)[0]

        assert (finding.verdict, finding.expected, finding.counted) == (Verdict.HELD, 410, 410)
        assert (window.counts["drafted"], breaches(check(window))) == (178, ())

    def test_reports_a_breach_with_its_figures(self) -> None:
        window = delta(read(vllm(10, 0, 10)), read(vllm(292, 128, 266, 429)))

        finding = breaches(check(window))[0]

        assert (finding.expected, finding.counted, finding.difference) == (410, 409, -1)
        assert "410 expected, 409 counted" in str(finding)

    def test_compares_usages_exactly(self) -> None:
        window = delta(read(vllm(100, 0, 50)), read(vllm(160, 16, 80)))
        plain = {"prompt_tokens": 30, "completion_tokens": 15, "prompt_tokens_details": {"cached_tokens": 8}}
        one = read_usage(plain)

        assert {f.verdict for f in check(window, [one, one])} == {Verdict.HELD}
        broken = breaches(check(window, [one, replace(one, generated=16)]))
        assert [(f.name, f.difference) for f in broken] == [("usage: completion = generated", 1)]

    def test_leaves_unsaid_cached_tokens_unknown(self) -> None:
        window = delta(read(vllm()), read(vllm(30, 8, 15)))
        usage = read_usage({"prompt_tokens": 30, "completion_tokens": 15})

        verdicts = {f.name: f.verdict for f in check(window, [usage])}

        assert verdicts["usage: cached = cached"] is Verdict.UNKNOWN

    def test_takes_a_changed_start_for_a_restart(self) -> None:
        window = delta(read(vllm(500, 0, 500, start=1.0)), read(vllm(700, 0, 600, start=2.0)))

        assert window.restart == "the process started at 2.0, not at 1.0"
        assert (window.counts["prompt"], window.counts["generated"]) == (700, 600)

    def test_takes_a_counter_that_went_back_for_a_restart(self) -> None:
        window = delta(read(vllm(500, 0, 500)), read(vllm(20, 0, 10)))
        usage = read_usage({"prompt_tokens": 40, "completion_tokens": 20})

        assert "went back from 500 to 20" in (window.restart or "")
        assert (window.counts["prompt"], window.counts["generated"]) == (20, 10)
        assert breaches(check(window, [usage])) == ()

    def test_sees_one_series_that_fell_behind_another_that_rose(self) -> None:
        def text(first: int, second: int) -> str:
            both = "".join(f'vllm:prompt_tokens_total{{engine="{i}"}} {n}\n' for i, n in enumerate((first, second)))
            return both + "vllm:generation_tokens_total 0\n"

        window = delta(read(text(100, 100)), read(text(10, 900)))

        assert window.restart is not None
        assert window.counts["prompt"] == 910

    def test_leaves_a_difference_open_while_requests_run(self) -> None:
        window = delta(read(vllm()), read(vllm(30, 0, 7, running=1)))
        usage = read_usage({"prompt_tokens": 30, "completion_tokens": 5})

        assert breaches(check(window, [usage])) == ()
        assert Verdict.OPEN in {f.verdict for f in check(window, [usage])}

    def test_allows_llamacpp_its_rounding_and_no_more(self) -> None:
        def text(prompt: str) -> str:
            return f"llamacpp:prompt_tokens_total {prompt}\nllamacpp:tokens_predicted_total 10\n"

        window = delta(read(text("1.00000e+06")), read(text("1.00002e+06")))

        def verdict(prompt: int) -> Verdict:
            usage = {"prompt_tokens": prompt, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}
            return check(window, [read_usage(usage)])[1].verdict

        assert (verdict(20), verdict(35), verdict(41)) == (Verdict.HELD, Verdict.OPEN, Verdict.BREACHED)

    def test_refuses_two_engines(self) -> None:
        with pytest.raises(NotComparable):
            delta(read(vllm()), read("llamacpp:prompt_tokens_total 1\nllamacpp:tokens_predicted_total 4\n"))

    @given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), min_size=2, max_size=2), st.booleans())
    def test_never_counts_below_zero(self, pair: list[tuple[int, int, int]], restarted: bool) -> None:
        before, after = (
            read(vllm(p + c, c, g, start=float(i if restarted else 0))) for i, (p, c, g) in enumerate(pair)
        )

        window = delta(before, after)

        assert all(count is None or count >= 0 for count in window.counts.values())
        assert (window.restart is not None) >= restarted


def test_imports_nothing_but_the_standard_library() -> None:
    heavy = "numpy torch onnx onnxruntime httpx opentelemetry django"
    code = (
        "import sys, tokenspot_client.engines, tokenspot_client.hooks\n"
        f"found = set({heavy!r}.split()) & set(sys.modules)\n"
        "assert found <= {'httpx'}, found\n"  # the package's own API client
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_reads_what_vllm_0_32_sent() -> None:
    """60 requests with a shared prompt and n-gram speculation on the CPU build, as its `/metrics` answered."""
    snapshot = read((Path(__file__).parent / "data" / "vllm-0.32.txt").read_text())

    assert counted(snapshot) == (15572, 4180, 11392, 1346)
    assert (snapshot.iteration, snapshot.drafts, snapshot.drafted, snapshot.accepted) == (5526, 265, 736, 661)
    assert snapshot.prompt_by_source["local_cache_hit"] == snapshot.cached_by_source["device"] == 11392
    assert (snapshot.finished["length"], snapshot.in_flight, snapshot.unknown) == (60, 0, ())
    assert sum(snapshot.accepted_by_position.values()) == 661
