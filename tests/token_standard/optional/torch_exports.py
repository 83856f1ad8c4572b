"""The closed form against PyTorch, `make test-torch-export`: an exported ONNX decoder, and a 7B model of fake tensors.

PyTorch stays out of the hashed requirements. No weights are downloaded: models have random ones, or none.
"""

import sys
import tempfile
from pathlib import Path

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from token_standard import catalogue
from token_standard.graphs import GraphError, count_onnx
from token_standard.graphs.torch_module import count_configuration, count_module
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
    """Whether PyTorch multiplies for a prompt of Llama-2-7B what the closed form says, over the whole square."""
    shape = catalogue.card("llama-2-7b").architecture
    found = count_configuration({"model_type": "llama"}, tokens=TOKENS)  # transformers' defaults are Llama-2-7B
    linear = 2 * (shape.active_weights + shape.head_weights) * TOKENS
    square = shape.layers * shape.attention.prefill_flops * TOKENS**2
    ratio = (found.linear_flops + found.attention_flops) / (linear + square)
    good = abs(ratio - 1) <= CLOSE and found.linear_flops == linear
    print(
        f"fake tensors, Llama-2-7B, {TOKENS} tokens: ours {linear + square}, PyTorch ratio {ratio:.4f}", verdict(good)
    )
    return good


def fused():
    """Whether fused attention is counted as much as eager attention."""
    query, key = torch.zeros(2, 4, 7, 32), torch.zeros(2, 4, 19, 32)
    counted = count_module(torch.nn.functional.scaled_dot_product_attention, query, key, key)
    good = counted.attention_flops == 2 * 4 * 7 * 19 * 32 * 4 and counted.linear_flops == 0
    print(f"fused attention: {counted.attention_flops} FLOP", verdict(good))
    return good


def refused():
    """Whether what cannot be counted is refused by name: an unknown operation, and routed experts."""
    mixtral = {"model_type": "mixtral", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
               "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "num_local_experts": 4}  # fmt: skip
    tries = {
        "an operation": lambda: count_module(torch.linalg.svd, torch.zeros(4, 4)),
        "routed experts": lambda: count_configuration(mixtral, tokens=16),
        "an unknown model": lambda: count_configuration({"model_type": "no-such-model"}, tokens=16),
    }
    good = True
    for name, attempt in tries.items():
        try:
            attempt()
            good, said = False, "counted"
        except GraphError as error:
            said = str(error)
        print(f"{name}: {said[:90]}", verdict(good))
    return good


def verdict(good):
    return "ok" if good else "WRONG"


if __name__ == "__main__":
    sys.exit(not all([exported(), fake(), fused(), refused()]))
