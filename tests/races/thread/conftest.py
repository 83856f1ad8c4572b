"""Committed rows for races of metering and billing; what a test leaves is removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.conftest import SEEDS
from tests.metering_ingest.scene import Bought, build


@pytest.fixture
def triggers_back() -> Iterator[None]:
    """After the tables were emptied: a new connection, whose triggers speak again."""
    yield
    connection.close()


@pytest.fixture
def bought(triggers_back: None, transactional_db: None) -> Iterator[Bought]:
    """A bought hour whose rows other connections see. As `replica` the append-only triggers let the flush pass."""
    with connection.cursor() as cursor:
        cursor.execute(SEEDS)
    yield build()
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
