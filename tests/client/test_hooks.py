"""The metering library's pure parts; hooks on real frameworks are in `optional/` (make test-torch)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tokenspot_client.engines import read_usage
from tokenspot_client.hooks import (
    CachedUnknown,
    CallShape,
    MissingExtra,
    NotCounted,
    OnnxMeter,
    Request,
    TokenUsage,
    TorchMeter,
    usage_event,
)
from tokenspot_client.hooks.onnx_profile import MalformedProfile, by_layer, read_profile
from tokenspot_client.hooks.work import CallPrice, Part, Priced

from accounts.kernel import ids
from metering_ingest.kernel import events
from token_standard import usage
from token_standard.cards import Card
from token_standard.catalogue import card

NOON = datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=8)))


def parts_of(described: Card) -> list[Priced]:
    """A dense model's layers and head as a hook would find them."""
    shape, version = described.architecture, events_version(described)
    layer = Part(
        "layer",
        shape.total_weights // shape.layers,
        0,
        shape.attention.prefill_flops // 4,
        shape.kv_elements // shape.layers,
    )
    head = Part("head", shape.head_weights, 0)
    return [Priced(layer, described.format, version)] * shape.layers + [
        Priced(head, described.format, version, is_head=True)
    ]


def events_version(described: Card) -> Any:
    from tokenspot_client.hooks.work import version_of

    return version_of(described)


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-3-8b", "qwen2.5-7b"])
@pytest.mark.parametrize("shape", [CallShape(1, 100, 0), CallShape(1, 40, 60), CallShape(3, 1, 2047)])
def test_layers_and_head_add_up_to_the_card(name: str, shape: CallShape) -> None:
    described = card(name)

    total = sum(part.nominal_st(shape) for part in parts_of(described))

    if shape.decode:
        assert total == 3 * usage.shares(described, n=0, c=2047, g=1).output
    else:
        assert total == usage.st(described, n=shape.new, c=shape.past, g=0)


@pytest.mark.parametrize("name", ["llama-2-7b", "mistral-7b-v0.1", "gpt-oss-120b", "deepseek-v3"])
@pytest.mark.parametrize("past", [1, 127, 128, 4095, 4096, 30_000])
def test_the_fast_price_is_the_cards(name: str, past: int) -> None:
    described = card(name)

    exact = 2 * usage.shares(described, n=0, c=past, g=1).output

    assert CallPrice(described)(CallShape(2, 1, past)) == pytest.approx(float(exact), rel=1e-12)


class TestRequest:
    def test_counts_prompt_then_tokens(self) -> None:
        request = Request(limit=2)
        for shape in (CallShape(1, 10, 4), CallShape(1, 6, 14), CallShape(1, 1, 20), CallShape(1, 1, 21)):
            request.add(shape)

        told = request.usage
        assert (told.prompt, told.cached, told.generated, told.billable) == (20, 4, 3, 2)

    @pytest.mark.parametrize(
        ("shapes", "words"),
        [
            ([], "no call"),
            ([CallShape(2, 5, 0)], "several"),
            ([None], "could not be read"),
            ([CallShape(1, 5, 0), CallShape(1, 1, 7)], "goes on from 7"),
            ([CallShape(1, 5, 0), CallShape(1, 1, 5), CallShape(1, 3, 6)], "speculation"),
        ],
    )
    def test_refuses_what_calls_do_not_tell(self, shapes: list[CallShape | None], words: str) -> None:
        request = Request()
        for shape in shapes:
            request.add(shape)

        with pytest.raises(NotCounted, match=words):
            _ = request.usage
        request.count(prompt=9, generated=4)
        assert (request.usage.prompt, request.usage.cached) == (9, None)


class TestEvents:
    def event(self, **change: Any) -> dict[str, Any]:
        plain = {"prompt_tokens": 100, "completion_tokens": 31, "prompt_tokens_details": {"cached_tokens": 64}}
        told = read_usage(plain, limit=24, finish_reason="length")
        values: dict[str, Any] = {
            "id": "req-1",
            "source": "agent/harbour-1",
            "time": NOON,
            "allocation": ids.encode("alc", ids.new()),
            "card": card("llama-3-8b").digest,
            "finished_at": NOON + timedelta(seconds=2),
        }
        return usage_event(change.pop("usage", told), **values | change)

    def test_the_server_reads_what_is_sent(self) -> None:
        body = json.dumps([self.event(), self.event(id="req-2", subject="key-1")]).encode()

        first, second = events.parse(body, content_type=events.BATCH)

        assert (first.prompt_tokens, first.cached_tokens, first.completion_tokens) == (100, 64, 31)
        assert (first.billable_tokens, first.finish_reason, second.subject) == (24, "length", "key-1")
        assert first.time == NOON.astimezone(UTC)

    def test_unknown_cached_tokens_are_not_sent_as_none(self) -> None:
        unknown = read_usage({"prompt_tokens": 5, "completion_tokens": 1})

        with pytest.raises(CachedUnknown):
            self.event(usage=unknown)
        assert self.event(usage=unknown, cached_when_unknown=0)["data"]["cached_tokens"] == 0

    def test_an_instant_without_offset_is_refused(self) -> None:
        with pytest.raises(ValueError, match="UTC offset"):
            self.event(time=datetime(2026, 11, 24))


@pytest.mark.parametrize("meter", [OnnxMeter, TorchMeter])
def test_without_its_framework_a_meter_names_the_extra(meter: Any) -> None:
    class Model:
        def named_modules(self) -> Any:
            return [("layers", object())]

    with pytest.raises(MissingExtra, match=r"tokenspot-client\[(onnx|torch)\]"):
        meter(Model(), card=card("llama-3-8b"))


def test_without_opentelemetry_nothing_is_recorded() -> None:
    recorder = TokenUsage("vllm")

    recorder.record(read_usage({"prompt_tokens": 5, "completion_tokens": 1}), model="tiny")

    assert not recorder.available


def node(
    name: str, kind: str, inputs: list[Any], outputs: list[Any], parameters: int = 0, **more: Any
) -> dict[str, Any]:
    arguments = {
        "op_name": kind,
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": shape} for shape in outputs],
        "parameter_size": str(parameters),
        "activation_size": "100",
        "output_size": "10",
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": 7, "args": arguments} | more


class TestOnnxProfile:
    def test_counts_products_by_layer(self) -> None:
        profile = [
            {"cat": "Session", "name": "model_run", "dur": 90},
            node("/model/layers.0/q_proj/MatMul", "MatMul", [[1, 5, 8], [8, 16]], [[1, 5, 16]], 512),
            node("/model/layers.0/scores", "FusedMatMul", [[1, 2, 5, 4], [1, 2, 5, 4]], [[1, 2, 5, 5]]),
            node("/model/layers.0/turned", "FusedMatMul", [[3, 5], [3, 7]], [[5, 7]]),
            node("/model/layers.10/Softmax", "Softmax", [[5]], [[5]]),
            node("/model/layers.10/attn", "GroupQueryAttention", [[5]], [[5]]),
            node("/model/layers.10/o_proj/MatMul", "MatMul", [[1, 5, 8]], [[1, 5, 16]]),  # repacked weights
            node("/lm_head/MatMul", "MatMul", [[1, 1, 8], [8, 300]], [[1, 1, 300]], 9600),
        ]

        first, tenth, head = by_layer(read_profile(json.dumps(profile)))

        assert (first.name, first.linear_flops, first.attention_flops) == ("layer 0", 1280, 2 * 50 * 4 + 2 * 35 * 3)
        assert (first.bytes_moved, first.seconds) == (512 + 330, pytest.approx(21e-6))
        assert (tenth.name, tenth.linear_flops, tenth.uncounted) == ("layer 10", 1280, {"GroupQueryAttention"})
        assert tenth.bytes_moved == 4 * 8 * 16 + 330
        assert (head.name, head.linear_flops) == ("head", 4800)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[{", "cut short"),
            ("<html>", "no JSON"),
            ("{}", "array"),
            ("[1]", "event 0"),
            (json.dumps([node("a", "MatMul", [[2, 3]], [[5, 7]])]), r"event 0 .*does not give"),
            (json.dumps([node("a", "MatMul", [], [])]), "event 0"),
            (json.dumps([node("a", "Add", [], [], dur=-1)]), "no length of time"),
            (json.dumps([{"cat": "Node", "name": "a_kernel_time", "args": {}}]), "op_name"),
        ],
    )
    def test_refuses_what_is_no_profile(self, text: str, words: str) -> None:
        with pytest.raises(MalformedProfile, match=words):
            read_profile(text)
