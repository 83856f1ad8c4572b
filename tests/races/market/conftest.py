"""Races need committed rows and real connections; what a test leaves is removed afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections

from tests.market.conftest import World, build


@pytest.fixture
def triggers_back() -> Iterator[None]:
    """After the tables were emptied: a new connection, whose triggers speak again."""
    yield
    connection.close()


@pytest.fixture
def world(triggers_back: None, transactional_db: None) -> Iterator[World]:
    """A market whose rows other connections see.

    The tables are emptied afterwards. As `replica` the append-only triggers
    stay quiet meanwhile; only the database's owner may do that.
    """
    yield build()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")


def together(*steps: Callable[[], Any]) -> list[Any]:
    """Run each step in a thread with a connection of its own, all starting at once; exceptions are results."""
    barrier = threading.Barrier(len(steps))
    results: list[Any] = [None] * len(steps)

    def run(number: int, step: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            results[number] = step()
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number, step)) for number, step in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
