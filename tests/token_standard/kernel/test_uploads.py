"""Files made to hurt: refused with a sentence, whatever is in them."""

import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper

from token_standard import uploads
from token_standard.graphs import GraphError, count_onnx
from token_standard.huggingface.quantised import named_format


def tensor(dims, *, kind=TensorProto.FLOAT, location="", length="256", raw=None):
    made = TensorProto(name="w", data_type=kind, dims=dims)
    if raw is not None:
        made.raw_data = raw
    elif location:
        made.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("length", length)):
            made.external_data.add(key=key, value=value)
    return made


def model(*tensors):
    given = helper.make_tensor_value_info("hidden_states", TensorProto.FLOAT, [1, "s", 8])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("MatMul", ["hidden_states", "w"], ["y"])
    return helper.make_model(helper.make_graph([node], "g", [given], [made], list(tensors))).SerializeToString()


class TestOnnx:
    def test_weights_outside_need_not_come_along(self):
        found = uploads.count([model(tensor([8, 8], location="w.bin"))], "onnx", name="good")

        assert found.work.head_weights == 64

    @pytest.mark.parametrize(
        ("made", "problem"),
        [
            (tensor([8, 8], location="../../etc/passwd"), "not in a file beside the model"),
            (tensor([8, 8], location="/etc/passwd"), "not in a file beside the model"),
            (tensor([8, 8], location="a\0b"), "not in a file beside the model"),
            (tensor([8, 8], location="x" * 300), "not in a file beside the model"),
            (tensor([8, 8], location="w.bin", length="-5"), "no usable offset"),
            (tensor([8, 2**62], location="w.bin"), "cannot be"),
            (tensor([2**62] * 500, location="w.bin"), "cannot be"),
            (tensor([8, -8], location="w.bin"), "cannot be"),
            (tensor([8, 0], location="w.bin"), "is empty"),
            (tensor([8, 8], kind=9999, raw=b"x"), "unknown type 9999"),
            (tensor([8, 8]), "has no data"),
        ],
    )  # fmt: skip
    def test_is_refused_by_name(self, made, problem):
        with pytest.raises(GraphError, match=problem):
            uploads.count([model(made)], "onnx", name="bad")

    def test_weights_in_very_many_files_are_refused(self):
        made = [tensor([8, 8], location=f"w{number}") for number in range(5000)]

        with pytest.raises(GraphError, match="more than 4096 files"):
            uploads.count([model(*made)], "onnx", name="bad")

    def test_a_negative_input_is_no_negative_cost(self, tmp_path):
        given = helper.make_tensor_value_info("input_ids", TensorProto.FLOAT, [1, -4, 8])
        made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 8], [1.0] * 64)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["input_ids", "w"], ["y"])], "g", [given], [made], [weight]
        )
        path = tmp_path / "model.onnx"
        path.write_bytes(helper.make_model(graph).SerializeToString())

        with pytest.raises(GraphError, match="cannot be"):
            count_onnx(path, named_format("fp16"))

    def test_an_operation_that_gives_nothing_is_a_file_cut_off(self):
        made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
        graph = helper.make_graph([helper.make_node("MatMul", [], [], name="m")], "g", [], [made])

        with pytest.raises(GraphError, match="'m' gives nothing"):
            uploads.count([helper.make_model(graph).SerializeToString()], "onnx", name="bad")

    def test_what_nobody_foresaw_is_a_refusal_too(self, monkeypatch, capsys, tmp_path):
        monkeypatch.setattr(uploads, "_limit", lambda: None)
        monkeypatch.setattr(uploads, "count_stablehlo", lambda path: [][1])

        assert uploads.main(["stablehlo", str(tmp_path / "x.mlir"), "fp16"]) == 0
        assert "malformed" in capsys.readouterr().out
