from collections.abc import Iterator

import pytest
from django.db import connection

from tests.ledger.books import Books


@pytest.fixture(scope="session", autouse=True)
def flush_of_history() -> Iterator[None]:
    """Let the flush after a test of real transactions empty tables that refuse TRUNCATE.

    Only the flush itself runs with the triggers off.
    """
    ops = connection.ops
    original = ops.sql_flush

    def sql_flush(*args: object, **kwargs: object) -> list[str]:
        statements = original(*args, **kwargs)
        return ["SET LOCAL session_replication_role = replica", *statements] if statements else []

    ops.sql_flush = sql_flush  # type: ignore[method-assign]
    yield
    ops.sql_flush = original  # type: ignore[method-assign]


@pytest.fixture
def books(transactional_db: None) -> Books:
    return Books()
