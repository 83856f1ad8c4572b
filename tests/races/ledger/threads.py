"""Many threads that start at once, each with a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

_Result = TypeVar("_Result")


def at_once(jobs: Sequence[Callable[[], _Result]]) -> list[_Result | Exception]:
    """Run the jobs together; gives what each returned or raised, in their order."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], _Result]) -> _Result | Exception:
        connection.ensure_connection()
        barrier.wait(30)
        try:
            return job()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))
