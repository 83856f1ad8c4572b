"""`python -m tests.faults.market.runner PROGRAM ...`: loads the site, then runs one of `programs.py`."""

from __future__ import annotations

import sys

import django

if __name__ == "__main__":
    django.setup()

    from tests.faults.market import programs

    programs.nursery() if sys.argv[1:] == ["nursery"] else programs.run(sys.argv[1:])
