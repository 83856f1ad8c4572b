"""A fresh database beside the live one, so that a replay never touches real rows."""

from __future__ import annotations

from django.core.management import call_command
from django.db import connections

from config.database import as_owner

NAME = "tokenspot_replay"


def use_replay_database(*, fresh: bool) -> None:
    """Point Django at the replay's own database; `fresh` drops what an earlier replay left and migrates."""
    connection = connections["default"]
    if fresh:
        with as_owner():
            # The private cursor is the only way to reach the server without naming a database.
            with connection._nodb_cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
                cursor.execute(f"CREATE DATABASE {NAME}")
            connection.settings_dict["NAME"] = NAME
            call_command("migrate", verbosity=0, interactive=False)
    connection.close()
    connection.settings_dict["NAME"] = NAME


def replay_database_exists() -> bool:
    """Whether an earlier replay left its database."""
    with connections["default"]._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
        return cursor.fetchone() is not None
