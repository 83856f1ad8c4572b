"""A record names version and card by digest; what it cost must come out the same for ever."""

import hashlib
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import cards, catalogue, usage, version
from token_standard.catalogue import card_by_digest

COUNTS = [(1, 0, 0), (0, 0, 1), (2048, 0, 1), (700, 1300, 250), (0, 8192, 512), (126_195, 0, 2000), (5, 4096, 9000)]
# SHA-256 over every card's digest and its micro-ST for COUNTS. If it changes, issued bills no longer come out.
FROZEN = {
    "first 26": "16d0506f68b5777e74d6fb1ea77face560e84a84d84e98624c2a74fde2484018",
    "deepseek-v3-mu1": "bf301c6f3c40b578e97e026a51254a0dc9e3831975d119f427c10d8c04c35215",
}


def fingerprint(some):
    lines = [
        " ".join(
            [each.digest, *(str(usage.micro_st(card_by_digest(each.digest), n=n, c=c, g=g)) for n, c, g in COUNTS)]
        )
        for each in some
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class TestRecords:
    def test_cost_what_they_always_cost(self):
        every = catalogue.cards()

        assert fingerprint(every[:26]) == FROZEN["first 26"]
        assert fingerprint([each for each in every if each.model == "deepseek-v3-mu1"]) == FROZEN["deepseek-v3-mu1"]

    @given(st.sampled_from(catalogue.cards()), st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**5))
    def test_cost_the_same_by_the_card_that_their_digest_names(self, card, n, c, g):
        again = cards.from_json(cards.to_json(card_by_digest(card.digest)))

        assert usage.micro_st(again, n=n, c=c, g=g) == usage.micro_st(card, n=n, c=c, g=g)

    def test_stay_computable_when_a_newer_version_is_out(self, monkeypatch):
        old = catalogue.card("llama-3-8b")
        before = usage.micro_st(old, n=1000, c=200, g=300)
        newer = replace(version.ST_2026_1, name="ST-2027.1", dense_batch=128)
        monkeypatch.setattr(cards, "VERSIONS", {**version.VERSIONS, newer.name: newer})
        monkeypatch.setattr(cards, "version_named", lambda name: cards.VERSIONS[name])

        card = replace(old, version="ST-2027.1")

        assert card.coefficients.a_d < old.coefficients.a_d
        assert card.digest != old.digest
        assert usage.micro_st(cards.from_json(cards.to_json(old)), n=1000, c=200, g=300) == before

    @pytest.mark.parametrize("card", catalogue.cards(), ids=lambda card: card.short_digest)
    def test_split_into_two_differ_by_rounding_only(self, card):
        """A prompt read in two pieces costs its second reading of the cache more, and half a micro-ST of rounding."""
        whole = usage.st(card, n=900, c=0, g=0)
        one, two = usage.shares(card, n=500, c=0, g=0), usage.shares(card, n=400, c=500, g=0)

        assert one.total + two.total - two.cached == whole
        split = usage.micro_st(card, n=500, c=0, g=0) + usage.micro_st(card, n=400, c=500, g=0)
        assert abs(split - (whole + two.cached) * 10**6) <= Fraction(1)
