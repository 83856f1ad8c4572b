import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.errors import BeyondContext, BudgetTooSmall
from market.kernel.quantities import ModelTokens, st_of_budget, st_of_tokens
from token_standard import catalogue, usage

CARD = catalogue.card("llama-3-8b", "fp16")


class TestBudget:
    def test_of_the_rule_book(self):
        assert st_of_budget(10_000_000, limit_micros=1_800_000, lot_st=1_000) == 5_555_000

    def test_of_less_than_a_lot_is_refused_with_its_cost(self):
        with pytest.raises(BudgetTooSmall) as refusal:
            st_of_budget(1_799, limit_micros=1_800_000, lot_st=1_000)
        assert refusal.value.details == {"least_micros": 1_800}

    @given(st.integers(1, 10**15), st.integers(1, 10**8).map(lambda ticks: ticks * 10_000))
    def test_pays_for_its_lots_and_for_not_one_more(self, budget, limit):
        cost = limit * 1_000 // 10**6
        if budget < cost:
            return

        lots = st_of_budget(budget, limit_micros=limit, lot_st=1_000) // 1_000

        assert lots * cost <= budget < (lots + 1) * cost


class TestTokens:
    @given(st.integers(0, 4_000), st.integers(0, 2_000), st.integers(0, 2_000), st.integers(1, 10**9))
    def test_are_counted_as_usage_is_and_rounded_up_to_lots(self, n, c, g, requests):
        counted = sum([usage.micro_st(CARD, n=n, c=c, g=g)] * min(requests, 100)) * requests // min(requests, 100)

        found = st_of_tokens(ModelTokens(n, c, g, requests), card=CARD, context_limit=8_192, lot_st=1_000)

        assert found % 1_000 == 0
        assert 0 <= found * 10**6 - counted < 1_000 * 10**6

    def test_beyond_the_context_are_refused(self):
        with pytest.raises(BeyondContext) as refusal:
            st_of_tokens(ModelTokens(8_000, 100, 93), card=CARD, context_limit=8_192, lot_st=1_000)
        assert refusal.value.details == {"context_limit": 8_192}
