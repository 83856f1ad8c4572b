"""Hooks on a model class of transformers, with its own cache and its own generation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenspot_client.hooks import TorchMeter
from transformers import LlamaConfig, LlamaForCausalLM

from tests.client.optional.tiny import card_of
from token_standard import usage
from token_standard.architecture import Architecture, GroupedAttention

SHAPE = Architecture(3, 64, 300, GroupedAttention(4, 2, 16), intermediate=160)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, eos_token_id=None, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generation_is_counted_to_the_token(model: Any, cache: str) -> None:
    card = card_of(SHAPE)
    with TorchMeter(model, card=card, every=1) as meter, meter.request(limit=30) as request:
        model.generate(
            torch.randint(1, 300, (1, 50)),
            max_new_tokens=30,
            do_sample=False,
            cache_implementation=cache,
            pad_token_id=0,
        )

    told = request.usage
    exact = usage.st(card, n=50, c=0, g=0) + sum(usage.shares(card, n=0, c=p, g=1).output for p in range(50, 79))
    assert (told.prompt, told.cached, told.generated) == (50, 0, 30)
    assert meter.prompt.nominal_st + meter.decode.nominal_st == pytest.approx(float(exact), rel=1e-9)
    assert sum(row.nominal_st for row in meter.layer_table()) == pytest.approx(float(exact), rel=0.01)
    assert [row.calls for row in meter.layer_table()] == [30, 30, 30, 30]
