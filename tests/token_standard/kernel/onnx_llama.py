"""A tiny Llama as an ONNX graph with key/value cache, built on the spot: no weights are downloaded or trained."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from token_standard.architecture import Architecture, Experts, GroupedAttention

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD, WIDTH, WORDS = 32, 2, 4, 2, 8, 64, 100
EXPERTS, CHOSEN = 4, 2

DENSE = Architecture(
    layers=LAYERS,
    hidden=HIDDEN,
    vocabulary=WORDS,
    attention=GroupedAttention(HEADS, KV_HEADS, HEAD),
    intermediate=WIDTH,
)
SPARSE = Architecture(
    layers=LAYERS, hidden=HIDDEN, vocabulary=WORDS, attention=GroupedAttention(HEADS, KV_HEADS, HEAD),
    experts=Experts(layers=LAYERS, count=EXPERTS, top_k=CHOSEN, intermediate=WIDTH),
)  # fmt: skip


class Builder:
    def __init__(self, kept="plain"):
        self.kept = kept
        self.nodes, self.weights, self.inputs, self.outputs, self.count = [], [], [], [], 0

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        if self.kept == "constant":
            return self("Constant", value=numpy_helper.from_array(np.zeros(shape, np.float32)))
        kind = np.int8 if self.kept == "scaled" else np.float32
        self.weights.append(numpy_helper.from_array(np.zeros(shape, kind), name))
        if self.kept == "scaled":  # eight bits and one scale a column
            scale = numpy_helper.from_array(np.ones(shape[-1:], np.float32), f"{name}.scale")
            self.weights.append(scale)
            return self("Mul", self("Cast", name, to=TensorProto.FLOAT), scale.name)
        return name

    def ints(self, *values):
        name = f"i{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        names = [f"t{self.count + i}" for i in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def model(self):
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def build(*, experts=False, cache=True, seq="sequence_length", kept="plain"):
    b = Builder(kept)
    b.inputs.append(helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", seq]))
    x = b("Gather", b.weight(WORDS, HIDDEN), "input_ids")
    for layer in range(LAYERS):
        x = b("Add", x, attention(b, x, layer, cache=cache))
        x = b("Add", x, mixture(b, x) if experts else feed_forward(b, x))
    logits = b("MatMul", x, b.weight(HIDDEN, WORDS))
    b.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
    b.outputs.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", seq, WORDS]))
    return b.model()


def attention(b, x, layer, *, cache):
    def project(heads):
        split = b("Reshape", b("MatMul", x, b.weight(HIDDEN, heads * HEAD)), b.ints(0, 0, heads, HEAD))
        return b("Transpose", split, perm=[0, 2, 1, 3])

    def cached(new, kind):
        if not cache:
            return new
        past = f"past_key_values.{layer}.{kind}"
        b.inputs.append(
            helper.make_tensor_value_info(past, TensorProto.FLOAT, ["batch", KV_HEADS, "past_sequence_length", HEAD])
        )
        return b("Concat", past, new, axis=2)

    def repeated(few):
        one = b("Unsqueeze", few, b.ints(2))
        return b("Reshape", b("Concat", one, one, axis=2), b.ints(0, HEADS, -1, HEAD))

    queries = project(HEADS)
    keys, values = (repeated(cached(project(KV_HEADS), kind)) for kind in ("key", "value"))
    scores = b("Softmax", b("MatMul", queries, b("Transpose", keys, perm=[0, 1, 3, 2])), axis=-1)
    mixed = b("Transpose", b("MatMul", scores, values), perm=[0, 2, 1, 3])
    return b("MatMul", b("Reshape", mixed, b.ints(0, 0, HEADS * HEAD)), b.weight(HEADS * HEAD, HIDDEN))


def feed_forward(b, x):
    gate = b("Sigmoid", b("MatMul", x, b.weight(HIDDEN, WIDTH)))
    return b("MatMul", b("Mul", gate, b("MatMul", x, b.weight(HIDDEN, WIDTH))), b.weight(WIDTH, HIDDEN))


def mixture(b, x):
    """Each token picks its experts' matrices out of a table and multiplies with them."""
    _, chosen = b("TopK", b("Softmax", b("MatMul", x, b.weight(HIDDEN, EXPERTS))), b.ints(CHOSEN), outputs=2)

    def picked(rows, columns):
        return b("Gather", b.weight(EXPERTS, rows, columns), chosen, axis=0)  # batch, token, choice, rows, columns

    row = b("Unsqueeze", x, b.ints(2, 3))
    gate = b("Sigmoid", b("MatMul", row, picked(HIDDEN, WIDTH)))
    wide = b("Mul", gate, b("MatMul", row, picked(HIDDEN, WIDTH)))
    return b("ReduceSum", b("MatMul", wide, picked(WIDTH, HIDDEN)), b.ints(2, 3), keepdims=0)


def save(model, path, *, external=False):
    onnx.save(model, str(path), save_as_external_data=external, location="weights.bin", size_threshold=0)
    return path
