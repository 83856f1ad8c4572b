"""The top floor as a Django app, so that commands over all apps have a home."""

from django.apps import AppConfig


class HouseConfig(AppConfig):
    name = "config"
    label = "house"
    verbose_name = "Tokenspot"
