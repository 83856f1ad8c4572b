"""Where PostgreSQL and the Redis-compatible server are.

`DATABASE_URL` and `REDIS_URL` name the user's own servers. Without them the
servers that `config.services` runs out of the state folder are addressed by
their unix sockets, and `TOKENSPOT_DATABASE_ROLE` says as whom (app, unless told).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent.parent


def state_dir() -> Path:
    """The folder of everything the running system writes outside its database."""
    return Path(os.environ.get("TOKENSPOT_STATE") or BASE_DIR / ".state")


def database() -> dict[str, Any]:
    """Django's description of the database named by `DATABASE_URL`, else of the local one."""
    url = os.environ.get("DATABASE_URL")
    return from_url(url) if url else _local()


def from_url(url: str) -> dict[str, Any]:
    """Read `postgresql://user:password@host:port/name?host=/socket/folder`.

    :raises ValueError: another scheme, or no database name.
    """
    parts = urlsplit(url)
    name = unquote(parts.path.lstrip("/"))
    if parts.scheme not in {"postgres", "postgresql"} or not name:
        raise ValueError("DATABASE_URL must read postgresql://user:password@host:port/name")
    query = dict(parse_qsl(parts.query))
    return _settings(
        NAME=name,
        USER=unquote(parts.username or ""),
        PASSWORD=unquote(parts.password or ""),
        HOST=query.pop("host", unquote(parts.hostname or "")),
        PORT=query.pop("port", str(parts.port or "")),
        extra=query,
    )


def local_login(role: str) -> dict[str, str]:
    """User and password of a role (owner, app, reader) on the local server."""
    return {"USER": role, "PASSWORD": _notes().get("passwords", {}).get(role, "")}


def _local() -> dict[str, Any]:
    note = _notes()
    return _settings(
        NAME=note.get("database", "tokenspot"),
        **local_login(os.environ.get("TOKENSPOT_DATABASE_ROLE", "app")),
        HOST=note.get("postgres_socket", str(state_dir() / "pg" / "run")),
        PORT=str(note.get("postgres_port", 5432)),
        extra={},
    )


def _settings(*, extra: dict[str, str], **values: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": dict(extra),
        **values,
    }


def database_roles() -> dict[str, str]:
    """The roles to which a migration grants rights: those of the local server, or those named for one's own."""
    names = {"app": os.environ.get("DATABASE_APP_ROLE"), "reader": os.environ.get("DATABASE_READER_ROLE")}
    if not os.environ.get("DATABASE_URL"):
        names = {"app": "app", "reader": "reader"}
    return {part: name for part, name in names.items() if name}


def redis(number: int) -> str:
    """The address of one database of the Redis-compatible server, as redis-py reads it."""
    base = _redis_base()
    return f"{base}?db={number}" if base.startswith("unix") else f"{base}/{number}"


def celery(number: int) -> str:
    """The same, as Celery's transport reads it."""
    base = _redis_base()
    if not base.startswith("unix"):
        return f"{base}/{number}"
    return f"{base.replace('unix://', 'redis+socket://')}?virtual_host={number}"


def _redis_base() -> str:
    url = os.environ.get("REDIS_URL")
    if url:
        return url.rstrip("/")
    note = _notes()
    password = note.get("valkey_password", "")
    socket = note.get("valkey_socket", str(state_dir() / "valkey" / "sock"))
    return f"unix://:{password}@{socket}"


def _notes() -> dict[str, Any]:
    """What the service manager wrote about the servers it started."""
    path = state_dir() / "services.json"
    return json.loads(path.read_text()) if path.exists() else {}
