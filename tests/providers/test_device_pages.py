"""Pages and API of devices: public lists, in both languages, with nothing that is not in the catalogue."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.selectors import clock
from accounts.services import keys
from tests.providers.scene import build
from token_standard.devices import devices


@pytest.fixture
def api() -> Client:
    now = clock.now()
    secret = keys.create(actor=build(now=now).provider, name="test", scopes=("market:read",), now=now).secret
    return Client(headers={"authorization": f"Bearer {secret}"})


@pytest.fixture
def reader(client: Client) -> Client:
    client.cookies["django_language"] = "en"
    return client


def text(client: Client, name: str, *arguments: str, **asked: str) -> str:
    answer = client.get(reverse(f"providers:{name}", args=arguments), asked)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.django_db
class TestList:
    def test_is_public_and_lists_every_device(self, reader: Client) -> None:
        page = text(reader, "devices")

        for each in devices():
            assert f"/devices/{each.name}/" in page

    @pytest.mark.parametrize(
        ("asked", "there", "absent"),
        [
            ({"maker": "cambricon"}, "mlu370-x8", "h200"),
            ({"stack": "MUSA"}, "mtt-s4000", "mlu370-x8"),
            ({"state": "measured"}, "ascend-910b", "mtt-s4000"),
            ({"state": "unknown"}, "kunlun-p800", "a100-80gb"),
            ({"maker": "huawei", "state": "declared"}, "atlas-300i-duo", "ascend-910c"),
        ],
    )
    def test_filters(self, reader: Client, asked: dict[str, str], there: str, absent: str) -> None:
        page = text(reader, "devices", **asked)

        assert f"/devices/{there}/" in page
        assert f"/devices/{absent}/" not in page

    def test_a_filter_that_matches_nothing_says_so(self, reader: Client) -> None:
        assert "0 of" in text(reader, "devices", maker="nobody")


@pytest.mark.django_db
class TestPage:
    @pytest.mark.parametrize("name", [each.name for each in devices()])
    def test_every_device_has_one(self, reader: Client, name: str) -> None:
        assert "Portability" in text(reader, "device", name)

    def test_figures_have_sources_and_days(self, reader: Client) -> None:
        page = text(reader, "device", "ascend-910b")

        assert "Declared, not measured" in page
        assert "313.2" in page
        assert "FlagPerf" in page
        assert "read 2026-11-24" in page
        assert "16-bit peak, bandwidth or memory is not known." in page

    def test_evidence_is_linked_and_counts_are_apart(self, reader: Client) -> None:
        page = text(reader, "device", "h100-80gb")

        assert "tests/data/tokens/serving_samples.csv.gz" in page
        assert 'href="https://github.com/ai-dynamo/aiconfigurator"' in page
        assert "177 measured rows" in page
        assert "ST/s" in page

    def test_an_unsourced_figure_is_marked(self, reader: Client) -> None:
        assert "No stored source" in text(reader, "device", "b300")

    def test_speaks_chinese(self, client: Client) -> None:
        client.cookies["django_language"] = "zh-hans"
        page = text(client, "device", "ascend-910b")

        assert "可移植性" in page
        assert "公开数值互相矛盾" in page

    def test_an_unknown_one_is_not_found(self, reader: Client) -> None:
        assert reader.get("/devices/abacus/").status_code == 404


@pytest.mark.django_db
class TestApi:
    def test_needs_a_key(self, client: Client) -> None:
        assert client.get("/api/v1/devices").status_code == 401

    def test_lists_devices(self, api: Client) -> None:
        listed = api.get("/api/v1/devices", {"maker": "moore threads"}).json()

        assert [each["slug"] for each in listed["data"]] == ["mtt-s80", "mtt-s4000", "mtt-s5000"]
        assert listed["data"][1]["figures"][0] == {
            "name": "fp16", "value": "100", "state": "declared",
            "source": "io-tech.fi, article on the MTT S4000 of 2023-12; agrees with tweakpc.de/news/49715",
            "url": "https://tweakpc.de/news/49715/moore-threads-leistungsstarke-mtt-s4000-gpu-aus-china-mit-25-tflops",
            "read_on": "2026-11-24",
        }  # fmt: skip
        assert listed["next"] is None

    def test_gives_one_with_what_is_expected_of_it(self, api: Client) -> None:
        found = api.get("/api/v1/devices/h100-80gb").json()

        assert found["portability"]["proved"] == 5
        served = found["expected"][0]
        assert float(served["low"]) < float(served["st_per_second"]) < float(served["high"])
        assert api.get("/api/v1/devices/mtt-s4000").json()["expected"][0]["outside"] == ["stack"]

    def test_an_unknown_device_is_not_found(self, api: Client) -> None:
        assert api.get("/api/v1/devices/abacus").status_code == 404

    def test_support_matrix_narrows_down(self, api: Client) -> None:
        rows = api.get("/api/v1/support-matrix", {"device": "bm1684x", "state": "proved"}).json()["data"]

        assert {row["model"] for row in rows} == {"llama-2-7b", "llama-3-8b", "qwen2.5-7b"}
        assert {row["by"] for row in rows} == {"vendor"}
