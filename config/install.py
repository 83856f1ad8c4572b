"""Makes `.venv` with the pinned packages. Runs on the machine's own Python, so it imports nothing else.

uv installs in a few seconds; where it cannot reach a package index the way pip
is set up to (a mirror in pip's own configuration), pip does the same more slowly.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
UV = "uv==0.13.9"


def main(kind: str) -> int:
    if sys.version_info < (3, 11):
        print(f"Tokenspot needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 3
    if shutil.disk_usage(ROOT).free < 1_500_000_000:
        print("Tokenspot needs 1.5 GB of free disk space for its packages and database.", file=sys.stderr)
        return 3
    requirements = ROOT / ("requirements.txt" if kind == "users" else "requirements-dev.txt")
    python = VENV / "bin" / "python"
    try:
        if not python.exists():
            print("Making .venv ...", file=sys.stderr, flush=True)
            _run(sys.executable, "-m", "venv", str(VENV))
        print(f"Installing the packages of {requirements.name} ...", file=sys.stderr, flush=True)
        _install(python, requirements)
    except subprocess.CalledProcessError as error:
        print(f"The packages could not be installed: {' '.join(map(str, error.cmd[:6]))} ...", file=sys.stderr)
        return 3
    (VENV / "users").touch()
    if kind == "developers":
        (VENV / "developers").touch()
    return 0


def _install(python: Path, requirements: Path) -> None:
    fast = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", UV], check=False
    ).returncode == 0 and subprocess.run(
        [VENV / "bin" / "uv", "pip", "install", "-q", "--python", python, "--require-hashes", "-r", requirements],
        check=False, env=os.environ | {"VIRTUAL_ENV": str(VENV)},
    ).returncode == 0  # fmt: skip
    if not fast:
        _run(
            python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", requirements
        )
    editable = ["install", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "-e"]
    _run(python, "-m", "pip", *editable, str(ROOT), *editable[-1:], str(ROOT / "client"))


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "users"))
