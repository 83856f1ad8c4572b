"""`make test`: all tests as two pytest runs at once, each with a PostgreSQL and a Valkey of its own.

A test waits for its database or computes, so one run leaves a core idle half the time. Each run's output is
shown when it ends; the last line adds both up. Arguments make it one plain run.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
# About half of the time. Whatever else lies in `tests` is in the other run, so that no folder can be forgotten.
FIRST = ("billing", "metering_ingest", "ledger")
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)\b")


def main(arguments: list[str]) -> int:
    """Run; gives pytest's exit code, of the run that failed if one did."""
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.run([*pytest, *arguments], check=False).returncode
    folders = sorted(one.name for one in TESTS.iterdir() if one.is_dir() and any(one.rglob("test_*.py")))
    halves = [[one for one in folders if one in FIRST], [one for one in folders if one not in FIRST]]
    assert all(halves), "both runs have tests"
    with tempfile.TemporaryDirectory() as kept:
        outputs = [Path(kept) / str(number) for number in range(2)]
        runs = []
        for half, output in zip(halves, outputs, strict=True):
            with output.open("wb") as file:
                paths = [str(TESTS / one) for one in half]
                runs.append(subprocess.Popen([*pytest, *paths], stdout=file, stderr=subprocess.STDOUT))
        codes = []
        for run, output in zip(runs, outputs, strict=True):
            codes.append(run.wait())
            sys.stdout.write(output.read_text(encoding="utf-8", errors="replace"))
            sys.stdout.flush()
        print(f"both runs: {_summary(outputs)}")
    return next((code for code in codes if code), 0)


def _summary(outputs: list[Path]) -> str:
    """The counts of the last lines, added up."""
    counts: Counter[str] = Counter()
    for output in outputs:
        last = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        for number, word in _COUNT.findall("".join(last)):
            counts[word] += int(number)
    return ", ".join(f"{number} {word}" for word, number in counts.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
