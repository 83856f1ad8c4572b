"""The metering_ingest app."""

from django.apps import AppConfig


class MeteringIngestConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "metering_ingest"
    verbose_name = "Metering"
