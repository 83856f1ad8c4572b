import pytest

from tests.ledger.books import Books


@pytest.fixture
def books(db: None) -> Books:
    return Books()
