"""How much an order asks for: standard tokens, a budget, or tokens of the model."""

import pytest

from market.models import Order
from tests.market.test_api import ORDERS, body, client_of, place
from token_standard import catalogue, usage

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(live_world):
    return client_of(live_world.organisation("buyer", yuan=1_000))


def asked(**how):
    return {"quantity_st": None, **how}


class TestPlace:
    def test_buys_as_many_lots_as_the_budget_pays_for(self, api, live_world):
        order = place(api, live_world, **asked(budget="10")).json()

        assert (order["quantity_st"], order["held"]) == ("5555000", "9.999")

    def test_counts_tokens_of_the_model_by_its_card(self, api, live_world):
        tokens = {"input": 1_500, "cached": 300, "output": 200, "requests": 1_000}

        order = place(api, live_world, **asked(tokens=tokens)).json()

        exact = 1_000 * usage.micro_st(catalogue.card("llama-3-8b", "fp16"), n=1_500, c=300, g=200)
        assert 0 <= int(order["quantity_st"]) * 10**6 - exact < 1_000 * 10**6

    def test_takes_one_request_without_a_count(self, api, live_world):
        order = place(api, live_world, **asked(tokens={"output": 1})).json()

        assert order["quantity_st"] == "1000"

    @pytest.mark.parametrize(
        ("how", "status", "code"),
        [
            ({}, 400, "invalid"), ({"quantity_st": "1000", "budget": "1"}, 400, "invalid"),
            ({"budget": "1", "tokens": {"input": 1}}, 400, "invalid"), ({"budget": 10}, 400, "invalid"),
            ({"budget": "-1"}, 400, "invalid"), ({"budget": "0.0017"}, 422, "budget_too_small"),
            ({"budget": "1", "price_per_million": "1.805"}, 422, "off_tick"),
            ({"budget": "1", "price_per_million": "0"}, 422, "off_tick"),
            ({"budget": "1", "grade": "gold"}, 422, "unknown_grade"), ({"budget": "9999"}, 402, "insufficient_funds"),
            ({"budget": "1", "line": "nothing"}, 422, "unknown_line"),
            ({"tokens": {}}, 400, "invalid"), ({"tokens": {"input": 0}}, 400, "invalid"),
            ({"tokens": {"input": -1}}, 400, "invalid"), ({"tokens": {"input": "1"}}, 400, "invalid"),
            ({"tokens": {"input": 1, "requests": 0}}, 400, "invalid"), ({"tokens": [1]}, 400, "invalid"),
            ({"tokens": {"prompt": 1}}, 400, "unknown_field"),
            ({"tokens": {"input": 8_000, "output": 193}}, 422, "beyond_context"),
            ({"tokens": {"input": 1}, "line": "nothing"}, 422, "unknown_line"),
            ({"tokens": {"input": 8_000, "requests": 10**9}}, 402, "insufficient_funds"),
        ],
    )  # fmt: skip
    def test_refuses_with_a_problem_and_writes_nothing(self, api, live_world, how, status, code):
        answer = place(api, live_world, **asked(**how))

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert not Order.objects.exists()


class TestPreview:
    def test_says_how_much_the_budget_buys(self, api, live_world):
        sent = body(live_world, **asked(budget="10"))

        answer = api.post(f"{ORDERS}/preview", sent, content_type="application/json").json()

        assert (answer["quantity_st"], answer["worst_cost"]) == ("5555000", "9.999")
        assert not Order.objects.exists()


class TestBatch:
    def test_takes_each_kind(self, api, live_world):
        orders = [
            body(live_world, **asked(**how))
            for how in ({"budget": "0.0018"}, {"tokens": {"output": 1}}, {"budget": "0"}, {"quantity_st": "1000"})
        ]

        found = api.post(
            f"{ORDERS}/batch", {"orders": orders}, content_type="application/json", headers={"idempotency-key": "k"}
        ).json()

        assert [one["order"] and one["order"]["quantity_st"] for one in found["results"]] == [
            "1000",
            "1000",
            None,
            "1000",
        ]
