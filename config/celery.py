"""The Celery application. Messages are hints to look into the tables; losing them costs only time."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("tokenspot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
