"""The pages that estimate and convert: for everybody, with files from members only."""

import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from market.services import estimating
from tests.market.test_estimates_api import made
from tests.market.test_pages import address, at, signed_in
from tests.token_standard.kernel import configs
from token_standard import pairs, uploads
from token_standard.catalogue import card

pytestmark = pytest.mark.django_db
URL, CONVERT, FIT = "/estimate/", "/tokens/convert/", "/tokens/convert/fit/"
ROW = {"input": "1200", "cached": "200", "output": "300", "count": "1"}


@pytest.fixture
def member(live_world):
    return signed_in(live_world.organisation("buyer", yuan=1_000))


def file(name, content):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return SimpleUploadedFile(name, raw)


class TestEstimate:
    def test_is_open_to_everybody_and_keeps_its_address(self, live_world):
        answer = Client().post(URL, {"model": "card:llama-3-8b/fp16", "grade": "interactive", **ROW})

        assert answer.status_code == 302
        page = Client().get(answer["Location"]).content.decode()
        assert ">192.854 <small>ST" in page and "136.9 to 248.8 ST if measured" in page
        assert "nine in ten measured windows" in page and "View as table" in page
        assert card("llama-3-8b").short_digest in page

    def test_shows_no_yuan_without_a_market_price(self, live_world):
        page = Client().get(URL, {"model": f"line:{live_world.line}", **ROW}).content.decode()

        assert "no market price" in page and "CN¥0" not in page

    def test_shows_what_the_hours_ahead_cost(self, live_world):
        live_world.offer(live_world.organisation("provider"), 1_000_000, 1_800_000)

        page = Client().get(URL, {"model": f"line:{live_world.line}", **ROW}).content.decode()

        assert "Cheapest hours ahead" in page and "CN¥0.0003471" in page

    def test_adds_up_rows_with_their_weights(self):
        asked = {"model": "card:llama-3-8b/fp16", "input": ["10", "5"], "cached": ["0", ""], "output": ["1", "2"], "count": ["3", "1,000"]}  # fmt: skip
        page = Client().get(URL, asked).content.decode()

        assert "1,003 requests" in page

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"input": "-1"}, "A whole number from 0"),
            ({"output": "1e9"}, "A whole number from 0"),
            ({"output": "9999999999"}, "A whole number from 0"),
            ({"count": "0"}, "A whole number from 1"),
            ({"cached": "1201"}, "More than the whole input"),
            ({"model": ""}, "Choose a model"),
            ({"model": "line:no"}, "Select a valid choice"),
            ({"digest": "card_0000000000000000"}, "This card&#x27;s digest is card_"),
        ],
    )
    def test_names_what_is_wrong_and_keeps_what_was_typed(self, changes, words):
        answer = Client().post(URL, {"model": "card:llama-3-8b/fp16", **ROW, **changes})
        if answer.status_code == 302:
            answer = Client().get(answer["Location"])

        page = answer.content.decode()
        assert (answer.status_code, words in page) == (422, True)
        assert 'value="300"' in page or changes.get("output", "") in page

    def test_warns_of_requests_longer_than_the_line_takes(self, live_world):
        page = (
            Client()
            .get(URL, {"model": f"line:{live_world.line}", **ROW, "input": "8000", "count": "3"})
            .content.decode()
        )

        assert "3 requests are longer than this line takes (8,192 tokens" in page

    def test_takes_a_model_from_the_address(self, live_world):
        answer = Client().get(URL, {"model": f"line:{live_world.line}"})

        assert answer.status_code == 200
        assert f'value="line:{live_world.line}" selected' in answer.content.decode()

    def test_asks_for_tokens(self):
        answer = Client().post(
            URL, {"model": "card:llama-3-8b/fp16", "input": "", "cached": "", "output": "", "count": "1"}
        )

        assert answer.status_code == 422 and "How many tokens?" in answer.content.decode()

    def test_adds_a_row_without_an_estimate(self):
        page = Client().post(URL, {"model": "card:llama-3-8b/fp16", **ROW, "add": "1"}).content.decode()

        assert page.count('name="input"') == 2 and 'value="1200"' in page

    def test_speaks_chinese(self):
        page = Client(headers={"accept-language": "zh-hans"}).get(URL).content.decode()

        assert "这要花多少钱？" in page


class TestFiles:
    def test_are_taken_from_members_only(self):
        answer = Client().post(URL, {**ROW, "model_file": file("config.json", configs.TABLE["llama-3-8b"])})

        assert answer.status_code == 422 and "Sign in to send files" in answer.content.decode()

    def test_are_bounded_before_they_are_read(self, member):
        assert Client().post(URL, {**ROW, "model_file": file("config.json", b"0" * 1_100_000)}).status_code in {
            400,
            413,
        }
        assert (
            "larger than 256 KiB"
            in member.post(URL, {**ROW, "model_file": file("config.json", b"0" * 1_100_000)}).content.decode()
        )

    def test_may_be_a_configuration(self, member):
        page = member.post(
            URL, {**ROW, "model_file": file("config.json", configs.TABLE["llama-3-8b"])}
        ).content.decode()

        assert ">192.854 <small>ST" in page and "No line of the market has this card" in page

    def test_may_be_a_trace(self, member):
        text = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50,396,109\n"

        page = member.post(URL, {"model": "card:llama-3-8b/fp16", "trace": file("t.csv", text)}).content.decode()

        assert "2 requests" in page
        broken = member.post(URL, {"model": "card:llama-3-8b/fp16", "trace": file("t.csv", text + b"x,1,2\n")})
        assert broken.status_code == 422 and "t.csv, line 4" in broken.content.decode()

    def test_may_be_a_graph(self, member):
        pytest.importorskip("onnx")
        from tests.token_standard.kernel import onnx_llama

        raw = onnx_llama.build().SerializeToString()
        assert (
            "ST per token by context" in member.post(URL, {**ROW, "model_file": file("m.onnx", raw)}).content.decode()
        )
        cut = member.post(URL, {**ROW, "model_file": file("m.onnx", raw[:-500])})
        assert cut.status_code == 422 and "m.onnx: not an ONNX file, or cut off" in cut.content.decode()

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("config.json", {"model_type": "llama"}, "The field "),
            ("config.json", b"[]", "expected a JSON object"),
            ("config.json", b"", "The file cannot be used"),
            ("model.gguf", b"GGUF", "must end in .json"),
            ("m.mlir", b"module", "The file cannot be used"),
            ("<b>.json", b"{", "&lt;b&gt;.json"),
        ],
    )
    def test_say_what_is_wrong_with_them(self, member, name, content, words):
        answer = member.post(URL, {**ROW, "model_file": file(name, content)})

        page = answer.content.decode()
        assert answer.status_code == 422 and words in page and 'value="1200"' in page and "/tmp" not in page

    def test_wait_for_others_and_then_say_so(self, member, monkeypatch):
        monkeypatch.setattr(estimating, "WAIT_SECONDS", 0.01)
        with estimating._turn():
            answer = member.post(URL, {**ROW, "model_file": file("m.onnx", b"0")})

        assert answer.status_code == 422 and "Other files are being counted" in answer.content.decode()

    def test_take_no_longer_than_they_may(self, member, monkeypatch):
        monkeypatch.setattr(uploads, "SECONDS", 0.001)

        assert "takes longer" in member.post(URL, {**ROW, "model_file": file("m.mlir", b"x")}).content.decode()


class TestConvert:
    def test_shows_rates_and_the_vendors_that_have_none(self):
        page = Client().get(CONVERT).content.decode()

        assert (
            "deepseek/deepseek-v3/output" in page and "baidu/ernie-4.5-turbo" in page and "Needs dual metering" in page
        )
        assert "https://api-docs.deepseek.com/quick_start/pricing" in page

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_a_day_is_written_as_a_browser_takes_it(self, live_world, language):
        buyer = live_world.organisation("buyer", yuan=1_000)
        page = signed_in(buyer, language=language).get(CONVERT).content.decode()

        days = [field for field in re.findall(r"<input[^>]*>", page) if 'type="date"' in field and "value=" in field]
        assert days
        assert all(re.search(r'value="\d{4}-\d\d-\d\d"', field) for field in days)

    def test_marks_a_figure_without_a_list_and_never_shows_it_by_the_million(self):
        page = Client().get(CONVERT).content.decode()

        assert "¥0.003–0.005 for one token was named in 2025 without a vendor" in page
        assert "ask ¥0.10 to ¥48.00 for a million tokens" in page
        assert "3,000.00" not in page and "5,000.00" not in page

    def test_converts(self):
        asked = {"amount": "1000", "source": "llama-2-7b:output@2048", "target": "ST"}

        page = Client().get(CONVERT, asked).content.decode()

        assert "1,000 <small>ST</small>" in page

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"amount": "-1"}, "A number of tokens"),
            ({"amount": ""}, "required"),
            ({"source": "baidu/ernie-4.5-turbo/output"}, "publishes too little"),
            ({"target": "no"}, "There is no such token on this day"),
            ({"target": "<x>"}, "A token, such as ST"),
            ({"source": "deepseek/deepseek-v3/output", "on": "2024-01-01"}, "There is no such token on this day"),
        ],
    )
    def test_names_what_is_wrong(self, changes, words):
        answer = Client().get(CONVERT, {"amount": "1", "source": "ST", "target": "ST"} | changes)

        assert answer.status_code == 422 and words in answer.content.decode()


class TestFit:
    @pytest.fixture
    def asked(self):
        return {"token": "v/x", "card": "llama-3-8b/fp16", "source": "test", "valid_from": "2026-11-24", "seed": "7"}

    def csv(self, given):
        lines = "".join(f"{one.uncached},{one.cached},{one.generated},{one.vendor}\n" for one in given)
        return file("p.csv", ("uncached,cached,generated,vendor_tokens\n" + lines).encode())

    def test_gives_a_rate_that_both_sides_can_find(self, member, asked):
        page = member.post(FIT, {**asked, "pairs": self.csv(made())}).content.decode()

        assert pairs.digest(made()) in page and "60 requests, seed 7" in page

    def test_says_why_there_is_none(self, member, asked):
        wide = member.post(FIT, {**asked, "pairs": self.csv(made(noise=0.9))})
        few = member.post(FIT, {**asked, "pairs": self.csv(made(10))})

        assert wide.status_code == 422 and "not sure enough" in wide.content.decode()
        assert "10 pairs are too few" in few.content.decode()

    def test_needs_a_sign_in(self, client):
        assert client.post(FIT).status_code == 302


class TestListPrices:
    def test_stand_beside_our_price_with_their_source(self, live_world):
        page = Client().get(address(live_world), at(live_world)).content.decode()

        assert "No vendor's list that names this model" in page
