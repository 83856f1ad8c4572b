"""As whom this process talks to the local database; one's own server (`DATABASE_URL`) has one sign-in for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from config.settings.addresses import local_login


@contextmanager
def as_owner() -> Iterator[None]:
    """Connect as the tables' owner: to migrate, or to make a database."""
    connection = connections["default"]
    before = {name: connection.settings_dict[name] for name in ("USER", "PASSWORD")}
    connection.close()
    if not os.environ.get("DATABASE_URL"):
        connection.settings_dict.update(local_login("owner"))
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)
