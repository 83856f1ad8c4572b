"""The closed form against PyTorch, `make test-torch-export`: an exported ONNX decoder, and a 7B model of fake tensors.

PyTorch stays out of the hashed requirements. No weights are downloaded: models have random ones, or none.
"""

import sys
import tempfile
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from token_standard import catalogue
from token_standard.graphs import count_onnx
from token_standard.huggingface.quantised import named_format
from token_standard.huggingface.reading import read

CLOSE = 0.01
TOKENS = 2048


class Decoder(torch.nn.Module):
    """A decoder of two layers that goes on from a cache."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, past_k0, past_v0, past_k1, past_v1):
        cache = DynamicCache()
        cache.update(past_k0, past_v0, 0)
        cache.update(past_k1, past_v1, 1)
        return self.model(input_ids=input_ids, past_key_values=cache, use_cache=True).logits


def exported():
    """Whether a decoder that PyTorch exports is counted as its own configuration says."""
    config = LlamaConfig(
        hidden_size=128, intermediate_size=344, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=512, max_position_embeddings=512, attn_implementation="eager",
    )  # fmt: skip
    new, past = (torch.export.Dim(name, min=2, max=256) for name in ("new", "past"))
    caches = ["past_k0", "past_v0", "past_k1", "past_v1"]
    inputs = (torch.randint(0, 512, (1, 9)), *(torch.zeros(1, 2, 5, 32) for _ in caches))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "llama.onnx"
        torch.onnx.export(
            Decoder(LlamaForCausalLM(config).eval()), inputs, str(path), dynamo=True, verbose=False,
            dynamic_shapes={"input_ids": {1: new}} | {name: {2: past} for name in caches},
            input_names=["input_ids", *caches], output_names=["logits"],
        )  # fmt: skip
        counted = count_onnx(path, named_format("fp16")).work
    kept = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    plain = {name: getattr(config, name) for name in (*kept, "num_key_value_heads", "vocab_size")}
    expected = read(plain, name="tiny").architecture.work(expert_batch=256)
    good = counted == expected
    print(f"exported ONNX: {counted.active_weights} weights a token, {counted.head_weights} of the head", verdict(good))
    return good


def fake():
    """Whether FlopCounterMode finds Llama-2-7B's FLOPs for a prompt: eager attention counts the whole square."""
    shape = catalogue.card("llama-2-7b").architecture
    with FakeTensorMode():
        config = LlamaConfig(attn_implementation="eager")  # the defaults are Llama-2-7B
        model = LlamaForCausalLM(config)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(input_ids=torch.zeros((1, TOKENS), dtype=torch.int64), use_cache=False)
    linear = 2 * (shape.active_weights + shape.head_weights) * TOKENS
    ours = linear + shape.layers * shape.attention.prefill_flops * TOKENS**2
    ratio = counter.get_total_flops() / ours
    good = abs(ratio - 1) <= CLOSE
    print(f"fake tensors, Llama-2-7B, {TOKENS} tokens: ours {ours}, PyTorch ratio {ratio:.4f}", verdict(good))
    return good


def verdict(good):
    return "ok" if good else "WRONG"


if __name__ == "__main__":
    sys.exit(not all([exported(), fake()]))
