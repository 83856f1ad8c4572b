"""Hooks on a torch model: their figures against the card's formula and against torch's own counter."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import torch
from tokenspot_client.hooks import CardMismatch, NotCounted, TorchMeter, UnknownModule
from torch.utils.flop_counter import FlopCounterMode

from tests.client.optional.tiny import MIDDLE, TINY, Cache, build, card_of, generate
from token_standard import usage


@pytest.fixture
def model() -> Any:
    return build(TINY)


def meter(model: Any, **options: Any) -> TorchMeter:
    return TorchMeter(model, card=card_of(TINY), **options)


def test_layers_add_up_to_the_cards_formula(model: Any, capsys: Any) -> None:
    with meter(model, every=1) as seen:
        generate(model, TINY, prompt=50, tokens=30)
    rows = seen.layer_table()

    card = card_of(TINY)
    decodes = [usage.shares(card, n=0, c=past, g=1).output for past in range(50, 79)]
    prompt = usage.st(card, n=50, c=0, g=0)
    # The prompt's call sends one position through the output matrix, which the formula counts with the first token.
    head_once = 2 * TINY.head_weights
    nominal_layers = sum(row.nominal_st for row in rows)
    print_table(rows, capsys)
    assert [row.name for row in rows] == ["layer 0", "layer 1", "layer 2", "head"]
    assert nominal_layers == pytest.approx(float(prompt + sum(decodes)), rel=0.01)
    assert seen.prompt.nominal_st + seen.decode.nominal_st == pytest.approx(float(prompt + sum(decodes)), rel=1e-9)
    flops = sum(TINY.generation_flops(past + 1) for past in range(50, 79)) + head_once
    flops += 2 * TINY.active_weights * 50 + TINY.attention.prefill_flops * TINY.attended(1) * 50 * 51 // 2
    assert sum(row.flops for row in rows) == flops


@pytest.mark.parametrize(("prompt", "tokens"), [(40, 1), (1, 20), (64, 12)])
def test_each_layer_equals_torchs_own_counter(model: Any, prompt: int, tokens: int) -> None:
    with FlopCounterMode(display=False) as counter, meter(model, every=1) as seen:
        generate(model, TINY, prompt, tokens)

    counts = counter.get_flop_counts()
    # torch counts the whole square of a prompt, also what the mask hides
    square = TINY.attention.prefill_flops * (prompt * prompt - prompt * (prompt + 1) // 2)
    for number, row in enumerate(seen.layer_table()[:-1]):
        assert row.flops + square == sum(counts[f"Llama.layers.{number}"].values())
    assert seen.layer_table()[-1].flops == sum(counts["Llama.lm_head"].values())


def test_layers_are_sampled_and_the_top_is_not(model: Any) -> None:
    with meter(model, every=10) as seen:
        generate(model, TINY, prompt=5, tokens=100)

    assert (seen.prompt.calls, seen.decode.calls) == (1, 99)
    assert {row.calls for row in seen.layer_table()} == {10}
    assert sum(row.seconds for row in seen.layer_table()) > 0
    assert not any(module._forward_hooks for module in model.modules())  # after detaching


def test_a_request_tells_its_usage(model: Any) -> None:
    with meter(model) as seen, seen.request(limit=8) as request:
        generate(model, TINY, prompt=12, tokens=9)

    assert (request.usage.prompt, request.usage.cached, request.usage.generated) == (12, 0, 9)
    assert (request.usage.billable, request.usage.overrun) == (8, 1)


@torch.no_grad()
def test_a_prompt_may_come_in_chunks_and_from_a_cache(model: Any) -> None:
    cache = Cache(TINY.layers)
    tokens = torch.zeros((1, 16), dtype=torch.long)
    with meter(model) as seen:
        model(tokens, past_key_values=cache)
        with seen.request() as request:
            model(tokens, past_key_values=cache)
            model(tokens[:, :9], past_key_values=cache)
            model(tokens[:, :1], past_key_values=cache)

    assert (request.usage.prompt, request.usage.cached, request.usage.generated) == (41, 16, 2)


@torch.no_grad()
def test_what_calls_do_not_tell_is_refused_until_said(model: Any) -> None:
    with meter(model) as seen:
        with seen.request() as batch:
            generate(model, TINY, prompt=4, tokens=3, batch=2)
        with seen.request() as unread:
            model.forward(torch.zeros((1, 4), dtype=torch.long))  # past the hooks
    with pytest.raises(NotCounted, match="several"):
        _ = batch.usage
    with pytest.raises(NotCounted, match="no call"):
        _ = unread.usage

    batch.count(prompt=8, generated=6, cached=0)

    assert batch.usage.generated == 6


@torch.no_grad()
def test_a_call_that_cannot_be_read_runs_all_the_same(model: Any) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("no idea")

    with meter(model, call_of=broken) as seen, seen.request() as request:
        assert model(torch.zeros((1, 4), dtype=torch.long)).shape == (1, 1, 300)

    assert (seen.prompt.unread, seen.prompt.last_problem) == (1, "LookupError: no idea")
    with pytest.raises(NotCounted):
        _ = request.usage


@torch.no_grad()
def test_a_model_that_raises_leaves_no_hook_behind(model: Any) -> None:
    with meter(model, every=1) as seen:
        with pytest.raises(RuntimeError, match="on purpose"):
            model(torch.zeros((1, 4), dtype=torch.long), fail=True)
        assert (seen.prompt.failed, seen.prompt.calls) == (1, 0)
        assert not any(layer._forward_hooks for layer in model.layers)
        generate(model, TINY, prompt=4, tokens=2)

    assert seen.prompt.calls == 1


def test_threads_keep_their_requests_apart(model: Any) -> None:
    found: dict[int, Any] = {}

    def work(prompt: int) -> None:
        with seen.request() as request:
            generate(model, TINY, prompt, prompt * 2)
        found[prompt] = request.usage

    with meter(model, every=3) as seen:
        threads = [threading.Thread(target=work, args=(prompt,)) for prompt in (3, 5, 7, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert {p: (u.prompt, u.generated) for p, u in found.items()} == {p: (p, 2 * p) for p in (3, 5, 7, 9)}
    assert seen.prompt.calls + seen.decode.calls == 2 * (3 + 5 + 7 + 9)


def test_another_models_card_is_refused(model: Any) -> None:
    with pytest.raises(CardMismatch, match="weights of the layers"):
        TorchMeter(model, card=card_of(replace(TINY, intermediate=320)))
    with pytest.raises(CardMismatch, match="layers"):
        TorchMeter(model, card=card_of(replace(TINY, layers=4)))


def test_a_matrix_that_nobody_counts_is_refused(model: Any) -> None:
    model.layers[1].experts = torch.nn.Parameter(torch.zeros(4, 64, 160))

    with pytest.raises(UnknownModule, match="layer 1: experts"):
        meter(model)
    with pytest.raises(UnknownModule, match="give layers"):
        meter(torch.nn.Linear(2, 2))


def test_half_precision_moves_half_the_bytes(model: Any) -> None:
    def moved(chosen: Any) -> int:
        with meter(chosen, every=1) as seen:
            generate(chosen, TINY, prompt=8, tokens=4)
        return sum(row.bytes_moved for row in seen.layer_table())

    assert moved(model) == 2 * moved(build(TINY).to(torch.bfloat16))


def test_overhead_stays_within_its_bounds(capsys: Any) -> None:
    """The machine may be busy: what hooks add is measured where little else runs, and set against a whole call."""
    torch.set_num_threads(1)
    model, lines = build(MIDDLE), []
    call = {prompt: median(call_seconds(model, prompt) for _ in range(7)) for prompt in (0, 256)}
    hook = hook_seconds()
    sampled = median(call_seconds(model, 0, every=1) - call_seconds(model, 0) for _ in range(15))
    for name, added, of in [
        ("top hook, decode", hook, call[0]),
        ("top hook, prompt of 256", hook, call[256]),
        ("layers 1 in 100 and top hook, decode", hook + sampled / 100, call[0]),
        ("layers in every call, decode", sampled, call[0]),
    ]:
        lines.append((name, added / of))
        with capsys.disabled():
            print(
                f"\n{name}: {1e6 * added:.1f} µs of {1e6 * of:,.0f} µs CPU time a call, {100 * added / of:.3f} %",
                end="",
            )
    shares = dict(lines)
    assert shares["top hook, decode"] <= 0.01
    assert shares["top hook, prompt of 256"] <= 0.01
    assert shares["layers 1 in 100 and top hook, decode"] <= 0.05


@torch.no_grad()
def call_seconds(model: Any, prompt: int, *, every: int | None = None) -> float:
    """CPU seconds of one call of the 27-million-parameter model; with ``every``, hooked."""
    token, cache = torch.zeros((1, prompt or 1), dtype=torch.long), Cache(MIDDLE.layers)
    model(torch.zeros((1, 64), dtype=torch.long), past_key_values=cache)
    kept, calls = list(cache.kept), 3 if prompt else 30
    seen = None if every is None else TorchMeter(model, card=card_of(MIDDLE), every=every).attach()
    began = time.thread_time()
    for _ in range(calls):
        cache.kept = list(kept)  # each call at the same length
        model(token, past_key_values=None if prompt else cache)
    seconds = (time.thread_time() - began) / calls
    if seen is not None:
        seen.detach()
    return seconds


@torch.no_grad()
def hook_seconds() -> float:
    """CPU seconds that the top hook adds to a call: the same model's meter on calls that compute nothing."""
    model, cache = build(MIDDLE), Cache(MIDDLE.layers)
    seen = TorchMeter(model, card=card_of(MIDDLE), every=0)
    token, kept = torch.zeros((1, 1), dtype=torch.long), torch.zeros(1, 1, 64, 1)
    cache.kept[0] = (kept, kept)
    model.forward = lambda input_ids, past_key_values: input_ids

    def seconds() -> float:
        began = time.thread_time()
        for _ in range(2_000):
            model(token, past_key_values=cache)
        return (time.thread_time() - began) / 2_000

    def added() -> float:
        bare = seconds()
        with seen:
            return seconds() - bare

    return median(added() for _ in range(9))


def print_table(rows: Any, capsys: Any) -> None:
    with capsys.disabled():
        print("\n| part | calls | FLOP | bytes | work ST | nominal ST |\n|---|---|---|---|---|---|")
        for r in rows:
            print(f"| {r.name} | {r.calls} | {r.flops:,} | {r.bytes_moved:,} | {r.work_st:.3e} | {r.nominal_st:.6e} |")
