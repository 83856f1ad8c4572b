"""What every test may count on."""

from __future__ import annotations

import pytest

SEEDS = """
INSERT INTO metering_settle_counter (id, last) VALUES (1, 0) ON CONFLICT DO NOTHING;
INSERT INTO billing_ratingwatermark (id, sequence) VALUES (1, 0) ON CONFLICT DO NOTHING;
INSERT INTO billing_taxrate (code, rate_bps, valid_from, valid_until) VALUES ('general', 600, '2016-05-01', NULL)
    ON CONFLICT DO NOTHING;
"""


@pytest.fixture(autouse=True)
def _rows_of_migrations(request: pytest.FixtureRequest) -> None:
    """A test with real transactions ends with a flush, which also takes the rows that migrations made: put them back."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None or not marker.kwargs.get("transaction"):
        return
    request.getfixturevalue("transactional_db")
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(SEEDS)
