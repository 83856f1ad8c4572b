"""How the demo starts, refuses, stops and goes on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import ROOT, free_port, left_running, start_demo, stop_demo

pytestmark = pytest.mark.timeout(240)


def _try(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "config.demo", *arguments], cwd=ROOT, text=True, capture_output=True, timeout=120,
        env=os.environ | {"TOKENSPOT_STATE": str(state), "DJANGO_SETTINGS_MODULE": "config.settings.local"},
    )  # fmt: skip


class TestStart:
    def test_says_in_one_sentence_that_its_port_is_taken(self, tmp_path: Path) -> None:
        port = free_port()
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier test may have used it
            taken.bind(("127.0.0.1", port))
            taken.listen()

            found = _try(tmp_path, "--port", str(port))

        assert found.returncode == 3
        assert found.stderr.count("\n") == 1 and f"Port {port} is taken" in found.stderr

    def test_keeps_the_data_over_a_stop_and_leaves_nothing_running(self) -> None:
        state = Path(tempfile.mkdtemp(prefix="ts-start-"))
        try:
            first = start_demo(state, free_port(), "--no-traders")
            headers = {"Authorization": f"Bearer {first.about['buyer_key']}"}
            before = httpx.get(f"{first.url}/api/v1/me", headers=headers).json()
            assert stop_demo(first) == 0
            assert not left_running(state)

            again = start_demo(state, free_port(), "--no-traders")
            assert httpx.get(f"{again.url}/api/v1/me", headers=headers).json() == before
            assert stop_demo(again) == 0

            assert _try(state, "--reset").returncode == 0
            assert not state.exists()
        finally:
            shutil.rmtree(state, ignore_errors=True)
