"""`tokenspot estimate`, and the wheel that carries this package."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tokenspot_client import cli

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
