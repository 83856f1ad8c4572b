"""`tokenspot estimate`, and the wheel that carries this package."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tokenspot_client import cli
from tokenspot_client.api import ApiProblem, Client

ROOT = Path(__file__).parents[3]


class TestEstimate:
    def test_needs_neither_site_nor_key(self, capsys, monkeypatch):
        monkeypatch.delenv("TOKENSPOT_URL", raising=False)
        monkeypatch.delenv("TOKENSPOT_KEY", raising=False)

        assert cli.main(["estimate", "llama-2-7b", "--input", "2047", "--output", "1"]) == 0

        assert "output      1.000000 ST" in capsys.readouterr().out

    def test_refuses_as_the_package_does(self, capsys):
        assert cli.main(["estimate", "llama-9"]) == 2

        assert "no card for model" in capsys.readouterr().err


class TestPrices:
    """A site that answers like ours; the site's own answer is tested with it."""

    def answer(self, monkeypatch, found):
        asked = []

        def post(self, path, body, **_):
            asked.append((path, body))
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(Client, "post", post)
        return asked

    HOUR = {"window_start": "2026-11-24T16:00:00Z", "per_million_st": "1.80", "basis": "best_offer"}
    REQUEST = ("estimate", "llama-2-7b", "--input", "2047", "--output", "1")

    def test_are_those_that_one_gives(self, capsys):
        assert cli.main([*self.REQUEST, "--price", "2"]) == 0

        assert "cost        0.000305" in capsys.readouterr().out

    def test_are_the_markets_where_a_site_is_named(self, capsys, monkeypatch):
        asked = self.answer(monkeypatch, {"line": "llama-2-7b", "price": self.HOUR, "cheapest_hours": [self.HOUR]})

        assert cli.main([*self.REQUEST, "--site", "http://market.example", "--grade", "batch"]) == 0

        out = capsys.readouterr().out
        assert "price       1.80 CNY per million ST" in out and "hour        2026-11-24T16:00:00Z  1.80" in out
        wanted = {"card": "llama-2-7b/fp16", "grade": "batch", "requests": [{"input": 1, "output": 0}]}
        assert asked == [("/estimates", wanted)]

    def test_are_not_made_up(self, capsys, monkeypatch):
        self.answer(monkeypatch, {"line": "llama-2-7b", "price": None, "cheapest_hours": []})

        assert cli.main([*self.REQUEST, "--site", "http://market.example"]) == 0

        out = capsys.readouterr().out
        assert "this hour: no price" in out and "cost" not in out

    def test_leave_the_estimate_when_the_site_does_not_answer(self, capsys, monkeypatch):
        self.answer(monkeypatch, ApiProblem(503, {"code": "busy", "detail": "Busy."}))

        assert cli.main([*self.REQUEST, "--site", "http://market.example"]) == 1

        found = capsys.readouterr()
        assert "total       " in found.out and "no price from the market: Busy." in found.err

    def test_are_refused_when_they_are_none(self, capsys):
        for text in ("-1", "a", "1.1234567", "1e3"):
            with pytest.raises(SystemExit):
                cli.main([*self.REQUEST, f"--price={text}"])
        assert cli.main(["estimate", "llama-2-7b", "--price", "2"]) == 2


class TestConvert:
    def test_needs_neither_site_nor_key(self, capsys):
        assert cli.main(["convert", "1000", "llama-2-7b:output@2048", "ST", "--date", "2026-11-24"]) == 0

        assert capsys.readouterr().out.startswith("1000.000 ST")

    def test_says_that_a_vendor_publishes_too_little(self, capsys):
        assert cli.main(["convert", "1", "huawei/pangu/output", "ST"]) == 2

        assert "unknown, needs dual metering" in capsys.readouterr().err


class TestWheel:
    def test_carries_the_package_with_its_data(self, tmp_path):
        source = ROOT / "client"
        subprocess.run(
            [sys.executable, "setup.py", "-q", "egg_info", "-e", str(tmp_path), "build", "-b", str(tmp_path / "build"),
             "bdist_wheel", "-d", str(tmp_path)],
            cwd=source, check=True, capture_output=True,
        )  # fmt: skip
        (wheel,) = tmp_path.glob("*.whl")

        names = set(zipfile.ZipFile(wheel).namelist())

        shipped = {path for path in (ROOT / "token_standard").rglob("*") if path.suffix in {".py", ".json", ".typed"}}
        assert {str(path.relative_to(ROOT)) for path in shipped} <= names
