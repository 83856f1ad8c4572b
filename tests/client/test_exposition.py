"""Metrics text: what is read, and what is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenspot_client.engines.exposition import MalformedMetrics, parse

GOOD = """# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a \\"b\\" \\\\ c"} 1.7765e+04
vllm:prompt_tokens_total{engine="1",model_name="x"} 5 1700000000000

# TYPE seconds histogram
seconds_bucket{le="0.5"} 1
seconds_bucket{le="+Inf"} 2
seconds_count 2
seconds_sum 0.75
# TYPE quantiles summary
quantiles{quantile="0.5"} NaN
"""


def test_reads_values_labels_and_types() -> None:
    read = parse(GOOD)

    first, second = read.samples["vllm:prompt_tokens_total"]
    assert (first.value, first.label("model_name"), first.line) == (17765.0, 'a "b" \\ c', 3)
    assert (second.value, second.label("engine")) == (5.0, "1")
    assert read.types["seconds"] == "histogram"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "no metrics"),
        ("# HELP only words\n", 0, "no metrics"),
        ("<!doctype html><html>502</html>\n", 1, "HTML"),
        ('{"error": "not found"}\n', 1, "JSON"),
        ("a 1\nb 2", 2, "cut short"),
        ("a 1\nb \n", 2, "no value"),
        ("a 1\nb twelve\n", 2, "no number"),
        ("a 1\nb 1 2 3\n", 2, "single value"),
        ("a 1\nb 0x10\n", 2, "no number"),
        ("a 1\nb 1_000\n", 2, "no number"),
        ('a 1\nb{x="1" 2\n', 2, "labels"),
        ('a 1\nb{x=1} 2\n', 2, "labels"),
        ('a 1\nb{x="1",x="2"} 2\n', 2, "twice"),
        ("a 1\na 2\n", 2, "line 1"),
        ("a 1\n42 7\n", 2, "metric name"),
        ("# TYPE a counter\na -1\n", 2, "counter a is -1"),
        ("# TYPE a counter\na NaN\n", 2, "counter a is NaN"),
        ("# TYPE a counter\n# TYPE\na 1\n", 2, "names a metric"),
        ('# TYPE h histogram\nh_bucket{le="1"} 1\n', 2, "not complete"),
        ('# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 3\nh_count 1\n', 4, "not complete"),
        ("# TYPE h histogram\nh_sum 3\n", 2, "not complete"),
    ],
)  # fmt: skip
def test_refuses_and_names_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(MalformedMetrics, match=words) as caught:
        parse(text)

    assert caught.value.line == line


def test_every_cut_inside_a_line_is_seen() -> None:
    for length in range(1, len(GOOD)):
        if GOOD[length - 1] != "\n":
            with pytest.raises(MalformedMetrics):
                parse(GOOD[:length])


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse(text).samples
    except MalformedMetrics as refused:
        assert 0 <= refused.line <= text.count("\n") + 1
