"""A bought hour for every test of billing."""

from __future__ import annotations

import pytest

from tests.metering_ingest.scene import Bought, build


@pytest.fixture
def bought(db: None) -> Bought:
    return build()
