from fractions import Fraction

import pytest

from token_standard import architecture, catalogue
from token_standard.architecture import (
    Architecture,
    Experts,
    GroupedAttention,
    InvalidArchitecture,
    LatentAttention,
    Sparse,
    Window,
)

GROUPED = GroupedAttention(heads=4, kv_heads=2, head_dim=8)


def dense(**changes):
    return Architecture(
        **{"layers": 2, "hidden": 32, "vocabulary": 100, "attention": GROUPED, "intermediate": 64} | changes
    )


class TestArchitecture:
    def test_counts_a_dense_model_by_hand(self):
        shape = dense()

        assert shape.dense_weights == 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
        assert shape.active_weights == shape.total_weights == shape.dense_weights
        assert shape.head_weights == 3200
        assert shape.kv_elements == 2 * 2 * 2 * 8
        assert shape.generation_flops(10) == 2 * (shape.dense_weights + 3200) + 2 * 4 * 4 * 8 * 10

    def test_counts_two_matrices_when_not_gated(self):
        assert dense().dense_weights - dense(gated=False).dense_weights == 2 * 32 * 64

    def test_counts_experts_routers_and_shared_experts(self):
        shape = dense(experts=Experts(layers=1, count=8, top_k=2, intermediate=16, shared=1))
        one = 3 * 32 * 16

        assert shape.active_weights == dense().dense_weights - 3 * 32 * 64 + 3 * one + 32 * 8
        assert shape.total_weights == shape.active_weights + 6 * one

    def test_reads_every_chosen_expert_of_one_token_and_no_more_than_all(self):
        experts = Experts(layers=1, count=8, top_k=2, intermediate=16)

        assert experts.touched(1) == 2
        assert experts.touched(2) == 2 + 2 * Fraction(3, 4)
        assert 7 < experts.touched(256) < 8

    def test_counts_latent_attention_by_hand(self):
        latent = LatentAttention(heads=4, q_rank=12, kv_rank=6, nope_dim=5, rope_dim=3, value_dim=7)

        assert latent.weights(32) == 32 * 12 + 12 * 4 * 8 + 32 * 9 + 6 * 4 * 12 + 4 * 7 * 32
        assert latent.prefill_flops == 2 * 4 * (5 + 3 + 7)
        assert latent.decode_flops == 2 * 4 * (2 * 6 + 3)
        assert latent.kv_elements == 9

    def test_takes_queries_straight_from_the_hidden_state_without_a_query_rank(self):
        latent = LatentAttention(heads=4, q_rank=0, kv_rank=6, nope_dim=5, rope_dim=3, value_dim=7)

        assert latent.weights(32) == 32 * 4 * 8 + 32 * 9 + 6 * 4 * 12 + 4 * 7 * 32

    def test_counts_sparse_attention_by_hand(self):
        shape = dense(sparse=Sparse(top_k=6, index_heads=2, index_dim=5))

        assert shape.dense_weights - dense().dense_weights == 2 * (32 * 2 * 5 + 32 * (5 + 2))
        assert shape.kv_elements - dense().kv_elements == 2 * 5
        assert [shape.attended(context) for context in (5, 6, 7, 100)] == [10, 12, 12, 12]
        assert shape.generation_flops(100) - shape.generation_flops(99) == 2 * 2 * 2 * 5

    def test_refuses_windows_beside_sparse_attention(self):
        with pytest.raises(InvalidArchitecture, match="sparse"):
            dense(sparse=Sparse(top_k=6, index_heads=2, index_dim=5), windows=(Window(layers=1, width=4),))

    def test_writes_younger_fields_only_where_they_are_used(self):
        assert not {"sparse", "adapter_weights"} & set(architecture.to_json(dense()))
        for changes in ({"adapter_weights": 9}, {"sparse": Sparse(top_k=6, index_heads=2, index_dim=5)}):
            assert architecture.from_json(architecture.to_json(dense(**changes))) == dense(**changes)

    def test_keeps_windowed_layers_to_their_window(self):
        shape = dense(windows=(Window(layers=1, width=4),))

        assert [shape.attended(context) for context in (1, 4, 5, 100)] == [2, 8, 9, 104]

    def test_keeps_the_first_layers_of_deepseek_dense(self):
        shape = catalogue.card("deepseek-v3").architecture

        assert (shape.dense_layers, shape.expert_layers, shape.intermediate) == (3, 58, 18432)

    def test_windows_half_the_layers_of_gpt_oss(self):
        shape = catalogue.card("gpt-oss-120b").architecture

        assert (shape.full_layers, shape.windows) == (18, (Window(layers=18, width=128),))

    @pytest.mark.parametrize("model", catalogue.models(), ids=lambda model: model.name)
    def test_survives_the_way_through_json(self, model):
        assert architecture.from_json(architecture.to_json(model.architecture)) == model.architecture

    @pytest.mark.parametrize(
        "changes",
        [
            {"layers": 0},
            {"layers": 2.0},
            {"hidden": True},
            {"vocabulary": -1},
            {"intermediate": 0},
            {"attention": GroupedAttention(heads=4, kv_heads=3, head_dim=8)},
            {"attention": GroupedAttention(heads=4, kv_heads=0, head_dim=8)},
            {"windows": (Window(layers=2, width=4), Window(layers=1, width=8))},
            {"windows": (Window(layers=1, width=0),)},
            {"experts": Experts(layers=3, count=8, top_k=2, intermediate=16)},
            {"experts": Experts(layers=1, count=2, top_k=3, intermediate=16)},
            {"experts": Experts(layers=1, count=8, top_k=2, intermediate=0)},
            {"experts": Experts(layers=2, count=8, top_k=2, intermediate=16)},
        ],
    )
    def test_refuses_a_structure_that_cannot_be(self, changes):
        with pytest.raises(InvalidArchitecture):
            dense(**changes)

    @pytest.mark.parametrize(
        "changes", [{"attention": {"kind": "linear"}}, {"attention": {}}, {"experts": {"count": 1}}, {"depth": 3}]
    )
    def test_refuses_json_that_is_no_structure(self, changes):
        with pytest.raises(InvalidArchitecture):
            architecture.from_json(architecture.to_json(dense()) | changes)
