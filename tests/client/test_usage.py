"""Usage objects, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenspot_client.engines import MalformedUsage, NoUsage, read_answer, read_stream, read_usage

FULL = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {
        "reasoning_tokens": 30,
        "accepted_prediction_tokens": 5,
        "rejected_prediction_tokens": 2,
    },
}


def stream(*chunks: Any, done: bool = True) -> list[str]:
    lines = [line for chunk in chunks for line in (f"data: {json.dumps(chunk)}", "")]
    return [*lines, *(["data: [DONE]"] if done else [])]


def test_reads_all_that_is_said() -> None:
    usage = read_usage(FULL)

    assert (usage.prompt, usage.cached, usage.uncached, usage.generated) == (100, 64, 36, 40)
    assert (usage.reasoning, usage.accepted_prediction, usage.rejected_prediction) == (30, 5, 2)


def test_leaves_what_is_not_said_unknown() -> None:
    usage = read_usage({"prompt_tokens": 1, "completion_tokens": 0, "prompt_tokens_details": None})

    assert (usage.cached, usage.uncached, usage.reasoning, usage.limit) == (None, None, None, None)


def test_keeps_a_said_zero() -> None:
    plain = {"prompt_tokens": 1, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}

    assert read_usage(plain).cached == 0


def test_bills_no_more_than_the_limit_and_flags_the_rest() -> None:
    usage = read_usage({"prompt_tokens": 9, "completion_tokens": 31}, limit=24)

    assert (usage.billable, usage.overrun) == (24, 7)


def test_reads_a_whole_answer() -> None:
    answer = {"choices": [{"finish_reason": "length"}], "usage": FULL}

    assert read_answer(answer).finish_reason == "length"
    with pytest.raises(NoUsage):
        read_answer({"choices": []})


def test_reads_the_last_usage_of_a_stream() -> None:
    running = {"usage": {"prompt_tokens": 100, "completion_tokens": 1}, "choices": [{"finish_reason": "stop"}]}
    lines = stream({"choices": []}, running, {"choices": [], "usage": FULL})

    usage = read_stream([": comment", *lines])

    assert (usage.generated, usage.finish_reason) == (40, "stop")


def test_refuses_a_stream_without_usage_or_end() -> None:
    with pytest.raises(NoUsage, match="include_usage"):
        read_stream(stream({"choices": [], "usage": None}))
    with pytest.raises(MalformedUsage, match="DONE"):
        read_stream(stream({"usage": FULL}, done=False))
    with pytest.raises(MalformedUsage, match="line 1"):
        read_stream(["data: {half"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt_tokens": None}, "prompt_tokens"),
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"prompt_tokens": True}, "prompt_tokens"),
        ({"completion_tokens": 4.0}, "completion_tokens"),
        ({"completion_tokens": "40"}, "completion_tokens"),
        ({"completion_tokens": 10**12}, "completion_tokens"),
        ({"total_tokens": 141}, "total_tokens"),
        ({"prompt_tokens_details": {"cached_tokens": 101}}, "cached_tokens"),
        ({"prompt_tokens_details": [1]}, "prompt_tokens_details"),
        ({"completion_tokens_details": {"reasoning_tokens": 41}}, "reasoning_tokens"),
    ],
)
def test_refuses_what_cannot_be(change: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedUsage) as caught:
        read_usage(FULL | change)

    assert caught.value.field == field


def test_refuses_what_is_no_object() -> None:
    for nothing in (None, [], "usage"):
        with pytest.raises(MalformedUsage):
            read_usage(nothing)
