"""Estimates of any model, conversion, rates of pairs and list prices over REST."""

import json
import random

import pytest

from market import selectors
from market.services import estimating
from tests.market.test_api import client_of
from tests.token_standard.kernel import configs
from token_standard import exchange, list_prices, pairs, uploads, usage
from token_standard.catalogue import card

pytestmark = pytest.mark.django_db
ESTIMATES, GRAPH = "/api/v1/estimates", "/api/v1/estimates/graph"
ONE = [{"input": 1200, "cached": 200, "output": 300}]


@pytest.fixture(scope="module")
def llama_file():
    pytest.importorskip("onnx")
    from tests.token_standard.kernel import onnx_llama

    return onnx_llama.build().SerializeToString()


@pytest.fixture
def hollow_file(llama_file, tmp_path):
    """The same with its weights in another file, which is not sent."""
    import onnx

    path = tmp_path / "hollow.onnx"
    onnx.save(
        onnx.load_from_string(llama_file), str(path), save_as_external_data=True, location="w.bin", size_threshold=1024
    )
    return path.read_bytes()


@pytest.fixture
def api(live_world):
    return client_of(live_world.organisation("buyer", yuan=1_000), "market:read")


def post(api, body, url=ESTIMATES):
    return api.post(url, json.dumps(body), content_type="application/json")


class TestOfALine:
    def test_has_no_cost_before_the_market_has_a_price(self, api, live_world):
        found = api.get(f"/api/v1/lines/{live_world.line}/estimate", {"input": 1200, "output": 300}).json()

        assert (found["price"], found["cost"], found["cheapest_hours"]) == (None, None, [])

    def test_costs_what_the_hours_ahead_ask(self, api, live_world):
        seller = live_world.organisation("provider")
        live_world.offer(seller, 1_000_000, 1_800_000)

        found = api.get(f"/api/v1/lines/{live_world.line}/estimate", {"input": 1200, "output": 300}).json()

        (hour,) = found["cheapest_hours"]
        assert (hour["per_million_st"], hour["basis"]) == ("1.80", "best_offer")
        assert float(hour["amount"]) == pytest.approx(float(found["st"]) * 1.8 / 1e6, abs=1e-9)
        assert found["dearest_hour"] == hour

    def test_costs_the_current_hours_last_trade(self, api, live_world):
        live_world.window = selectors.open_windows(live_world.now)[0][0]
        buyer, seller = live_world.organisation("buyer", yuan=1_000), live_world.organisation("provider")
        live_world.offer(seller, 1_000_000, 1_800_000)
        live_world.bid(buyer, 1_000_000, 1_800_000)
        live_world.round()

        found = api.get(f"/api/v1/lines/{live_world.line}/estimate", {"input": 1200, "output": 300}).json()

        assert found["price"]["basis"] == "last_trade"
        cost = found["cost"]
        assert float(cost["low"]) < float(cost["amount"]) < float(cost["high"])
        assert float(cost["amount"]) == pytest.approx(float(found["st"]) * 1.8 / 1e6, abs=1e-9)


class TestOfAModel:
    def test_by_card_is_what_would_be_invoiced(self, api, live_world):
        found = post(api, {"card": "llama-3-8b/fp16", "requests": [*ONE, {"input": 5, "output": 1, "count": 3}]}).json()

        llama = card("llama-3-8b")
        total = usage.micro_st(llama, n=1000, c=200, g=300) + 3 * usage.micro_st(llama, n=5, c=0, g=1)
        assert (found["st"], found["requests"], found["line"]) == (usage.st_text(total), 4, live_world.line)

    def test_by_configuration_has_st_only(self, api):
        found = post(api, {"config": configs.TABLE["llama-3-8b"], "requests": ONE}).json()

        assert (found["cost"], found["line"], found["cheapest_hours"]) == (None, None, [])
        assert float(found["low_st"]) < float(found["st"]) < float(found["high_st"])

    def test_says_which_digest_it_has(self, api):
        wanted = {"card": "llama-3-8b/fp16", "requests": ONE}

        assert post(api, {**wanted, "digest": card("llama-3-8b").digest}).status_code == 200
        answer = post(api, {**wanted, "digest": card("llama-2-7b").short_digest})

        assert (answer.status_code, answer.json()["code"]) == (422, "digest_differs")
        assert answer.json()["digest"] == card("llama-3-8b").digest

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({}, "invalid"),
            ({"card": "llama-3-8b", "config": {}, "requests": ONE}, "invalid"),
            ({"card": "llama-3-8b", "requests": []}, "invalid"),
            ({"card": "llama-3-8b", "requests": ONE * 1001}, "invalid"),
            ({"card": "llama-3-8b", "requests": {}}, "invalid"),
            ({"card": "llama-3-8b", "requests": [3]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": -1, "output": 1}]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": 10**9 + 1, "output": 1}]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": True, "output": 1}]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": "5", "output": 1}]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": 5, "cached": 6, "output": 1}]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": 5, "output": 1, "count": 0}]}, "invalid"),
            ({"card": "llama-3-8b", "requests": [{"input": 5, "output": 1, "inptu": 0}]}, "unknown_field"),
            ({"card": "llama-3-8b", "requests": ONE, "grad": "batch"}, "unknown_field"),
            ({"card": "llama-3-8b", "requests": ONE, "grade": "best"}, "invalid"),
            ({"card": "llama-9", "requests": ONE}, "bad_model"),
            ({"card": "llama-3-8b/fp3", "requests": ONE}, "bad_model"),
            ({"card": "llama-3-8b", "number_format": "fp8", "requests": ONE}, "invalid"),
            ({"config": {}, "requests": ONE}, "bad_model"),
            ({"config": [], "requests": ONE}, "invalid"),
            ({"config": {"model_type": "llama", "hidden_size": "big"}, "requests": ONE}, "bad_model"),
            ({"config": {"x": "y" * 300_000}, "requests": ONE}, "invalid"),
        ],
    )
    def test_refuses_what_it_cannot_read(self, api, body, code):
        answer = post(api, body)

        assert (answer.status_code, answer.json()["code"]) == (400, code)

    def test_names_the_field_that_a_configuration_lacks(self, api):
        config = {name: value for name, value in configs.TABLE["llama-3-8b"].items() if name != "hidden_size"}

        found = post(api, {"config": config, "requests": ONE}).json()

        assert (found["field"], found["inner"], found["reason"]) == ("config", "hidden_size", "invalid_config")
        assert "hidden_size is missing" in found["detail"]


def graph(api, raw, kind="onnx", content_type="application/octet-stream", **parameters):
    asked = {"kind": kind, "input": "10", "output": "0", **parameters}
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return api.post(f"{GRAPH}?{query}", raw, content_type=content_type)


class TestOfAGraph:
    def test_is_counted(self, api, llama_file):
        found = graph(api, llama_file, output="3", cached="2", count="4").json()

        assert (found["requests"], found["card_digest"], found["cost"]) == (4, None, None)
        assert float(found["st"]) > 0

    def test_needs_no_external_weights(self, api, hollow_file, llama_file):
        assert graph(api, hollow_file, output="3").json()["st"] == graph(api, llama_file, output="3").json()["st"]

    def test_refuses_a_file_that_is_cut_off(self, api, llama_file):
        for raw in (b"", b"x", llama_file[:-700], llama_file[: len(llama_file) // 2]):
            answer = graph(api, raw)
            assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "bad_model", "graph")
            assert "/tmp" not in answer.json()["detail"]

    def test_refuses_more_than_64_mib(self, api, monkeypatch):
        monkeypatch.setattr(uploads, "LARGEST_GRAPH", 1000)

        assert graph(api, b"0" * 1001).json()["reason"] == "too_large"

    def test_refuses_output_of_a_program_of_fixed_shapes(self, api):
        text = (
            "module @m {\n  func.func public @main(%arg0: tensor<4x4xf32>) -> tensor<4x4xf32> {\n"
            "    %0 = stablehlo.dot_general %arg0, %arg0, contracting_dims = [1] x [0] : "
            "(tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>\n    return %0 : tensor<4x4xf32>\n  }\n}\n"
        )

        assert graph(api, text, "stablehlo", "text/plain").status_code == 200
        assert graph(api, text, "stablehlo", "text/plain", output="1").json()["code"] == "no_cache"
        assert graph(api, text[:-4], "stablehlo", "text/plain").json()["code"] == "bad_model"

    @pytest.mark.parametrize(
        "changes",
        [{"kind": "gguf"}, {"input": "-1"}, {"input": ""}, {"number_format": "fp3"}, {"x": "1"}, {"count": "0"}],
    )
    def test_refuses_what_it_does_not_know(self, api, changes):
        assert graph(api, b"0", **changes).status_code == 400

    def test_takes_no_other_type(self, api):
        assert graph(api, b"{}", content_type="application/json").status_code == 415

    def test_waits_for_one_that_is_counted_and_then_says_so(self, api, monkeypatch):
        monkeypatch.setattr(estimating, "WAIT_SECONDS", 0.01)
        with estimating._turn():
            answer = graph(api, b"0")

        assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, "busy", True)


class TestRates:
    def test_has_rows_with_a_rate_and_rows_without(self, api):
        rows = api.get("/api/v1/exchange-rates").json()["data"]

        assert {row["state"] for row in rows} == {"definition", "unknown"}
        for row in rows:
            assert (row["st"] is None) == (row["state"] == "unknown")
            assert row["source"]

    def test_converts_through_st(self, api):
        asked = {"amount": "1000", "from": "llama-2-7b:output@2048", "to": "ST", "on": "2026-11-24"}
        found = api.get("/api/v1/convert", asked).json()

        assert (found["amount"], found["on"]) == ("1000.000000000000", "2026-11-24")

    def test_says_that_a_vendor_publishes_too_little(self, api):
        answer = api.get("/api/v1/convert", {"amount": "1", "from": "baidu/ernie-4.5-turbo/output", "to": "ST"})

        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "rate_unknown", "from")

    @pytest.mark.parametrize(
        "changes",
        [{"amount": "-1"}, {"amount": "1e9"}, {"amount": ""}, {"from": ""}, {"to": "a b"}, {"on": "2026-02-30"}, {"x": "1"},
         {"on": "today"}, {"amount": "1" * 31}],
    )  # fmt: skip
    def test_refuses_what_it_cannot_read(self, api, changes):
        answer = api.get("/api/v1/convert", {"amount": "1", "from": "ST", "to": "ST"} | changes)

        assert answer.status_code == 400

    @pytest.mark.parametrize("name", ["no", "llama-3-8b:prompt", "llama-9:output", "llama-3-8b:output@0"])
    def test_refuses_unknown_tokens(self, api, name):
        answer = api.get("/api/v1/convert", {"amount": "1", "from": "ST", "to": name})

        assert (answer.status_code, answer.json()["field"]) == (422, "to")


def made(count=60, noise=0.02):
    chance, found = random.Random(3), []
    for _ in range(count):
        n, g = chance.randint(900, 1100), chance.randint(90, 110)
        found.append(exchange.Pair(n, 0, g, round((n + g) * 2 * chance.uniform(1 - noise, 1 + noise))))
    return found


def plain(given):
    return [
        {"uncached": one.uncached, "cached": one.cached, "generated": one.generated, "vendor_tokens": one.vendor}
        for one in given
    ]


FIT = {"token": "v/x", "card": "llama-3-8b/fp16", "source": "test", "valid_from": "2026-11-24", "seed": 7}
FIT_URL = "/api/v1/exchange-rates/fit"


class TestFit:
    def test_gives_the_same_rate_to_both_sides(self, api):
        given = made()
        text = "uncached,cached,generated,vendor_tokens\n" + "".join(
            f"{one.uncached},{one.cached},{one.generated},{one.vendor}\n" for one in given
        )

        found = post(api, {**FIT, "pairs": plain(given)}, FIT_URL).json()

        assert post(api, {**FIT, "csv": text}, FIT_URL).json() == found
        own = exchange.fit("v/x", card("llama-3-8b"), given, seed=7, source="test",
                           valid_from=exchange.date(2026, 11, 24), valid_until=None)  # fmt: skip
        assert exchange.from_json(found["rate"]) == own
        assert (found["pairs_sha256"], found["card_digest"]) == (pairs.digest(given), card("llama-3-8b").digest)

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"pairs": plain(made(10))}, "rate_error"),
            ({"pairs": plain(made(noise=0.9))}, "interval_too_wide"),
            ({"pairs": plain(made()), "mix": {"input": 1, "output": 9}}, "mix_differs"),
            ({"csv": "a,b\n1,2\n"}, "rate_error"),
            ({"csv": "uncached,cached,generated,vendor_tokens\n1,2,3,x\n"}, "rate_error"),
            ({"pairs": plain(made()), "card": "llama-9"}, "unknown_card"),
        ],
    )
    def test_refuses_pairs_that_give_no_rate(self, api, body, code):
        answer = post(api, {**FIT, **body}, FIT_URL)

        assert (answer.status_code, answer.json()["code"]) == (422, code)

    @pytest.mark.parametrize(
        "body",
        [{}, {"pairs": [], "csv": ""}, {"pairs": [{"uncached": 1}]}, {"pairs": plain(made()), "seed": -1},
         {"pairs": plain(made()), "valid_from": "24.11.2026"}, {"pairs": plain(made()), "valid_until": "2026-11-24"},
         {"pairs": plain(made()), "token": "a b"}, {"pairs": plain(made()), "extra": 1},
         {"pairs": plain(made()), "mix": {"input": 0, "output": 0}}, {"pairs": plain(made(1)) * 5001}],
    )  # fmt: skip
    def test_refuses_what_it_cannot_read(self, api, body):
        assert post(api, {**FIT, **body}, FIT_URL).status_code == 400


class TestListPrices:
    def test_are_given_as_published_with_their_source(self, api):
        answer = api.get("/api/v1/list-prices").json()
        rows, (claim,) = answer["data"], answer["declared"]

        assert list_prices.claim_from_json(claim) == list_prices.claims()[0]
        assert (claim["published_low"], claim["published_high"]) == (
            "0.100000",
            "48.0000",
        ) and "per_million" not in claim
        assert [list_prices.from_json(row) for row in rows] == list(list_prices.list_prices())
        for row in rows:
            assert row["source"].startswith("https://")
            assert (row["per_million_st"] is None) == (row["card"] is None)


@pytest.mark.parametrize(
    ("method", "url"),
    [("post", ESTIMATES), ("post", GRAPH), ("get", "/api/v1/exchange-rates"), ("get", "/api/v1/convert"),
     ("post", FIT_URL), ("get", "/api/v1/list-prices")],
)  # fmt: skip
class TestRights:
    def test_needs_a_key(self, client, method, url):
        assert getattr(client, method)(url).status_code == 401

    def test_needs_the_right_to_read_the_market(self, live_world, method, url):
        other = client_of(live_world.organisation("buyer", yuan=1), "usage:write")

        assert getattr(other, method)(url).status_code == 403
