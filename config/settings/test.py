"""Settings of the test run."""

from config.settings.base import *

SECRET_KEY = "only-for-tests"  # noqa: S105
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
METERING_QUIET_SECONDS = 5
CELERY_TASK_ALWAYS_EAGER = False
