"""Starts a real PostgreSQL and Valkey for the test run, before Django reads its settings.

`make test-kernel` sets TOKENSPOT_NO_SERVICES: kernels need neither.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the servers and name the test settings."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
    if os.environ.get("TOKENSPOT_NO_SERVICES"):
        import django

        django.setup()  # the folders of kernels stand below conftests that import models
        return
    stack = ExitStack()
    early_config.add_cleanup(stack.close)
    state = Path(tempfile.mkdtemp(prefix="ts-"))
    stack.callback(shutil.rmtree, state, ignore_errors=True)
    os.environ["TOKENSPOT_STATE"] = str(state)
    os.environ["TOKENSPOT_DATABASE_ROLE"] = "owner"  # makes the test database, and breaks rules on purpose
    from config.messages import compile_catalogue
    from config.services.local import local_services

    compile_catalogue()

    stack.enter_context(local_services(state, fast=True))
