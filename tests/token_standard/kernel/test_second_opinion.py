"""The command that asks PyTorch; the counting itself is `make test-torch-export`, where PyTorch is."""

import importlib.util
import json

import pytest

from token_standard.__main__ import main

LLAMA = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
         "num_attention_heads": 4, "vocab_size": 128, "max_position_embeddings": 64}  # fmt: skip
without_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    return str(path)


@without_torch
def test_says_what_is_missing(config, capsys):
    assert main(["second-opinion", config]) != 0
    assert "torch is not installed; a second opinion needs torch and transformers" in capsys.readouterr().err


@pytest.mark.parametrize("tokens", ["0", "-1", "32769"])
def test_refuses_absurd_lengths(config, tokens, capsys):
    assert main(["second-opinion", config, "--tokens", tokens]) != 0
    assert "--tokens must lie in 1..32768" in capsys.readouterr().err


def test_names_the_field_that_is_missing(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({name: value for name, value in LLAMA.items() if name != "hidden_size"}))
    assert main(["second-opinion", str(path)]) != 0
    assert "hidden_size" in capsys.readouterr().err
