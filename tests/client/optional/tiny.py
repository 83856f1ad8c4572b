"""A Llama of any size in torch, with a cache, and the card that describes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from token_standard.architecture import Architecture, GroupedAttention
from token_standard.cards import Card, published_format

TINY = Architecture(3, 64, 300, GroupedAttention(4, 2, 16), intermediate=160)
MIDDLE = Architecture(8, 512, 4000, GroupedAttention(8, 4, 64), intermediate=1408)  # 27 million parameters


def card_of(shape: Architecture) -> Card:
    """fp16's card: what is billed does not ask in which format a test runs."""
    return Card(model="tiny", architecture=shape, format=published_format("fp16"))


class Cache:
    """Keys and values by layer."""

    def __init__(self, layers: int) -> None:
        self.kept: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def get_seq_length(self) -> int:
        return 0 if self.kept[0] is None else self.kept[0][0].shape[2]

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if (before := self.kept[layer]) is not None:
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        self.kept[layer] = (keys, values)
        return keys, values


class Attention(nn.Module):
    def __init__(self, shape: Architecture, layer: int) -> None:
        super().__init__()
        self.shape, self.layer = shape.attention, layer
        wide, narrow = self.shape.heads * self.shape.head_dim, self.shape.kv_heads * self.shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, wide, bias=False)
        self.k_proj = nn.Linear(shape.hidden, narrow, bias=False)
        self.v_proj = nn.Linear(shape.hidden, narrow, bias=False)
        self.o_proj = nn.Linear(wide, shape.hidden, bias=False)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        batch, new, _ = x.shape

        def split(y: Tensor, heads: int) -> Tensor:
            return y.view(batch, new, heads, -1).transpose(1, 2)

        q, k, v = (
            split(self.q_proj(x), self.shape.heads),
            split(self.k_proj(x), self.shape.kv_heads),
            split(self.v_proj(x), self.shape.kv_heads),
        )
        if cache is not None:
            k, v = cache.add(self.layer, k, v)
        group = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        hidden = torch.ones(new, k.shape[2], dtype=torch.bool).triu(k.shape[2] - new + 1)
        scores = (q @ k.transpose(2, 3) / k.shape[3] ** 0.5).masked_fill(hidden, -torch.inf)
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, new, -1))


class Layer(nn.Module):
    def __init__(self, shape: Architecture, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(shape, layer)
        self.input_norm, self.mlp_norm = nn.RMSNorm(shape.hidden), nn.RMSNorm(shape.hidden)
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        x = x + self.self_attn(self.input_norm(x), cache)
        h = self.mlp_norm(x)
        return x + self.down_proj(functional.silu(self.gate_proj(h)) * self.up_proj(h))


class Llama(nn.Module):
    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape, number) for number in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden)
        self.lm_head = nn.Linear(shape.hidden, shape.vocabulary, bias=False)

    def forward(self, input_ids: Tensor, past_key_values: Cache | None = None, fail: bool = False) -> Tensor:
        x = self.embedding(input_ids)
        for layer in self.layers:
            x = layer(x, past_key_values)
        if fail:
            raise RuntimeError("on purpose")
        return self.lm_head(self.norm(x[:, -1:]))


def build(shape: Architecture) -> Llama:
    torch.manual_seed(1)
    return Llama(shape).eval()


@torch.no_grad()
def generate(model: Any, shape: Architecture, prompt: int, tokens: int, batch: int = 1) -> None:
    """Read a prompt, then generate greedily; every token through the cache."""
    cache = Cache(shape.layers)
    chosen = model(torch.randint(shape.vocabulary, (batch, prompt)), past_key_values=cache)[:, -1].argmax(-1)
    for _ in range(tokens - 1):
        chosen = model(chosen[:, None], past_key_values=cache)[:, -1].argmax(-1)
