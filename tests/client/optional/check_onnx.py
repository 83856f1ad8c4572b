"""Metering of ONNX Runtime sessions: sampled profiles against the card's formula, and what sampling costs."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenspot_client.hooks import NotCounted, OnnxMeter, TokenUsage

from tests.client.optional.tiny import card_of
from token_standard import usage
from token_standard.architecture import Architecture, GroupedAttention

TINY = Architecture(2, 64, 300, GroupedAttention(4, 4, 16), intermediate=160)
MIDDLE = Architecture(6, 384, 4000, GroupedAttention(6, 6, 64), intermediate=1024)


def build(shape: Architecture) -> bytes:
    """A decoder with keys and values as inputs and outputs, nodes named by their layers. No mask, no rotation."""
    chance, nodes, weights = np.random.default_rng(1), [], []
    heads, size = shape.attention.heads, shape.attention.head_dim

    def constant(name: str, value: Any) -> str:
        weights.append(numpy_helper.from_array(value, name))
        return name

    def matrix(name: str, rows: int, columns: int) -> str:
        return constant(name, (chance.standard_normal((rows, columns)) / rows**0.5).astype(np.float32))

    def node(kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"{name}/out"], name=name, **attributes))
        return f"{name}/out"

    split, joined = (
        constant("split", np.array([0, -1, heads, size])),
        constant("joined", np.array([0, -1, heads * size])),
    )
    x = node("Gather", "/model/embed/Gather", matrix("embedding", shape.vocabulary, shape.hidden), "input_ids")
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "n"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "n", shape.vocabulary])]
    for number in range(shape.layers):
        at = f"/model/layers.{number}"

        def project(what: str, source: str, columns: int, rows: int = shape.hidden, at: str = at) -> str:
            return node("MatMul", f"{at}/{what}_proj/MatMul", source, matrix(f"{at}.{what}", rows, columns))

        def by_head(what: str, source: str, order: tuple[int, ...] = (0, 2, 1, 3), at: str = at) -> str:
            return node("Transpose", f"{at}/{what}/t", node("Reshape", f"{at}/{what}/r", source, split), perm=order)

        q, fresh = by_head("q", project("q", x, heads * size)), {}
        for what in ("k", "v"):
            past = f"past_key_values.{number}.{'key' if what == 'k' else 'value'}"
            inputs.append(helper.make_tensor_value_info(past, TensorProto.FLOAT, [1, heads, f"p{number}{what}", size]))
            fresh[what] = node(
                "Concat", f"{at}/{what}/Concat", past, by_head(what, project(what, x, heads * size)), axis=2
            )
            outputs.append(
                helper.make_tensor_value_info(fresh[what], TensorProto.FLOAT, [1, heads, f"t{number}{what}", size])
            )
        turned = node("Transpose", f"{at}/k/turned", fresh["k"], perm=(0, 1, 3, 2))
        scores = node("Softmax", f"{at}/Softmax", node("MatMul", f"{at}/scores/MatMul", q, turned), axis=-1)
        mixed = node("MatMul", f"{at}/mixed/MatMul", scores, fresh["v"])
        flat = node("Reshape", f"{at}/o/r", node("Transpose", f"{at}/o/t", mixed, perm=(0, 2, 1, 3)), joined)
        x = node("Add", f"{at}/add1", x, project("o", flat, shape.hidden, heads * size))
        gate = node("Mul", f"{at}/gate", node("Sigmoid", f"{at}/Sigmoid", project("gate", x, shape.intermediate)),
                    project("up", x, shape.intermediate))  # fmt: skip
        x = node("Add", f"{at}/add2", x, project("down", gate, shape.hidden, shape.intermediate))
    nodes.append(
        helper.make_node(
            "MatMul", [x, matrix("head", shape.hidden, shape.vocabulary)], ["logits"], name="/lm_head/MatMul"
        )
    )
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def one_thread() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def generate(meter: OnnxMeter, shape: Architecture, prompt: int, tokens: int) -> None:
    names = [each.name for each in meter.session.get_inputs()][1:]
    heads, size = shape.attention.heads, shape.attention.head_dim
    kept = dict.fromkeys(names, np.zeros((1, heads, 0, size), np.float32))
    ids = np.ones((1, prompt), np.int64)
    for _ in range(tokens):
        logits, *fresh = meter.run(None, {"input_ids": ids, **kept})
        kept, ids = dict(zip(names, fresh, strict=True)), logits[:, -1:].argmax(-1)


@pytest.fixture
def meter() -> OnnxMeter:
    return OnnxMeter(build(TINY), card=card_of(TINY), every=1, options=one_thread)


def test_profiled_layers_equal_the_formula(meter: OnnxMeter, capsys: Any) -> None:
    generate(meter, TINY, prompt=1, tokens=30)
    rows = {row.name: row for row in meter.layer_table()}

    contexts = range(1, 31)
    with capsys.disabled():
        print("\n| part | µs | FLOP | bytes | work ST | not counted |\n|---|---|---|---|---|---|")
        for r in rows.values():
            print(f"| {r.name} | {1e6 * r.seconds:,.0f} | {r.flops:,} | {r.bytes_moved:,} | {meter.work_st(r):.3e} | {', '.join(sorted(r.uncounted)) or '–'} |")  # fmt: skip
    assert not any(row.uncounted for row in rows.values())
    assert sum(row.flops for row in rows.values()) == sum(TINY.generation_flops(context) for context in contexts)
    for number in range(TINY.layers):
        row = rows[f"layer {number}"]
        assert row.linear_flops == 2 * 30 * TINY.active_weights // TINY.layers
        assert row.attention_flops == TINY.attention.decode_flops * sum(contexts)
    assert rows["head"].linear_flops == 2 * 30 * TINY.head_weights


def test_a_request_tells_its_usage_and_the_card_its_price(meter: OnnxMeter) -> None:
    with meter.request(limit=20) as request:
        generate(meter, TINY, prompt=40, tokens=25)

    told, card = request.usage, card_of(TINY)
    assert (told.prompt, told.cached, told.generated, told.billable) == (40, 0, 25, 20)
    exact = usage.st(card, n=40, c=0, g=0) + sum(usage.shares(card, n=0, c=p, g=1).output for p in range(40, 64))
    assert meter.prompt.nominal_st + meter.decode.nominal_st == pytest.approx(float(exact), rel=1e-9)


def test_one_run_in_so_many_is_profiled() -> None:
    meter = OnnxMeter(build(TINY), card=card_of(TINY), every=10, options=one_thread)
    generate(meter, TINY, prompt=4, tokens=35)

    first = sum(row.flops for row in meter.layer_table())
    generate(meter, TINY, prompt=4, tokens=10)

    assert meter.profiled_runs == 4
    assert sum(row.flops for row in meter.layer_table()) > first > 0


def test_sampling_changes_no_answer_and_leaves_no_file(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    kept = {f"past_key_values.{i}.{w}": np.zeros((1, 4, 0, 16), np.float32) for i in range(2) for w in ("key", "value")}
    feed = {"input_ids": np.arange(6)[None], **kept}
    plain, sampled = (OnnxMeter(build(TINY), card=card_of(TINY), every=every) for every in (0, 1))

    np.testing.assert_array_equal(plain.run(["logits"], feed)[0], sampled.run(["logits"], feed)[0])
    sampled.layer_table()

    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_runs_and_is_not_counted(meter: OnnxMeter) -> None:
    meter._call_of = lambda feed: feed["nothing"]
    with meter.request() as request:
        generate(meter, TINY, prompt=3, tokens=1)
    with pytest.raises(NotCounted):
        _ = request.usage
    with pytest.raises(Exception, match="input_ids"):
        meter.run(None, {})

    assert (meter.prompt.unread, meter.prompt.failed) == (1, 1)


def test_overhead_stays_within_its_bounds(capsys: Any) -> None:
    model, shape = build(MIDDLE), MIDDLE
    kept = {
        f"past_key_values.{i}.{w}": np.zeros((1, 6, 64, 64), np.float32) for i in range(6) for w in ("key", "value")
    }
    feed = {"input_ids": np.ones((1, 1), np.int64), **kept}
    meter = OnnxMeter(model, card=card_of(shape), every=0, options=one_thread)
    profiled = OnnxMeter(model, card=card_of(shape), every=1, options=one_thread)

    def seconds(run: Any, calls: int = 30) -> float:
        began = time.thread_time()
        for _ in range(calls):
            run(None, feed)
        return (time.thread_time() - began) / calls

    for run in (profiled.run, meter.run):
        seconds(run)
    bare = median(seconds(meter.session.run) for _ in range(9))

    class Nothing:
        def run(self, outputs: Any, feed: Any) -> list[Any]:
            return []

    session, meter.session = meter.session, Nothing()
    added = median(seconds(meter.run, 2_000) - seconds(Nothing().run, 2_000) for _ in range(9))
    meter.session = session
    sampled = median(seconds(profiled.run) - seconds(meter.session.run) for _ in range(15))

    with capsys.disabled():
        print(f"\nevery run: {1e6 * added:.1f} µs of {1e6 * bare:,.0f} µs CPU time, {100 * added / bare:.3f} %")
        print(
            f"a profiled run: {1e6 * sampled:.1f} µs more, {100 * sampled / bare:.2f} %; 1 in 100: {sampled / bare:.4f} %"
        )
    assert added <= 0.01 * bare
    assert added + sampled / 100 <= 0.05 * bare


def test_opentelemetry_gets_billable_tokens() -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from tokenspot_client.engines import read_usage

    reader = InMemoryMetricReader()
    recorder = TokenUsage("llama.cpp", meter_provider=MeterProvider([reader]))
    recorder.record(read_usage({"prompt_tokens": 7, "completion_tokens": 31}, limit=24), model="tiny")

    metric = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0]
    sums = {point.attributes["gen_ai.token.type"]: point.sum for point in metric.data.data_points}
    assert (metric.name, metric.unit, sums) == ("gen_ai.client.token.usage", "{token}", {"input": 7, "output": 24})


def test_the_model_is_valid() -> None:
    onnx.checker.check_model(onnx.load_from_string(build(TINY)))
