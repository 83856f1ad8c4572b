"""What a request of a line would cost, over REST."""

import pytest

from market import selectors
from tests.market.test_api import client_of
from token_standard import usage
from token_standard.catalogue import card_by_digest

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(live_world):
    return client_of(live_world.organisation("buyer", yuan=1_000), "market:read")


@pytest.fixture
def url(live_world):
    return f"/api/v1/lines/{live_world.line}/estimate"


class TestEstimate:
    def test_is_what_would_be_invoiced(self, api, url, live_world):
        card = card_by_digest(selectors.line(live_world.line).card_digest)

        found = api.get(url, {"input": 1200, "cached": 200, "output": 300}).json()

        assert found["st"] == usage.st_text(usage.micro_st(card, n=1000, c=200, g=300))
        assert (found["card_digest"], found["line"]) == (card.digest, live_world.line)
        parts = [float(found[name]) for name in ("input_st", "cached_st", "output_st")]
        assert abs(sum(parts) - float(found["st"])) < 2e-6
        assert float(found["low_st"]) < float(found["st"]) < float(found["high_st"])
        assert found["method"]

    def test_of_nothing_is_nothing(self, api, url):
        assert api.get(url, {"input": 0, "output": 0}).json()["st"] == "0.000000"

    @pytest.mark.parametrize(
        "changes",
        [
            {"input": ""}, {"input": "-1"}, {"input": "1.5"}, {"input": "9" * 30}, {"output": "many"}, {"cached": "11"},
            {"cached": "-1"}, {"outptu": "3"},
        ],
    )  # fmt: skip
    def test_refuses_counts_that_are_none(self, api, url, changes):
        answer = api.get(url, {"input": "10", "output": "5"} | changes)

        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")

    def test_needs_both_counts(self, api, url):
        assert api.get(url).status_code == 400
        assert api.get(url, {"input": 5}).status_code == 400

    def test_has_no_line_of_another_name(self, api):
        assert api.get("/api/v1/lines/no/estimate", {"input": 5, "output": 5}).status_code == 404

    def test_needs_the_right_to_read_the_market(self, live_world, url):
        other = client_of(live_world.organisation("buyer", yuan=1), "usage:write")

        assert other.get(url, {"input": 5, "output": 5}).status_code == 403
