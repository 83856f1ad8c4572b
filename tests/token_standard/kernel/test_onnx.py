"""ONNX files: the same work as the closed form, or a refusal that says why."""

import re
from fractions import Fraction

import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper

from tests.token_standard.kernel import onnx_llama
from token_standard import usage
from token_standard.__main__ import main
from token_standard.cards import Card
from token_standard.graphs import GraphError, count_onnx
from token_standard.huggingface.quantised import named_format

FP16 = named_format("fp16")


def saved(folder, model, **options):
    return onnx_llama.save(model, folder / "model.onnx", **options)


class TestCount:
    @pytest.mark.parametrize(("experts", "shape"), [(False, onnx_llama.DENSE), (True, onnx_llama.SPARSE)])
    @pytest.mark.parametrize("form", ["fp16", "fp8", "w4a16"])
    def test_agrees_with_the_closed_form(self, tmp_path, experts, shape, form):
        counted = count_onnx(saved(tmp_path, onnx_llama.build(experts=experts)), named_format(form))
        card = Card("tiny", shape, named_format(form))

        assert counted.work == shape.work(expert_batch=256)
        for n, c, g in [(100, 0, 0), (1, 99, 0), (0, 50, 20), (300, 200, 100)]:
            ratio = usage.st(counted, n=n, c=c, g=g) / usage.st(card, n=n, c=c, g=g)
            assert abs(ratio - 1) < Fraction(1, 100)
        assert usage.micro_st(counted, n=9000, c=70, g=800) == usage.micro_st(card, n=9000, c=70, g=800)

    def test_counts_the_prompt_of_a_graph_without_cache(self, tmp_path):
        counted = count_onnx(saved(tmp_path, onnx_llama.build(cache=False)), FP16)
        work = onnx_llama.DENSE.work(expert_batch=256)

        assert not counted.has_cache
        assert (counted.work.active_weights, counted.work.reaches[0].prefill_flops) == (
            work.active_weights,
            work.reaches[0].prefill_flops,
        )

    def test_reads_the_attention_operation(self, tmp_path):
        nodes = [helper.make_node("Attention", ["q", "k", "v"], ["y"], q_num_heads=4, kv_num_heads=2)]
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "s", size])
            for name, size in [("q_hidden", 32), ("k_hidden", 16), ("v_hidden", 16)]
        ]
        nodes = [helper.make_node("Attention", [each.name for each in inputs], ["y"], q_num_heads=4, kv_num_heads=2)]
        graph = helper.make_graph(
            nodes, "a", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "s", 32])]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])

        assert count_onnx(saved(tmp_path, model), FP16).work.reaches[0].prefill_flops == 4 * 4 * 8

    @pytest.mark.parametrize("kept", ["scaled", "constant"])
    def test_knows_a_weight_that_is_made_of_constants(self, tmp_path, kept):
        counted = count_onnx(saved(tmp_path, onnx_llama.build(kept=kept)), FP16)
        experts = count_onnx(saved(tmp_path, onnx_llama.build(kept=kept, experts=True)), FP16)

        assert counted.work == onnx_llama.DENSE.work(expert_batch=256)
        assert experts.work == onnx_llama.SPARSE.work(expert_batch=256)

    def test_takes_shapes_that_the_file_states_where_inference_cannot_follow(self, tmp_path):
        model = onnx_llama.build()
        word = next(node for node in model.graph.node if node.op_type == "Gather")
        word.output[0] = "picked"
        model.graph.node.insert(1, helper.make_node("NonZero", ["picked"], ["where"]))
        model.graph.node.insert(2, helper.make_node("Shape", ["where"], ["count"]))
        model.graph.node.insert(3, helper.make_node("Slice", ["count", "one", "two"], ["many"]))
        model.graph.node.insert(4, helper.make_node("Expand", ["picked", "many"], ["t0"]))
        for name, number in (("one", 1), ("two", 2)):
            model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [number]))
        model.graph.value_info.append(
            helper.make_tensor_value_info("t0", TensorProto.FLOAT, [1, "sequence_length", onnx_llama.HIDDEN])
        )

        assert count_onnx(saved(tmp_path, model), FP16).work == onnx_llama.DENSE.work(expert_batch=256)

    def test_reads_weights_kept_beside_the_file(self, tmp_path):
        counted = count_onnx(saved(tmp_path, onnx_llama.build(), external=True), FP16)

        assert counted.work == onnx_llama.DENSE.work(expert_batch=256)


class TestRefusals:
    def refused(self, path, problem):
        with pytest.raises(GraphError, match=problem):
            count_onnx(path, FP16)

    def test_refuses_a_file_cut_off_anywhere(self, tmp_path):
        whole = saved(tmp_path, onnx_llama.build()).read_bytes()

        for share in range(20):
            path = tmp_path / f"cut{share}.onnx"
            path.write_bytes(whole[: len(whole) * share // 20])
            self.refused(path, "cut off|bytes|no graph|not an ONNX")

    @pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08" * 50])
    def test_refuses_what_is_no_model(self, tmp_path, content):
        (tmp_path / "x.onnx").write_bytes(content)

        self.refused(tmp_path / "x.onnx", "not an ONNX file|no graph")

    def test_refuses_a_file_that_is_not_there(self, tmp_path):
        self.refused(tmp_path / "none.onnx", "No such file")

    def test_refuses_when_the_data_beside_is_missing_or_short(self, tmp_path):
        path = saved(tmp_path, onnx_llama.build(), external=True)
        data = tmp_path / "weights.bin"
        data.write_bytes(data.read_bytes()[:-1])
        self.refused(path, "cut off")
        data.unlink()
        self.refused(path, "is missing")

    @pytest.mark.parametrize("location", ["../secret", "/etc/passwd"])
    def test_refuses_data_outside_its_folder(self, tmp_path, location):
        model = onnx.load(str(saved(tmp_path, onnx_llama.build(), external=True)), load_external_data=False)
        for tensor in model.graph.initializer:
            tensor.external_data[0].value = location
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

        self.refused(tmp_path / "model.onnx", "outside the model's folder")

    @pytest.mark.parametrize(
        ("kind", "domain"), [("PagedAttention", "com.microsoft"), ("LSTM", ""), ("Loop", ""), ("MyOp", "own")]
    )
    def test_refuses_an_operation_it_does_not_know(self, tmp_path, kind, domain):
        model = onnx_llama.build()
        model.graph.node.append(helper.make_node(kind, ["logits"], ["more"], domain=domain))

        self.refused(saved(tmp_path, model), f"operation {re.escape(domain + '::' if domain else '')}{kind}")

    def test_refuses_shapes_that_depend_on_data(self, tmp_path):
        model = onnx_llama.build()
        model.graph.node.append(helper.make_node("NonZero", ["logits"], ["where"]))
        model.graph.node.append(helper.make_node("Cast", ["where"], ["floats"], to=TensorProto.FLOAT))
        model.graph.node.append(helper.make_node("Transpose", ["floats"], ["turned"], perm=[1, 0]))
        model.graph.node.append(helper.make_node("MatMul", ["turned", "floats"], ["square"]))

        self.refused(saved(tmp_path, model), "depends on data")

    def test_refuses_an_open_dimension_without_a_meaning(self, tmp_path):
        model = onnx_llama.build()
        model.graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["frames", 3]))

        self.refused(saved(tmp_path, model), "'pixels' has an open dimension")


class TestCommand:
    def test_estimates_from_the_file(self, tmp_path, capsys):
        path = saved(tmp_path, onnx_llama.build())

        assert main(["estimate", str(path), "--input", "2048", "--output", "100"]) == 0

        expected = usage.micro_st(Card("tiny", onnx_llama.DENSE, FP16), n=2048, c=0, g=100)
        assert f"total       {usage.st_text(expected)} ST, as invoiced" in capsys.readouterr().out

    def test_does_not_guess_a_cache(self, tmp_path, capsys):
        path = saved(tmp_path, onnx_llama.build(cache=False))

        assert main(["estimate", str(path), "--input", "20"]) == 0
        assert main(["estimate", str(path), "--input", "20", "--output", "1"]) == 2

        assert "no key/value cache" in capsys.readouterr().err
