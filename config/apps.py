"""The top floor as a Django app, so that commands over all apps have a home."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class HouseConfig(AppConfig):
    name = "config"
    label = "house"
    verbose_name = "Tokenspot"

    def ready(self) -> None:
        """Rights follow every migration, also of a test's and a replay's database."""
        # Sent once all migrations are done, and only for apps with models: any one of them will do.
        post_migrate.connect(grant_rights, sender=apps.get_app_config("ledger"))


def grant_rights(*, using: str, **_: Any) -> None:
    """Give the roles `app` and `reader` their rights on whatever tables there are now."""
    from django.conf import settings
    from django.db import connections

    from config.services import roles

    connection = connections[using]
    if "metering_usage_record" not in connection.introspection.table_names():
        return  # a migration to an earlier state
    with connection.cursor() as cursor:
        named = {part: name for part, name in settings.DATABASE_ROLES.items() if roles.exists(cursor, name)}
        roles.grant(cursor, app=named.get("app"), reader=named.get("reader"))
