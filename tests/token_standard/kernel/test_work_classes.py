"""Images and speculation: work beside the tokens that are billed."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import catalogue, images, speculation
from token_standard.__main__ import main
from token_standard.images import Encoder, Image, InvalidImage
from token_standard.speculation import InvalidSpeculation, audit_work

LLAMA = catalogue.card("llama-3-8b").architecture
SMALL = catalogue.card("llama-2-7b").architecture


class TestImages:
    def test_the_formula_by_hand(self):
        # ViT-L/14 at 336 pixels: 24 layers of width 1024, 4096 between, 576 patches
        encoder = images.encoder_of(hidden=1024, intermediate=4096, layers=24)
        assert encoder.weights == 24 * (4 * 1024**2 + 2 * 1024 * 4096) == 301_989_888

        flops = 2 * 301_989_888 * 576 + 4 * 1024 * 24 * 576**2
        assert encoder.flops(576) == flops == 380_507_258_880
        # 218.4 TFLOP/s and 0.85057 ms a standard token
        seconds = Fraction(flops, 218_400_000_000_000)
        assert images.encoder_st(encoder, [Image(576, 576)]) == seconds / Fraction(7_706_182_832, 9_060_009_765_625)

    def test_tokens_of_images_are_prompt_tokens(self):
        assert images.prompt_tokens(100, [Image(576, 144), Image(1024, 256)]) == 500

    @given(st.lists(st.integers(1, 10_000), max_size=5))
    def test_images_are_encoded_apart(self, patches):
        encoder = Encoder(1000, 10, 2)
        each = [images.encoder_st(encoder, [Image(p, 1)]) for p in patches]

        assert images.encoder_st(encoder, [Image(p, 1) for p in patches]) == sum(each)

    def test_refuses_what_cannot_be(self):
        with pytest.raises(InvalidImage):
            Encoder(0, 1, 1)
        with pytest.raises(InvalidImage):
            Encoder(1, 1, 1).flops(0)

    def test_estimate_prints_the_encoder_beside_the_bill(self, capsys):
        plain = ["estimate", "llama-3-8b", "--input", "1252", "--output", "10"]
        assert main(plain) == 0
        billed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("total")]

        arguments = ["--input", "100", "--output", "10", "--images", "2", "--image", "576:576:301989888:1024:24"]
        assert main(["estimate", "llama-3-8b", *arguments]) == 0
        out = capsys.readouterr().out.splitlines()
        assert [line for line in out if line.startswith("total")] == billed
        assert [line for line in out if line.startswith("encoder")] == [
            "encoder     4.097 ST more for 2 images, not invoiced"
        ]

    @pytest.mark.parametrize("text", ["1:1:1", "a:1:1:1:1", "0:1:1:1:1"])
    def test_estimate_refuses_an_image_that_cannot_be(self, capsys, text):
        with pytest.raises(SystemExit):
            main(["estimate", "llama-3-8b", "--image", text])
        assert "--image" in capsys.readouterr().err

    def test_estimate_refuses_images_without_one(self, capsys):
        assert main(["estimate", "llama-3-8b", "--input", "1", "--images", "2"]) == 2
        assert "--image" in capsys.readouterr().err


class TestAuditWork:
    def test_by_hand(self):
        # 100 rounds of 4 drafted tokens, 250 accepted: 500 positions verified for 350 tokens
        found = audit_work(LLAMA, drafts=100, draft_tokens=400, accepted=250)

        assert (found.verified, found.delivered, found.draft_flops) == (500, 350, 0)
        assert found.flops == 2 * 500 * (LLAMA.active_weights + LLAMA.head_weights)
        assert found.positions_per_token == Fraction(10, 7)

    def test_a_draft_model_works_on_each_drafted_token(self):
        found = audit_work(LLAMA, drafts=100, draft_tokens=400, accepted=250, draft=SMALL)

        assert found.draft_flops == 2 * 400 * (SMALL.active_weights + SMALL.head_weights)

    @given(st.integers(1, 1000), st.integers(0, 5000), st.data())
    def test_never_less_than_one_by_one(self, drafts, drafted, data):
        accepted = data.draw(st.integers(0, drafted))
        found = audit_work(LLAMA, drafts=drafts, draft_tokens=drafted, accepted=accepted)

        assert found.positions_per_token >= 1
        assert (found.positions_per_token == 1) == (accepted == drafted)

    @pytest.mark.parametrize(("drafts", "drafted", "accepted"), [(0, 1, 1), (1, 1, 2), (1, 1, -1), (1, -1, -1)])
    def test_refuses_counts_that_cannot_be(self, drafts, drafted, accepted):
        with pytest.raises(InvalidSpeculation):
            speculation.audit_work(LLAMA, drafts=drafts, draft_tokens=drafted, accepted=accepted)
