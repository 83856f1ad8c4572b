"""The agent's settings: a TOML file, over it TOKENSPOT_AGENT_* variables, over them flags. What is not known is refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspot_client.agent.entries import FIELDS, LogFormat

DEFAULT_STATE = "~/.tokenspot-agent"
ENVIRONMENT = "TOKENSPOT_AGENT_"
_FORMAT = re.compile(r"[\x21-\x7e]{1,20}")
_NAME = re.compile(r"[\x21-\x7e]{1,255}")


class BadConfig(ValueError):
    """A setting that cannot be; the message names it."""


@dataclass(frozen=True)
class Log:
    """One request log to follow."""

    path: Path
    form: LogFormat
    from_end: bool = False


@dataclass(frozen=True)
class Config:
    """Everything that `tokenspot agent run` goes by."""

    state: Path
    proxy_listen: tuple[str, int] | None = None
    engine: str = ""
    source: str = "agent"
    served_format: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    silence_seconds: int = 600
    max_body_mb: int = 32
    logs: tuple[Log, ...] = ()
    metrics_url: str = ""
    metrics_engine: str | None = None
    metrics_model: str | None = None
    metrics_interval: int = 15
    spool_mb: int = 256
    raw_mb: int = 64
    send_interval: int = 5
    drain_seconds: int = 30
    prometheus: tuple[str, int] | None = ("127.0.0.1", 9464)
    inbox: bool = True


# name in the file → kind
_PLAIN: Mapping[str, type] = {
    "state": str,
    "proxy_listen": str,
    "engine": str,
    "source": str,
    "served_format": str,
    "tls_certificate": str,
    "tls_key": str,
    "silence_seconds": int,
    "max_body_mb": int,
    "metrics_url": str,
    "metrics_engine": str,
    "metrics_model": str,
    "metrics_interval": int,
    "spool_mb": int,
    "raw_mb": int,
    "send_interval": int,
    "drain_seconds": int,
    "prometheus": str,
    "inbox": bool,
}


def settings() -> Mapping[str, type]:
    """Names and kinds of the settings that flags and variables can give."""
    return _PLAIN


def read(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """Put the settings together.

    :raises BadConfig: a name, kind or value that is not known.
    """
    told = _file(path)
    logs = told.pop("log", [])
    for name, kind in _PLAIN.items():
        if (given := environment.get(ENVIRONMENT + name.upper())) is not None:
            told[name] = _from_text(name, kind, given)
        if flags.get(name) is not None:
            told[name] = flags[name]
    for name, value in told.items():
        if name not in _PLAIN:
            raise BadConfig(f"unknown setting {name!r}; known: {', '.join(_PLAIN)}, [[log]]")
        if type(value) is not _PLAIN[name]:
            raise BadConfig(f"{name} must be a {_PLAIN[name].__name__}")
        if type(value) is int and value < 0:
            raise BadConfig(f"{name} must not be below 0")
    parsed: dict[str, Any] = {**told, "state": Path(told.get("state", DEFAULT_STATE)).expanduser()}
    for name in ("proxy_listen", "prometheus"):
        if name in told:
            parsed[name] = None if told[name] in {"", "off"} else address(name, told[name])
    follow = [{"path": path} for path in flags.get("follow") or []]
    parsed["logs"] = tuple(_log(entry, told) for entry in [*logs, *follow])
    config = Config(**parsed)
    _check(config)
    return config


def address(name: str, text: str) -> tuple[str, int]:
    """HOST:PORT.

    :raises BadConfig: something else.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadConfig(f"{name} must be HOST:PORT, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _check(config: Config) -> None:
    if config.proxy_listen and not config.engine:
        raise BadConfig("proxy_listen needs engine: the address that requests go on to")
    if config.engine and not config.proxy_listen:
        raise BadConfig("engine needs proxy_listen: where the gateway's requests come in")
    if not (config.proxy_listen or config.logs or config.metrics_url or config.inbox):
        raise BadConfig("nothing to count: give proxy_listen and engine, a [[log]], or inbox")
    if config.spool_mb < 1:
        raise BadConfig("spool_mb must be 1 or more")
    if not 1 <= config.send_interval <= 3600 or config.metrics_interval < 1:
        raise BadConfig("intervals are seconds, 1 or more")
    formats = [config.served_format, *(entry.form.served_format for entry in config.logs)]
    if any(told is not None and not _FORMAT.fullmatch(str(told)) for told in formats):
        raise BadConfig("served_format is a word of at most 20 characters, as fp8")
    if not all(_NAME.fullmatch(told) for told in (config.source, *(entry.form.source for entry in config.logs))):
        raise BadConfig("source is a name without spaces, of at most 255 characters")
    names = [str(log.path) for log in config.logs]
    if len(set(names)) != len(names):
        raise BadConfig("a log is named twice")


def _file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"{path}: {error}") from None


def _from_text(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise BadConfig(f"{ENVIRONMENT}{name.upper()} must be true or false")
        return text.lower() in {"true", "1"}
    if kind is int:
        if not text.isascii() or not text.isdigit():
            raise BadConfig(f"{ENVIRONMENT}{name.upper()} must be a whole number")
        return int(text)
    return text


def _log(entry: Any, told: Mapping[str, Any]) -> Log:
    known = {"path", "source", "card", "served_format", "from_end", "fields"}
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or set(entry) - known:
        raise BadConfig(f"a [[log]] has path and perhaps {', '.join(sorted(known - {'path'}))}")
    fields = entry.get("fields", {})
    if (
        not isinstance(fields, dict)
        or set(fields) - set(FIELDS)
        or not all(isinstance(v, str) for v in fields.values())
    ):
        raise BadConfig(f"fields of a [[log]] are among {', '.join(FIELDS)}, each the name in your log")
    form = LogFormat(
        source=str(entry.get("source", told.get("source", "agent"))),
        card=str(entry.get("card", "")),
        served_format=entry.get("served_format", told.get("served_format")),
        fields=fields,
    )
    return Log(Path(entry["path"]).expanduser().absolute(), form, entry.get("from_end") is True)
