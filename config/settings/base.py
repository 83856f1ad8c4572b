"""Settings shared by every way of running Tokenspot. Anything wrong here fails at start, loudly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import structlog

from config.settings import addresses

BASE_DIR = Path(__file__).resolve().parent.parent.parent

DEBUG = False
ALLOWED_HOSTS: list[str] = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
AUTH_USER_MODEL = "accounts.User"
SITE_NAME = "Tokenspot"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "accounts",
    "ledger",
    "market",
    "providers",
    "metering_ingest",
    "dispatch",
    "billing",
    "config.apps.HouseConfig",
]

MIDDLEWARE = [
    "accounts.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "accounts.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.NoNulMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.ActorMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.actor",
            ],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {"default": addresses.database()}
DATABASE_ROLES = addresses.database_roles()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = addresses.state_dir() / "static"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
FILE_UPLOAD_HANDLERS = [
    "accounts.http.uploads.BoundedUploads",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.SessionActorAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.http.permissions.ScopePermission"],
    "DEFAULT_PARSER_CLASSES": ["accounts.http.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "accounts.http.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tokenspot API",
    "VERSION": "1.0.0",
    "DESCRIPTION": "A spot market for AI inference tokens with the meter and the bill built in.",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
}

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": addresses.redis(0)}}

CELERY_BROKER_URL = addresses.celery(2)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_TIME_LIMIT = 300
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_DB_REUSE_MAX = 1000
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 3
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "bulk"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 25,
}

# Topic prefix -> function(topic, payload) that the outbox relay calls once the row is committed.
OUTBOX_HANDLERS: dict[str, str] = {
    "accounts.member.added": "accounts.adapters.mail_invitation",
    "billing.invoice.issued": "billing.adapters.mail_invoice",
}

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "WARNING")},
}

# Seconds a bucket must stay unchanged before billing may rate it.
METERING_QUIET_SECONDS = int(os.environ.get("METERING_QUIET_SECONDS", "900"))

# How long an allocation's records must be quiet before its meters are compared, and how long a difference waits for late
# records: after the window's end or the last arrival, but never longer than the last.
METERING_COMPARE_QUIET_SECONDS = int(os.environ.get("METERING_COMPARE_QUIET_SECONDS", "60"))
METERING_GRACE_MINUTES = int(os.environ.get("METERING_GRACE_MINUTES", "15"))
METERING_GRACE_LONGEST_MINUTES = int(os.environ.get("METERING_GRACE_LONGEST_MINUTES", "360"))

# Disputes: time to reply and to accept, days after the delivery day's close in which a party may open one, and from
# what worth a hard difference opens one by itself (micro-yuan).
DISPUTE_REPLY_HOURS = int(os.environ.get("DISPUTE_REPLY_HOURS", "72"))
DISPUTE_ACCEPT_HOURS = int(os.environ.get("DISPUTE_ACCEPT_HOURS", "72"))
DISPUTE_WINDOW_DAYS = int(os.environ.get("DISPUTE_WINDOW_DAYS", "7"))
DISPUTE_STAFF_DAYS = int(os.environ.get("DISPUTE_STAFF_DAYS", "14"))
DISPUTE_LEAST_MICROS = int(os.environ.get("DISPUTE_LEAST_MICROS", "10000"))

# The currency of the one market that this site runs.
MARKET_CURRENCY = "CNY"

# Stripe. Without a secret key money comes by bank transfer alone. A base address other than Stripe's own is for tests
# and the demo; without a list of payment methods the Stripe account's own settings decide.
STRIPE_SECRET_KEY = os.environ.get("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRET = os.environ.get("STRIPE_WEBHOOK_SECRET", "")
STRIPE_API_BASE = os.environ.get("STRIPE_API_BASE", "").rstrip("/")
STRIPE_PAYMENT_METHODS = [one for one in os.environ.get("STRIPE_PAYMENT_METHODS", "").split(",") if one]
STRIPE_TIMEOUT_SECONDS = 10.0

# The address under which this site is reached, for links in documents.
SITE_URL = os.environ.get("SITE_URL", "http://127.0.0.1:8000")

# Heads of the audit log's chain are copied to this file; keep it, or a copy of it, where the database's owner is not.
AUDIT_ANCHORS = Path(os.environ.get("AUDIT_ANCHORS") or addresses.state_dir() / "audit-anchors.jsonl")

# name -> what beat says, to which queue, how often. Every message is a hint: it expires before the next but one.
_TICKS = {
    "market.clear_due": ("clear", 1),
    "market.sweep": ("settle", 10),
    "accounts.relay_outbox": ("outbox", 2),
    "accounts.seal_audit": ("outbox", 10),
    "accounts.copy_audit_head": ("outbox", 3600),
    "metering_ingest.settle": ("settle", 2),
    "metering_ingest.reconcile": ("settle", 15),
    "metering_ingest.disputes": ("settle", 60),
    "metering_ingest.partitions": ("bulk", 3600),
    "metering_ingest.backfill": ("bulk", 5),
    "metering_ingest.prove": ("bulk", 86_400),
    "billing.rate": ("bill", 2),
    "billing.move_contested": ("bill", 10),
    "billing.close_days": ("bill", 300),
    "billing.invoice_ended_periods": ("bill", 300),
    "billing.payments": ("bill", 3),
    "billing.clearing": ("bulk", 3600),
    "billing.export": ("bulk", 5),
    "providers.post_due": ("bulk", 15),
    "providers.forget_nonces": ("bulk", 300),
    "dispatch.close_stale": ("bulk", 60),
    "dispatch.observe_saturation": ("bulk", 300),
}
CELERY_BEAT_SCHEDULE = {
    name: {"task": name, "schedule": seconds, "options": {"queue": queue, "expires": 2 * seconds}}
    for name, (queue, seconds) in _TICKS.items()
}
