"""Operations of ONNX Runtime that exported models use, in small models made on the spot, against the card's formula."""

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from tests.token_standard.kernel import onnx_llama
from token_standard import usage
from token_standard.architecture import Architecture, Experts, GroupedAttention, Window
from token_standard.cards import Card
from token_standard.graphs import GraphError, count_onnx
from token_standard.huggingface.quantised import named_format

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD, WIDTH, WORDS = 32, 2, 4, 2, 8, 64, 100
EXPERTS, CHOSEN, BLOCK = 4, 2, 16
FP16 = named_format("fp16")
CONTRIB = "com.microsoft"


def card_of(*, kv_heads=KV_HEADS, experts=None, windows=(), gated=True):
    shape = Architecture(
        layers=LAYERS,
        hidden=HIDDEN,
        vocabulary=WORDS,
        attention=GroupedAttention(HEADS, kv_heads, HEAD),
        intermediate=0 if experts else WIDTH,
        gated=gated,
        experts=experts,
        windows=windows,
    )
    return Card("tiny", shape, FP16)


class Tiny(onnx_llama.Builder):
    """A decoder out of contributed operations; ``bits`` packs the weights of its matrices."""

    def __init__(self, bits=0, opset=18):
        super().__init__()
        self.bits, self.opset = bits, opset

    def contrib(self, kind, *inputs, outputs=1, domain=CONTRIB, **attributes):
        return self(kind, *inputs, outputs=outputs, domain=domain, **attributes)

    def stored(self, shape, kind=np.float32):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.zeros(shape, kind), name))
        return name

    def product(self, x, rows, columns):
        if not self.bits:
            return self("MatMul", x, self.stored((rows, columns)))
        blocks = rows // BLOCK
        packed = self.stored((columns, blocks, BLOCK * self.bits // 8), np.uint8)
        scales = self.stored((columns * blocks,))
        return self.contrib("MatMulNBits", x, packed, scales, K=rows, N=columns, bits=self.bits, block_size=BLOCK)

    def cache(self, layer, kind, heads):
        name = f"past_key_values.{layer}.{kind}"
        shape = ["batch_size", heads, "past_sequence_length", HEAD]
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def finished(self, x):
        logits = self.product(x, HIDDEN, WORDS)
        self.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
        self.outputs.append(
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", "sequence_length", WORDS])
        )
        graph = helper.make_graph(self.nodes, "tiny", self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets)


def decoder(attend, feed, *, bits=0, opset=18):
    """Ids to logits: ``attend`` and ``feed`` make the two halves of a layer, joined by a skip and norm in one."""
    b = Tiny(bits, opset)
    b.inputs.append(helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]))
    b.inputs.append(
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"])
    )
    skip = b("Gather", b.stored((WORDS, HIDDEN)), "input_ids")
    x = b("SimplifiedLayerNormalization", skip, b.stored((HIDDEN,)), axis=-1)  # ONNX Runtime gives it no domain
    for layer in range(LAYERS):
        for half in (lambda y, layer=layer: attend(b, y, layer), lambda y: feed(b, y)):
            x, _, _, skip = b.contrib("SkipSimplifiedLayerNormalization", half(x), skip, b.stored((HIDDEN,)), outputs=4)
    return b.finished(x)


def grouped(b, x, layer, *, packed=False, window=-1):
    past = [b.cache(layer, "key", KV_HEADS), b.cache(layer, "value", KV_HEADS)]
    if packed:
        given = [b.product(x, HIDDEN, (HEADS + 2 * KV_HEADS) * HEAD), "", ""]
    else:
        given = [b.product(x, HIDDEN, heads * HEAD) for heads in (HEADS, KV_HEADS, KV_HEADS)]
        given[0] = b.contrib("RotaryEmbedding", given[0], b.ints(0), b.stored((64, 4)), b.stored((64, 4)))
    mixed, _, _ = b.contrib(
        "GroupQueryAttention", *given, *past, b.ints(0), b.ints(0),
        outputs=3, num_heads=HEADS, kv_num_heads=KV_HEADS, local_window_size=window,
    )  # fmt: skip
    return b.product(mixed, HEADS * HEAD, HIDDEN)


def multi_head(b, x, layer):
    given = [b.product(x, HIDDEN, HEADS * HEAD) for _ in range(3)]
    past = [b.cache(layer, "key", HEADS), b.cache(layer, "value", HEADS)]
    mixed, _, _ = b.contrib("MultiHeadAttention", *given, "", "", "", *past, outputs=3, num_heads=HEADS)
    return b.product(mixed, HEADS * HEAD, HIDDEN)


def older(b, x, layer):
    name = f"past_key_values.{layer}"
    shape = [2, "batch_size", HEADS, "past_sequence_length", HEAD]
    b.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    mixed, _ = b.contrib("Attention", x, b.stored((HIDDEN, 3 * HEADS * HEAD)), "", "", name, outputs=2, num_heads=HEADS)
    return b.product(mixed, HEADS * HEAD, HIDDEN)


def standard(b, x, layer):
    """The operation of the standard itself, from opset 23 on."""
    given = [b.product(x, HIDDEN, heads * HEAD) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    past = [b.cache(layer, "key", KV_HEADS), b.cache(layer, "value", KV_HEADS)]
    mixed, _, _ = b("Attention", *given, "", *past, outputs=3, q_num_heads=HEADS, kv_num_heads=KV_HEADS)
    return b.product(mixed, HEADS * HEAD, HIDDEN)


def gated(b, x):
    gate = b.contrib("QuickGelu", b.product(x, HIDDEN, WIDTH))
    return b.product(b("Mul", gate, b.product(x, HIDDEN, WIDTH)), WIDTH, HIDDEN)


def routed(b, x):
    probabilities = b("Reshape", b.product(x, HIDDEN, EXPERTS), b.ints(-1, EXPERTS))
    tables = [b.stored((EXPERTS, HIDDEN, WIDTH)), "", b.stored((EXPERTS, WIDTH, HIDDEN)), ""]
    return b.contrib("MoE", x, probabilities, *tables, b.stored((EXPERTS, HIDDEN, WIDTH)), k=CHOSEN)


def routed_packed(b, x):
    """Gate and up matrices in one table, four bits a weight, two weights a byte."""
    probabilities = b("Reshape", b.product(x, HIDDEN, EXPERTS), b.ints(-1, EXPERTS))
    first = [b.stored((EXPERTS, 2 * WIDTH, HIDDEN // 2), np.uint8), b.stored((EXPERTS, 2 * WIDTH)), ""]
    second = [b.stored((EXPERTS, HIDDEN, WIDTH // 2), np.uint8), b.stored((EXPERTS, HIDDEN)), ""]
    return b.contrib("QMoE", x, probabilities, *first, *second, k=CHOSEN, expert_weight_bits=4, swiglu_fusion=1)


ROUTED = Experts(layers=LAYERS, count=EXPERTS, top_k=CHOSEN, intermediate=WIDTH)
MODELS = [
    pytest.param(decoder(grouped, gated), card_of(), id="GroupQueryAttention"),
    pytest.param(decoder(lambda b, x, i: grouped(b, x, i, packed=True), gated), card_of(), id="packed QKV"),
    pytest.param(decoder(grouped, gated, bits=4), card_of(), id="MatMulNBits 4"),
    pytest.param(decoder(grouped, gated, bits=8), card_of(), id="MatMulNBits 8"),
    pytest.param(decoder(multi_head, gated), card_of(kv_heads=HEADS), id="MultiHeadAttention"),
    pytest.param(decoder(older, gated), card_of(kv_heads=HEADS), id="Attention, com.microsoft"),
    pytest.param(decoder(standard, gated, opset=23), card_of(), id="Attention, opset 23"),
    pytest.param(decoder(grouped, routed), card_of(experts=ROUTED), id="MoE"),
    pytest.param(decoder(grouped, routed_packed, bits=4), card_of(experts=ROUTED), id="QMoE"),
    pytest.param(
        decoder(lambda b, x, i: grouped(b, x, i, window=24 if i else -1), gated),
        card_of(windows=(Window(1, 24),)),
        id="local_window_size",
    ),
]


def saved(folder, model):
    return onnx_llama.save(model, folder / "model.onnx")


class TestCount:
    @pytest.mark.parametrize(("model", "card"), MODELS)
    def test_agrees_with_the_closed_form(self, tmp_path, model, card):
        counted = count_onnx(saved(tmp_path, model), FP16)

        assert counted.work == card.architecture.work(expert_batch=256)
        for n, c, g in [(100, 0, 0), (1, 99, 0), (0, 50, 20), (300, 200, 100)]:
            ratio = usage.st(counted, n=n, c=c, g=g) / usage.st(card, n=n, c=c, g=g)
            assert abs(ratio - 1) < Fraction(1, 100)
        assert counted.has_cache
        assert counted.experts == (card.architecture.experts is not None)

    @pytest.mark.parametrize("bits", [4, 8])
    def test_packed_bytes_are_those_of_the_stored_tensors(self, tmp_path, bits):
        model = decoder(grouped, gated, bits=bits)
        packed = {node.input[i] for node in model.graph.node if node.op_type == "MatMulNBits" for i in (1, 2)}
        sizes = {tensor.name: (tensor.dims, tensor.data_type) for tensor in model.graph.initializer}
        stored = sum(
            int(np.prod(dims)) * (1 if kind == TensorProto.UINT8 else 2)  # scales count as 16 bits
            for dims, kind in (sizes[name] for name in packed)
        )

        assert count_onnx(saved(tmp_path, model), FP16).packed_bytes == stored


class TestRefusals:
    def test_an_operation_outside_of_the_table_is_refused_by_name(self, tmp_path):
        def strange(b, x):
            return b.contrib("LinearAttention", x)

        with pytest.raises(GraphError, match=r"com\.microsoft::LinearAttention"):
            count_onnx(saved(tmp_path, decoder(grouped, strange)), FP16)

    def test_keys_and_values_packed_in_multi_head_attention_are_refused(self, tmp_path):
        def packed(b, x, layer):
            return b.contrib("MultiHeadAttention", x, x, num_heads=HEADS)

        with pytest.raises(GraphError, match="packed keys and values"):
            count_onnx(saved(tmp_path, decoder(packed, gated)), FP16)

    def test_a_missing_attribute_is_named(self, tmp_path):
        def bare(b, x):
            return b.contrib("MatMulNBits", x, b.stored((4, 1, 8), np.uint8), b.stored((4,)))

        with pytest.raises(GraphError, match="no whole number 'K'"):
            count_onnx(saved(tmp_path, decoder(grouped, bare)), FP16)

    def test_a_table_that_is_no_weight_is_refused(self, tmp_path):
        def computed(b, x):
            return b.contrib("MatMulNBits", x, x, b.stored((4,)), K=HIDDEN, N=HIDDEN, bits=4, block_size=BLOCK)

        with pytest.raises(GraphError, match="which is no weight"):
            count_onnx(saved(tmp_path, decoder(grouped, computed)), FP16)
