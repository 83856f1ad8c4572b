"""Hybrid models: layers with a state of fixed size beside layers with keys and values."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.token_standard.kernel.configs import config
from token_standard import architecture, cards, estimates, ratings, usage
from token_standard.__main__ import main
from token_standard.architecture import (
    Architecture,
    GroupedAttention,
    InvalidArchitecture,
    LinearAttention,
    Sparse,
    Window,
)
from token_standard.cards import Card, published_format
from token_standard.huggingface import InvalidConfig, with_adapter
from token_standard.huggingface.reading import read
from token_standard.version import CURRENT

HYBRID = ["linear_attention", "linear_attention", "linear_attention", "full_attention"] * 12
QWEN3_NEXT = config(
    "qwen3_next", 2048, 48, 16, 151936, num_key_value_heads=2, head_dim=256, intermediate_size=5120,
    full_attention_interval=4, linear_conv_kernel_dim=4, linear_key_head_dim=128, linear_value_head_dim=128,
    linear_num_key_heads=16, linear_num_value_heads=32, moe_intermediate_size=512, num_experts=512,
    num_experts_per_tok=10, shared_expert_intermediate_size=512, decoder_sparse_step=1, mlp_only_layers=[],
    partial_rotary_factor=0.25, use_sliding_window=False,
)  # fmt: skip
MINIMAX_01 = config(
    "minimax_text_01", 6144, 80, 64, 200064, num_key_value_heads=8, head_dim=128, intermediate_size=9216,
    num_local_experts=32, num_experts_per_tok=2, attn_type_list=[0, 0, 0, 0, 0, 0, 0, 1] * 10, postnorm=True,
    layernorm_linear_attention_alpha=3.5565588200778455, shared_intermediate_size=0, shared_moe_mode="sigmoid",
    rotary_dim=64,
)  # fmt: skip
QWEN35_27B = {
    "model_type": "qwen3_5",
    "vision_config": {"hidden_size": 1152},
    "text_config": config(
        "qwen3_5_text", 5120, 64, 24, 248320, num_key_value_heads=4, head_dim=256, intermediate_size=17408,
        layer_types=HYBRID[:4] * 16, linear_conv_kernel_dim=4, linear_key_head_dim=128, linear_value_head_dim=128,
        linear_num_key_heads=16, linear_num_value_heads=48, attn_output_gate=True, full_attention_interval=4,
        mamba_ssm_dtype="float32", mtp_num_hidden_layers=1, mlp_only_layers=[],
    ),
}  # fmt: skip

DELTA = LinearAttention(3, key_heads=2, value_heads=4, key_dim=8, value_dim=6, kind="gated_delta", convolution=4)
LIGHTNING = LinearAttention(3, key_heads=4, value_heads=4, key_dim=8, value_dim=8, kind="lightning")
GROUPED = GroupedAttention(heads=4, kv_heads=2, head_dim=8, output_gate=True)


def hybrid(linear=DELTA, **changes):
    given = {"layers": 4, "hidden": 32, "vocabulary": 100, "attention": GROUPED, "intermediate": 64, "linear": linear}
    return Architecture(**given | changes)


def card(shape, form="fp16"):
    return Card("hybrid", shape, published_format(form))


class TestStructure:
    def test_counts_the_gated_delta_rule_by_hand(self):
        keys, values = 2 * 8, 4 * 6
        one = 32 * (keys + keys + values + values + 4 + 4) + values * 32 + 4 * (2 * keys + values)
        grouped = 3 * 32 * 32 + 2 * 32 * 16  # query, output and gate; key and value

        assert DELTA.weights(32) == one
        assert hybrid().dense_weights == 3 * one + grouped + 4 * 3 * 32 * 64
        assert DELTA.state_flops == 7 * 4 * 8 * 6
        assert DELTA.state_elements == 4 * 8 * 6 + 3 * (2 * keys + values)

    def test_counts_lightning_attention_by_hand(self):
        assert LIGHTNING.weights(32) == 5 * 32 * 32
        assert LIGHTNING.state_flops == 5 * 4 * 8 * 8
        assert LIGHTNING.state_elements == 4 * 8 * 8

    def test_keeps_keys_and_values_in_the_other_layers_only(self):
        assert hybrid().kv_elements == 2 * 2 * 8
        assert hybrid().attended(100) == 100
        assert hybrid().full_layers == 1

    def test_adds_nothing_to_a_token_as_the_context_grows(self):
        grown = hybrid().generation_flops(1000) - hybrid().generation_flops(10)

        assert grown == 990 * 4 * 4 * 8

    @pytest.mark.parametrize(
        "changes",
        [
            {"linear": replace(DELTA, layers=4)},
            {"linear": replace(DELTA, layers=2), "windows": (Window(3, 16),)},
            {"linear": replace(DELTA, value_heads=3)},
            {"linear": replace(DELTA, kind="other")},
            {"linear": replace(DELTA, key_dim=0)},
            {"linear": replace(DELTA, convolution=-1)},
            {"sparse": Sparse(top_k=4, index_heads=1, index_dim=4)},
        ],
    )
    def test_refuses_what_cannot_be(self, changes):
        with pytest.raises(InvalidArchitecture):
            hybrid(**changes)


class TestCard:
    @pytest.mark.parametrize("form", ["fp16", "fp8"])
    @pytest.mark.parametrize("linear", [DELTA, LIGHTNING])
    def test_has_the_coefficients_of_the_formula(self, linear, form):
        shape, priced = hybrid(linear), card(hybrid(linear), form)
        flop, byte, (v, pi) = 1 / CURRENT.flops_per_st, 1 / CURRENT.bytes_per_st, (priced.format.v, priced.format.pi)
        state, moved = 3 * linear.state_flops, 2 * v * 3 * linear.state_elements
        written = v * 2 * 2 * 8

        assert (
            priced.coefficients.a_p
            == (2 * shape.dense_weights / pi + state) * flop
            + ((v * shape.dense_weights + moved) / 8192 + written) * byte
        )
        assert (
            priced.coefficients.a_d
            == (2 * (shape.dense_weights + 3200) / pi + state) * flop
            + (v * Fraction(shape.dense_weights + 3200, 64) + written + moved) * byte
        )
        assert priced.coefficients.b_d == 4 * 4 * 8 * flop + written * byte
        assert priced.coefficients.c_c == written * byte

    def test_survives_the_way_through_json(self):
        again = cards.from_json(cards.to_json(card(hybrid())))

        assert again == card(hybrid())
        assert again.digest == card(hybrid()).digest != card(hybrid(replace(DELTA, convolution=0))).digest

    def test_says_nothing_of_what_a_card_does_not_have(self):
        plain = architecture.to_json(hybrid(None, attention=replace(GROUPED, output_gate=False)))

        assert "linear" not in plain
        assert "output_gate" not in plain["attention"]

    @given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([DELTA, LIGHTNING]))
    def test_adds_up_and_never_falls(self, n, c, g, linear):
        priced = card(hybrid(linear))
        whole = usage.st(priced, n=n, c=c, g=g)

        assert usage.shares(priced, n=n, c=c, g=g).total == whole == sum(ratings.parts(priced, n=n, c=c, g=g))
        assert usage.st(priced, n=n, c=c, g=0) + usage.shares(priced, n=0, c=n + c, g=g).output == whole
        assert usage.st(priced, n=n + 1, c=c, g=g) > whole
        assert usage.st(priced, n=n, c=c, g=g + 1) > whole

    @given(st.integers(1, 10**6), st.integers(1, 10**6))
    def test_costs_the_same_state_at_any_context(self, near, far):
        plain = hybrid(None, layers=1)

        def of_state(context):
            both = (usage.st_per_generated(card(shape), context=context) for shape in (hybrid(), plain))
            return next(both) - next(both)

        assert of_state(near) == of_state(far) > 0


class TestConfiguration:
    @pytest.mark.parametrize(
        ("plain", "billions", "active"),
        [(QWEN3_NEXT, "79.7", "3.6"), (MINIMAX_01, "456", "45.9"), (QWEN35_27B, "26.9", None)],
        ids=["qwen3-next", "minimax-01", "qwen3.5-27b"],
    )
    def test_gives_the_published_number_of_parameters(self, plain, billions, active):
        reading = read(plain, name="x")

        assert abs(Fraction(reading.parameters, 10**9) / Fraction(billions) - 1) < Fraction(15, 1000)
        if active:
            assert abs(Fraction(reading.architecture.active_parameters, 10**9) / Fraction(active) - 1) < Fraction(
                3, 100
            )

    def test_reads_a_list_of_layers_like_the_interval(self):
        listed = {name: value for name, value in QWEN3_NEXT.items() if name != "full_attention_interval"}

        assert read(listed | {"layer_types": HYBRID}, name="x").architecture == read(QWEN3_NEXT, name="x").architecture

    def test_marks_the_card_as_provisional_and_says_what_is_not_seen(self):
        reading = read(QWEN35_27B, name="x")

        assert reading.card().provisional
        assert any("32 bits" in note for note in reading.notes)
        assert any("speculative" in note for note in reading.notes)

    def test_says_that_the_interval_is_not_measured(self):
        assert "none with it was measured" in estimates.interval(card(hybrid()), Fraction(1)).method
        assert "none with it was measured" not in estimates.interval(card(hybrid(None)), Fraction(1)).method

    def test_prints_the_state_of_a_sequence(self, tmp_path, capsys):
        (tmp_path / "config.json").write_text(json.dumps(QWEN3_NEXT))

        assert main(["card", str(tmp_path / "config.json")]) == 0

        kib = Fraction(2 * 36 * (32 * 128 * 128 + 3 * (2 * 16 * 128 + 32 * 128)), 1024)
        assert f"state       {float(kib):.1f} KiB a sequence" in capsys.readouterr().out

    def test_reads_minimax_under_the_names_of_either_class(self):
        listed = ["linear_attention" if each == 0 else "full_attention" for each in MINIMAX_01["attn_type_list"]]
        other = {name: value for name, value in MINIMAX_01.items() if name != "attn_type_list"}

        found = read(other | {"model_type": "minimax", "layer_types": listed, "block_size": 256}, name="x")

        assert found.architecture == read(MINIMAX_01, name="x").architecture
        assert found.architecture.linear == LinearAttention(70, 64, 64, 128, 128, "lightning")

    @pytest.mark.parametrize(
        ("plain", "field"),
        [
            (QWEN3_NEXT | {"linear_num_value_heads": None}, "linear_num_value_heads"),
            (QWEN3_NEXT | {"linear_key_head_dim": 0}, "linear_key_head_dim"),
            (QWEN3_NEXT | {"layer_types": ["mamba"] * 48}, "layer_types"),
            (QWEN3_NEXT | {"layer_types": ["linear_attention"] * 48}, "layer_types"),
            (QWEN3_NEXT | {"attn_output_gate": 1}, "attn_output_gate"),
            (QWEN3_NEXT | {"model_type": "kimi_linear"}, "full_attention_interval"),
            (MINIMAX_01 | {"attn_type_list": [0, 1]}, "attn_type_list"),
            (MINIMAX_01 | {"attn_type_list": [0, 2] * 40}, "attn_type_list"),
            (MINIMAX_01 | {"attn_type_list": None}, "attn_type_list"),
            (MINIMAX_01 | {"shared_intermediate_size": 9216}, "shared_intermediate_size"),
        ],
    )
    def test_names_the_field_that_cannot_be(self, plain, field):
        with pytest.raises(InvalidConfig) as refused:
            read(plain, name="x")

        assert refused.value.field == field

    def test_refuses_an_adapter_whose_matrices_have_two_sizes(self):
        with pytest.raises(InvalidConfig, match="target_modules"):
            with_adapter(
                read(QWEN3_NEXT, name="x").architecture, {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"]}
            )
