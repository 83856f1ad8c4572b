"""The published table of models, to its last printed digit."""

from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import pytest

from token_standard import cards, catalogue, usage

# params B, active B (None: dense), GFLOP@2k, KV KiB, out@512, @2048, @8192, @32768, prompt, fp8 out@2k, fp8 prompt
TABLE = {
    "llama-2-7b": "6.74 - 14.29 512 0.415 1.000 3.339 12.70 0.0741 0.503 0.0385",
    "llama-3-8b": "8.03 - 16.08 128 0.300 0.449 1.047 3.438 0.0794 0.227 0.0411",
    "mistral-7b-v0.1": "7.24 - 15.29 128 0.287 0.436 0.635 0.635 0.0794 0.221 0.0411",
    "qwen2.5-7b": "7.62 - 14.96 56 0.258 0.324 0.592 1.661 0.0737 0.164 0.0379",
    "glm-4-9b": "9.40 - 18.90 40 0.309 0.360 0.563 1.375 0.0929 0.184 0.0483",
    "qwen3-32b": "32.76 - 68.26 256 1.167 1.475 2.705 7.626 0.3532 0.749 0.1824",
    "llama-3-70b": "70.55 - 144.4 320 2.442 2.827 4.364 10.52 0.7637 1.428 0.3891",
    "qwen2.5-72b": "72.70 - 148.3 320 2.507 2.892 4.429 10.58 0.7830 1.460 0.3987",
    "llama-3.1-405b": "405.85 - 824.4 504 13.65 14.29 16.85 27.09 4.441 7.192 2.243",
    "mixtral-8x7b": "46.70 12.75 26.57 128 0.474 0.624 1.222 3.613 0.1470 0.315 0.0749",
    "qwen3-30b-a3b": "30.53 3.04 7.69 96 0.262 0.378 0.839 2.684 0.0391 0.193 0.0217",
    "deepseek-v3": "671.0 36.6 108.0 68.6 4.513 4.731 5.604 9.097 0.5297 2.459 0.2786",
    "gpt-oss-120b": "116.8 5.1 10.90 72 0.754 0.797 0.970 1.662 0.0712 0.400 0.0365",
}

# A card is immutable: a digest that changes here has changed what stored usage records refer to.
DIGESTS = {
    "llama-2-7b fp16": "4ca86335fdce1ae7e4d1e238e8bc50e42eb828545c9fd9a8f341ae354956427f",
    "llama-2-7b fp8": "191c5b4bc8945925f503c23da4d78eb1180a41f3b432502a12325024e8ee3c45",
    "llama-3-8b fp16": "6ecf0f92e63ca9eee623c7ae6eecb586752319d50e03b70e54ba03c5411519fd",
    "llama-3-8b fp8": "2d0708c24916550aecdc76885a9213141efab6a926c6d6196e007e333568326a",
    "mistral-7b-v0.1 fp16": "63ae6521920d68624e0a130077e6a59346ae148d26064143ca9013a60c93c9a8",
    "mistral-7b-v0.1 fp8": "bf313e9b8ef80ad6255507ae75700e71fb20fb92d41b4bb55b43d1776337a865",
    "qwen2.5-7b fp16": "8333cc57026f7ef53690fdf58320228048b3756c230886b75ef5481de6178ee2",
    "qwen2.5-7b fp8": "c8e0370f9b73e881d8525bf7efaedab627af55488a7f72e859402f48cd8584c8",
    "glm-4-9b fp16": "0ac2f045b21e88b4b6883c48294934c00bdb5a506cc5fb2709cc21004a933793",
    "glm-4-9b fp8": "170060799a8f75f19ac8ebf2fc93c2495c3f361737e0542b39462142fde98fe5",
    "qwen3-32b fp16": "0f54ec4f65b3a194ba1558a077a168afee6666d1a310307b028fe528df0c7fae",
    "qwen3-32b fp8": "31310ec66fca98eacbf53d7cfa0414fa129db7371676e10d47a4f1953a6c4573",
    "llama-3-70b fp16": "0059e312c4101f9abce196c33115e98bb9c53df885e762b3bb2b4af413778cdb",
    "llama-3-70b fp8": "36c032ace4215f0e4c94ccadb33246f888030355a35b7a6ba5e955822a6f67d1",
    "qwen2.5-72b fp16": "5a27ea3c031d65cd492d3d426c8ddd105d76a1cd38b2116ac89a30edc275b83c",
    "qwen2.5-72b fp8": "007693be8a8f649a6e732944614c8d0b7329d4d00fb88c4bab65ba358dbb1d02",
    "llama-3.1-405b fp16": "dc1fbbbe3544afe48a2f99b3809854d9f15c6f09eac20877e85bdf777c80472b",
    "llama-3.1-405b fp8": "735e292b5883fc12b85eae29fbc12c305f6b0fd038bfb224afffa9b4d6304bfa",
    "mixtral-8x7b fp16": "5de2b9668439c5b63018bb8699b6f92ddd3798ef3d2340c80a887f698ef95425",
    "mixtral-8x7b fp8": "57207ed47ea1b80022a9b63b871d800e11eb327888a41f161284e43e10de88b0",
    "qwen3-30b-a3b fp16": "a46e59546e3dabd8f1f7013e5550c32010a8d571ebc4ed902be9d0df5559d9fb",
    "qwen3-30b-a3b fp8": "6cb6a50b563384fa5f2e22ce6e16ce870f0fa410d06ea20938448b835eb33b02",
    "deepseek-v3 fp16": "37db3cb57fb19518a7a82b37da4ff79e13801d6c3c06c6f3624362c76dda4441",
    "deepseek-v3 fp8": "e8f69ce668ad53f43662baaddd8d2d82079a03fc541fdb65bb7733ada0fb87f2",
    "gpt-oss-120b fp16": "e9bbb757d98fddd17efbe443d3e90aee615c75972015db6b365a668648154138",
    "gpt-oss-120b fp8": "ac816770cf9b472b5448c618e242e2281eebbd8af0db5162b4af09aa1fe562dc",
    "deepseek-v3-mu1 fp8": "37d95febc31f20efcfb6153f06c289eac998648fbc69ef7dc070310b23081ab4",
}


def printed(value: Fraction, like: str) -> str:
    """``value`` with as many decimals as ``like`` has."""
    places = len(like.partition(".")[2])
    digits = str(round(value * 10**places)).rjust(places + 1, "0")
    return digits if not places else f"{digits[:-places]}.{digits[-places:]}"


class TestCatalogue:
    @pytest.mark.parametrize("name", TABLE)
    def test_gives_every_figure_of_the_published_table(self, name):
        fp16, fp8 = catalogue.card(name), catalogue.card(name, "fp8")
        shape = fp16.architecture
        figures = [
            Fraction(shape.parameters, 10**9),
            Fraction(shape.active_parameters, 10**9),
            Fraction(shape.generation_flops(2048), 10**9),
            2 * Fraction(shape.kv_elements, 1024),
            *(usage.st_per_generated(fp16, context=context) for context in (512, 2048, 8192, 32768)),
            usage.st_per_prompt(fp16, prompt=2048),
            usage.st_per_generated(fp8, context=2048),
            usage.st_per_prompt(fp8, prompt=2048),
        ]
        expected = TABLE[name].split()

        got = ["-" if text == "-" else printed(figure, text) for figure, text in zip(figures, expected, strict=True)]

        assert got == expected

    def test_has_the_models_of_the_table_in_two_formats(self):
        assert [model.name for model in catalogue.models()] == [*TABLE, "deepseek-v3-mu1"]
        assert [(card.model, card.format.name) for card in catalogue.cards()] == [
            *((name, form) for name in TABLE for form in ("fp16", "fp8")),
            ("deepseek-v3-mu1", "fp8"),
        ]

    def test_never_changes_a_published_card(self):
        assert {f"{card.model} {card.format.name}": card.digest for card in catalogue.cards()} == DIGESTS

    def test_marks_cards_with_routed_experts_as_provisional(self):
        assert {card.model for card in catalogue.cards() if card.provisional} == {
            "mixtral-8x7b",
            "qwen3-30b-a3b",
            "deepseek-v3",
            "gpt-oss-120b",
        }

    def test_finds_a_card_by_digest(self):
        card = catalogue.card("llama-3-8b", "fp8")

        assert catalogue.card_by_digest(card.digest) is card

    @pytest.mark.parametrize(("model", "form"), [("llama-9", "fp16"), ("llama-3-8b", "fp2")])
    def test_names_what_it_does_not_have(self, model, form):
        with pytest.raises(catalogue.UnknownCard, match=r"llama-9|fp2"):
            catalogue.card(model, form)
        with pytest.raises(catalogue.UnknownCard):
            catalogue.card_by_digest("00")


class TestReferenceCard:
    def test_has_the_published_coefficients_exactly(self):
        exact = catalogue.card("llama-2-7b").coefficients

        assert exact.a_p == Fraction(411741773, 5779637124)
        assert exact.b_p == Fraction(4078, 1444909281)
        assert exact.a_d == Fraction(318349537, 1444909281)
        assert exact.b_d == Fraction(550078, 1444909281)
        assert exact.c_c == Fraction(182000, 481636427)

    def test_makes_the_reference_token_one_st(self):
        card = catalogue.card("llama-2-7b")

        assert card.coefficients.a_d + 2048 * card.coefficients.b_d == 1
        assert usage.st_per_generated(card, context=2048) == 1

    @pytest.mark.parametrize(
        ("model", "batch", "expected"),
        [
            ("llama-2-7b", 16, "1.446"),
            ("llama-2-7b", 64, "1.000"),
            ("llama-2-7b", 256, "0.888"),
            ("llama-3-70b", 16, "7.52"),
            ("llama-3-70b", 64, "2.83"),
            ("llama-3-70b", 256, "1.65"),
        ],
    )
    def test_has_the_published_sensitivity_to_the_batch(self, model, batch, expected):
        card = catalogue.card(model)
        version = cards.VERSIONS["ST-2026.1"]

        changed = cards._coefficients(card, replace(version, dense_batch=batch))

        assert printed(changed.a_d + 2048 * changed.b_d, expected) == expected

    def test_prices_a_cached_token_at_a_small_part_of_an_uncached_one(self):
        exact = catalogue.card("llama-2-7b").coefficients

        assert printed(exact.c_c, "0.00038") == "0.00038"
        assert exact.a_p > 185 * exact.c_c


class TestCard:
    def test_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            catalogue.card("llama-3-8b").mu_p = Fraction(2)

    @pytest.mark.parametrize("card", catalogue.cards(), ids=lambda card: card.short_digest)
    def test_survives_the_way_through_json(self, card):
        again = cards.from_json(cards.to_json(card))

        assert again == card
        assert again.digest == card.digest

    def test_is_hashed_in_one_spelling(self):
        text = catalogue.card("mistral-7b-v0.1", "fp8").canonical_json.decode()

        assert text.startswith('{"architecture":{"attention":{"head_dim":128,"heads":32,"kind":"grouped","kv_heads":8}')
        assert '"format":{"name":"fp8","pi":"2","v":"1","w":"1"}' in text
        assert text.endswith('"mu_d":"1","mu_p":"1","provisional":false,"version":"ST-2026.1"}')
        assert " " not in text.replace(catalogue.card("mistral-7b-v0.1").evidence, "")

    def test_shows_a_prefix_of_its_digest(self):
        card = catalogue.card("llama-3-8b")

        assert card.short_digest == "card_" + card.digest[:16]
        assert len(card.digest) == 64

    @pytest.mark.parametrize(
        "change",
        [
            {"mu_p": Fraction(2)},
            {"mu_d": Fraction(1, 2)},
            {"evidence": "measured"},
            {"provisional": True},
            {"model": "x"},
        ],
    )
    def test_has_another_digest_after_any_change(self, change):
        card = catalogue.card("llama-3-8b")

        assert replace(card, **change).digest != card.digest

    @pytest.mark.parametrize("model", ["llama-3-8b", "mistral-7b-v0.1", "deepseek-v3"])
    def test_applies_each_correction_to_its_own_terms(self, model):
        plain = catalogue.card(model)
        corrected = replace(plain, mu_p=Fraction(3, 2), mu_d=Fraction(5, 3))

        before = usage.shares(plain, n=5000, c=700, g=90)
        after = usage.shares(corrected, n=5000, c=700, g=90)

        assert after.input == before.input * Fraction(3, 2)
        assert after.cached == before.cached * Fraction(3, 2)
        assert after.output == before.output * Fraction(5, 3)

    def test_discounts_the_flops_of_weights_but_not_of_attention(self):
        fp16 = catalogue.card("llama-3-8b")
        half = replace(fp16, format=cards.Format("compute only", pi=Fraction(2), w=Fraction(2), v=Fraction(2)))

        assert half.coefficients.b_p == fp16.coefficients.b_p
        assert half.coefficients.b_d == fp16.coefficients.b_d
        assert fp16.coefficients.a_p - half.coefficients.a_p == fp16.architecture.active_weights / Fraction(
            cards.CURRENT.flops_per_st
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"mu_p": 1.5},
            {"mu_d": Fraction(0)},
            {"mu_d": Fraction(-1)},
            {"model": ""},
        ],
    )
    def test_refuses_what_cannot_be(self, change):
        with pytest.raises(cards.InvalidCard):
            replace(catalogue.card("llama-3-8b"), **change)

    def test_refuses_an_unpublished_version(self):
        with pytest.raises(ValueError, match=r"ST-2030\.1"):
            replace(catalogue.card("llama-3-8b"), version="ST-2030.1")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("mu_p", 1.5),
            ("mu_p", "1/0"),
            ("mu_p", "one"),
            ("colour", "red"),
            ("format", {"pi": "1"}),
            ("architecture", {}),
        ],
    )
    def test_refuses_json_that_is_no_card(self, field, value):
        plain = cards.to_json(catalogue.card("llama-3-8b"))

        with pytest.raises(ValueError, match="not a"):
            cards.from_json(plain | {field: value})

    def test_refuses_a_format_without_published_figures(self):
        with pytest.raises(cards.InvalidCard, match="fp3"):
            cards.published_format("fp3")
        with pytest.raises(cards.InvalidCard):
            cards.Format("free weights", pi=Fraction(1), w=Fraction(0), v=Fraction(2))
