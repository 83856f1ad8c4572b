"""The demo and a developer's own machine."""

import os

from config.settings.addresses import state_dir
from config.settings.base import *

_secret = state_dir() / "secret_key"
if "SECRET_KEY" in os.environ:
    SECRET_KEY = os.environ["SECRET_KEY"]
elif _secret.exists():
    SECRET_KEY = _secret.read_text()
else:
    SECRET_KEY = "not-for-requests-only-for-commands-before-the-first-start"  # noqa: S105
METERING_QUIET_SECONDS = int(os.environ.get("METERING_QUIET_SECONDS", "5"))
