"""Cards out of published configurations, and what is refused with the name of the field."""

import copy
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.token_standard.kernel.configs import DEEPSEEK_V3, TABLE, config
from token_standard import catalogue, usage
from token_standard.__main__ import main
from token_standard.architecture import Sparse, Window
from token_standard.errors import TokenStandardError
from token_standard.huggingface import InvalidConfig, config_digest, read_config, with_adapter
from token_standard.huggingface.quantised import NAMES, format_name, named_format
from token_standard.huggingface.reading import read

LLAMA = TABLE["llama-3-8b"]


def shape(plain):
    return read(plain, name="x").architecture


class TestTable:
    @pytest.mark.parametrize("name", TABLE)
    def test_gives_the_structure_of_the_published_card(self, name):
        assert shape(TABLE[name]) == catalogue.card(name).architecture

    @pytest.mark.parametrize("name", TABLE)
    @pytest.mark.parametrize("form", ["fp16", "fp8"])
    def test_gives_the_coefficients_of_the_published_card(self, name, form):
        assert read(TABLE[name], name=name).card(form).coefficients == catalogue.card(name, form).coefficients


class TestFamilies:
    """Against the parameter counts that publishers give, in 10⁹."""

    @pytest.mark.parametrize(
        ("plain", "billions", "windows"),
        [
            (config("gpt2", 768, 12, 12, 50257) | {"tie_word_embeddings": True}, "0.124", ()),
            (
                config("gemma2", 3584, 42, 16, 256000, num_key_value_heads=8, intermediate_size=14336, sliding_window=4096, tie_word_embeddings=True),
                "9.24",
                (Window(21, 4096),),
            ),
            (
                {
                    "model_type": "gemma3",
                    "vision_config": {"hidden_size": 1152},
                    "tie_word_embeddings": True,
                    "text_config": config("gemma3_text", 5376, 62, 32, 262208, num_key_value_heads=16, head_dim=128, intermediate_size=21504, sliding_window=1024),
                },
                "27.0",
                (Window(52, 1024),),
            ),
            (
                config("deepseek_v2", 2048, 27, 16, 102400, intermediate_size=10944, moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2,
                       num_experts_per_tok=6, first_k_dense_replace=1, q_lora_rank=None, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128),
                "15.7",
                (),
            ),
            (
                config("qwen2_moe", 3584, 28, 28, 151936, num_key_value_heads=4, intermediate_size=18944, moe_intermediate_size=2560,
                       shared_expert_intermediate_size=20480, num_experts=64, num_experts_per_tok=8, decoder_sparse_step=1),
                "57.4",
                (),
            ),
            (
                {
                    "model_type": "llama4",
                    "text_config": config("llama4_text", 5120, 48, 40, 202048, num_key_value_heads=8, head_dim=128, intermediate_size=8192, intermediate_size_mlp=16384,
                                          num_local_experts=128, num_experts_per_tok=1, interleave_moe_layer_step=2, attention_chunk_size=8192, no_rope_layers=[]),
                },
                "400",
                (Window(36, 8192),),
            ),
            (
                config("glm4_moe", 5120, 92, 96, 151552, num_key_value_heads=8, head_dim=128, intermediate_size=12288, moe_intermediate_size=1536,
                       n_routed_experts=160, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3),
                "355",
                (),
            ),
        ],
        ids=lambda value: value.get("model_type") if isinstance(value, dict) else None,
    )  # fmt: skip
    def test_gives_the_published_number_of_parameters(self, plain, billions, windows):
        reading = read(plain, name="x")

        assert abs(Fraction(reading.parameters, 10**9) / Fraction(billions) - 1) < Fraction(15, 1000)
        assert reading.architecture.windows == windows

    def test_reads_sparse_attention(self):
        plain = DEEPSEEK_V3 | {
            "model_type": "deepseek_v32",
            "index_topk": 2048,
            "index_n_heads": 64,
            "index_head_dim": 128,
        }
        dense, sparse = read(DEEPSEEK_V3, name="x").card("fp8"), read(plain, name="x").card("fp8")

        assert sparse.architecture.sparse == Sparse(top_k=2048, index_heads=64, index_dim=128)
        assert usage.st_per_generated(sparse, context=131072) < usage.st_per_generated(dense, context=131072) / 3
        assert usage.st_per_generated(sparse, context=1000) > usage.st_per_generated(dense, context=1000)

    @pytest.mark.parametrize(
        ("changes", "windows"),
        [
            ({"sliding_window": 4096}, (Window(32, 4096),)),
            ({"sliding_window": None}, ()),
            ({"sliding_window": 512, "layer_types": ["full_attention"] * 8 + ["sliding_attention"] * 24}, (Window(24, 512),)),
            ({"sliding_window": 512, "sliding_window_pattern": 4}, (Window(24, 512),)),
            ({"model_type": "qwen2", "sliding_window": 512, "use_sliding_window": True, "max_window_layers": 20}, (Window(12, 512),)),
            ({"model_type": "qwen2", "sliding_window": 512, "max_window_layers": 20}, ()),
            ({"model_type": "mistral"}, (Window(32, 4096),)),
            ({"model_type": "mistral", "sliding_window": None}, ()),
        ],
    )  # fmt: skip
    def test_reads_windows_as_its_class_does(self, changes, windows):
        assert shape(LLAMA | changes).windows == windows

    def test_takes_the_defaults_of_its_class(self):
        bare = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}

        assert shape(bare).attention.kv_heads == 32
        assert shape(bare | {"model_type": "mistral"}).attention.kv_heads == 8
        assert shape(bare | {"model_type": "qwen3"}).attention.head_dim == 128
        assert shape(bare | {"model_type": "gemma"}).attention.head_dim == 256
        assert shape(bare | {"model_type": "brand_new"}).attention.head_dim == 128

    def test_notes_what_the_numbers_do_not_show(self):
        reading = read({"model_type": "llava", "vision_config": {}, "text_config": DEEPSEEK_V3}, name="x")

        assert [note.split(":")[0] for note in reading.notes] == [
            "multimodal",
            "has layers for speculative decoding",
            "routed experts without a measured correction",
        ]
        assert reading.card().provisional


class TestRefusals:
    @pytest.mark.parametrize(
        "name", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size"]
    )
    @pytest.mark.parametrize("value", [None, 0, -1, True, "4096", 40.5, [4096], 10**9])
    def test_names_the_field_that_gives_no_number(self, name, value):
        with pytest.raises(InvalidConfig, match=f"^{name} ") as refused:
            shape(LLAMA | {name: value})

        assert refused.value.field == name

    @pytest.mark.parametrize("name", [
        "n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", "kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "n_shared_experts",
        "first_k_dense_replace",
    ])  # fmt: skip
    @pytest.mark.parametrize("value", [-1, True, "8"])
    def test_names_the_field_of_experts_and_latent_attention(self, name, value):
        with pytest.raises(InvalidConfig, match=f"^{name} "):
            shape(DEEPSEEK_V3 | {name: value})

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"num_key_value_heads": 5}, "num_key_value_heads"),
            ({"num_key_value_heads": [8] * 32}, "num_key_value_heads"),
            ({"hidden_size": 4097}, "head_dim"),
            ({"head_dim": 0}, "head_dim"),
            ({"model_type": 7}, "model_type"),
            ({"model_type": "qwen3_next", "layer_types": ["linear_attention"] * 32}, "layer_types"),
            ({"layer_types": ["full_attention"]}, "layer_types"),
            ({"layer_types": ["sliding_attention"] * 32}, "sliding_window"),
            ({"sliding_window": -4}, "sliding_window"),
            ({"use_sliding_window": 1, "sliding_window": 4}, "use_sliding_window"),
            ({"model_type": "jamba", "mamba_d_state": 16}, "mamba_d_state"),
            ({"model_type": "brand_new", "memory_slots": 4}, "memory_slots"),
            ({"model_type": "llama", "ssm_state_size": 4}, "ssm_state_size"),
            ({"num_experts": 8}, "moe_intermediate_size"),
            ({"num_experts": 8, "num_local_experts": 8}, "num_local_experts"),
            ({"index_topk": 2048}, "index_n_heads"),
            ({"kv_lora_rank": 512}, "q_lora_rank"),
            ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
            ({"text_config": {"model_type": "llama"}}, "text_config.num_hidden_layers"),
            ({"text_config": 3}, "text_config"),
        ],
    )
    def test_names_the_field_that_cannot_be(self, changes, field):
        with pytest.raises(InvalidConfig) as refused:
            shape(LLAMA | changes)

        assert refused.value.field == field
        assert field in str(refused.value)

    def test_lets_pass_what_is_known_to_cost_nothing(self):
        extra = {"router_aux_loss_coef": 0.1, "summary_type": "cls", "auto_map": {"AutoModel": "x.Y"}, "new_flag": True}

        assert shape(LLAMA | extra | {"model_type": "brand_new"}) == shape(LLAMA)

    @pytest.mark.parametrize("name", ["hidden_size", "tie_word_embeddings"])
    def test_shows_the_beginning_only_of_what_it_refuses(self, name):
        with pytest.raises(InvalidConfig) as caught:
            read(LLAMA | {name: "x" * 200_000}, name="x")

        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"a": 1, "a": 2}', "\x00", "[" * 100_000])
    def test_refuses_a_file_that_is_no_configuration(self, tmp_path, text):
        path = tmp_path / "config.json"
        path.write_text(text)

        with pytest.raises(InvalidConfig):
            read_config(path)

    def test_refuses_a_file_that_is_not_there_or_not_text(self, tmp_path):
        with pytest.raises(InvalidConfig, match="No such file"):
            read_config(tmp_path / "none.json")
        (tmp_path / "weights.json").write_bytes(b"\xff\xfe" * 40)
        with pytest.raises(InvalidConfig, match="not JSON"):
            read_config(tmp_path / "weights.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({name for plain in TABLE.values() for name in plain} | {"layer_types", "index_topk", "text_config", "moe_layers", "no_rope_layers"})  # fmt: skip


class TestAnyConfiguration:
    @given(st.sampled_from(sorted(TABLE)), st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
    def test_gives_a_card_or_a_sentence(self, name, changes):
        try:
            reading = read(TABLE[name] | changes, name="x")
            cost = usage.st(reading.card(), n=10, c=5, g=3)
        except TokenStandardError as refused:
            assert str(refused)
        else:
            assert cost > 0

    @given(st.dictionaries(st.sampled_from(["r", "target_modules", "layers_to_transform", "peft_type", "rank_pattern"]), JSON, max_size=3))  # fmt: skip
    def test_with_any_adapter_gives_a_structure_or_a_sentence(self, changes):
        try:
            adapted = with_adapter(shape(LLAMA), TestAdapter.ADAPTER | changes)
        except TokenStandardError as refused:
            assert str(refused)
        else:
            assert adapted.adapter_weights > 0


class TestFormat:
    @pytest.mark.parametrize(
        ("quantised", "name"),
        [
            (None, "fp16"),
            ({"quant_method": "fp8"}, "fp8-kv16"),
            ({"quant_method": "awq", "bits": 4}, "w4a16"),
            ({"quant_method": "gptq", "bits": 8}, "w8a16"),
            ({"quant_method": "mxfp4"}, "w4a16"),
            ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "w4a16"),
            ({"quant_method": "compressed-tensors", "config_groups": {"0": {"weights": {"num_bits": 8, "type": "float"}, "input_activations": {"num_bits": 8, "type": "float"}}}}, "fp8-kv16"),
            ({"config_groups": {"0": {"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8, "type": "int"}}}, "kv_cache_scheme": {"num_bits": 8}}, "int8"),
            ({"config_groups": {"0": {"weights": {"num_bits": 4, "type": "int"}, "input_activations": None}}}, "w4a16"),
            ({"config_groups": {"0": {"weights": {"num_bits": 4, "type": "float"}, "input_activations": {"num_bits": 4, "type": "float"}}}}, "fp4-kv16"),
        ],
    )  # fmt: skip
    def test_follows_the_quantisation(self, quantised, name):
        assert format_name({"quantization_config": quantised}) == name
        assert read(LLAMA | {"quantization_config": quantised}, name="x").card().format == named_format(name)

    @pytest.mark.parametrize(
        "quantised",
        [
            3,
            {},
            {"quant_method": "magic"},
            {"quant_method": "awq"},
            {"quant_method": "gptq", "bits": 3},
            {"quant_method": "bitsandbytes"},
            {"config_groups": {}},
            {"config_groups": {"0": {"weights": None}}},
            {"config_groups": {"0": {"weights": {"num_bits": 8}, "input_activations": {"num_bits": 8, "type": "odd"}}}},
            {"config_groups": {"a": {"weights": {"num_bits": 8}}, "b": {"weights": {"num_bits": 4}}}},
        ],
    )
    def test_refuses_a_quantisation_without_figures(self, quantised):
        with pytest.raises(InvalidConfig, match=r"quantization_config|bits"):
            format_name({"quantization_config": quantised})

    @pytest.mark.parametrize("name", NAMES)
    def test_never_costs_more_than_sixteen_bits(self, name):
        reading = read(LLAMA, name="x")

        assert usage.st(reading.card(name), n=1000, c=500, g=300) <= usage.st(
            reading.card("fp16"), n=1000, c=500, g=300
        )

    def test_refuses_a_name_that_is_not_known(self):
        with pytest.raises(InvalidConfig, match="fp3"):
            read(LLAMA, name="x").card("fp3")


class TestDigest:
    def test_is_of_the_content_and_not_of_the_spelling(self):
        turned = dict(reversed(LLAMA.items())) | {"transformers_version": "9", "_name_or_path": "/tmp/x"}

        assert config_digest(turned) == config_digest(LLAMA)
        assert config_digest(LLAMA | {"vocab_size": 1}) != config_digest(LLAMA)
        assert config_digest(LLAMA) in read(LLAMA, name="x").card().evidence


class TestAdapter:
    ADAPTER = {"peft_type": "LORA", "r": 16, "target_modules": ["q_proj", "v_proj"], "lora_alpha": 32}

    def test_adds_rank_times_both_sides_of_each_matrix(self):
        plain, adapted = shape(LLAMA), with_adapter(shape(LLAMA), self.ADAPTER)

        assert adapted.adapter_weights == 32 * 16 * ((4096 + 4096) + (4096 + 1024))
        assert adapted.generation_flops(1) - plain.generation_flops(1) == 2 * adapted.adapter_weights

    def test_counts_all_matrices_and_chosen_layers(self):
        everything = with_adapter(shape(LLAMA), self.ADAPTER | {"target_modules": "all-linear"})
        sides = 8192 + 5120 + 5120 + 8192 + 3 * (4096 + 14336)

        assert everything.adapter_weights == 32 * 16 * sides
        chosen = with_adapter(shape(LLAMA), self.ADAPTER | {"layers_to_transform": [0, 1]})
        assert chosen.adapter_weights == 2 * 16 * (8192 + 5120)

    def test_goes_with_latent_attention(self):
        adapted = with_adapter(shape(DEEPSEEK_V3), self.ADAPTER | {"target_modules": ["q_a_proj", "o_proj"]})

        assert adapted.adapter_weights == 61 * 16 * ((7168 + 1536) + (128 * 128 + 7168))

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"peft_type": "IA3"}, "peft_type"),
            ({"r": 0}, "r"),
            ({"r": "16"}, "r"),
            ({"target_modules": ["lm_head"]}, "target_modules"),
            ({"target_modules": "q.*"}, "target_modules"),
            ({"target_modules": []}, "target_modules"),
            ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
            ({"layers_to_transform": [32]}, "layers_to_transform"),
        ],
    )
    def test_refuses_what_it_cannot_count(self, changes, field):
        with pytest.raises(InvalidConfig) as refused:
            with_adapter(shape(LLAMA), self.ADAPTER | changes)

        assert refused.value.field == field


class TestCommand:
    def write(self, folder, plain, name="config.json"):
        path = folder / name
        path.write_text(json.dumps(plain))
        return str(path)

    def test_prints_the_card_and_the_columns_of_the_table(self, tmp_path, capsys):
        path = self.write(tmp_path, copy.deepcopy(LLAMA))

        assert main(["card", path, "--name", "llama-3-8b", "--format", "fp8"]) == 0

        out = capsys.readouterr().out
        assert out.startswith("card        llama-3-8b fp8, ST-2026.1, card_")
        assert "parameters  8.03 B stored" in out
        assert "output      0.227 ST a token at 2048" in out
        assert "prompt      0.0411 ST a token, mean of 2048 uncached" in out

    def test_prints_the_card_itself(self, tmp_path, capsys):
        assert main(["card", self.write(tmp_path, LLAMA), "--json"]) == 0

        assert json.loads(capsys.readouterr().out)["architecture"]["layers"] == 32

    def test_takes_an_adapter(self, tmp_path, capsys):
        adapter = self.write(tmp_path, TestAdapter.ADAPTER, "adapter_config.json")

        assert main(["card", self.write(tmp_path, LLAMA), "--adapter", adapter]) == 0

        assert "+lora fp16" in capsys.readouterr().out

    def test_refuses_with_one_sentence(self, tmp_path, capsys):
        assert main(["card", self.write(tmp_path, LLAMA | {"hidden_size": True})]) == 2

        assert capsys.readouterr().err == (
            "token_standard: hidden_size must be a whole number from 1 to 10000000, not True\n"
        )
