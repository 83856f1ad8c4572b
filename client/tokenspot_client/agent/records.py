"""A usage record as it is spooled and sent. It has no field for text: prompts and answers cannot get in."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tokenspot_client.engines.usage import MOST_TOKENS

_PLAIN = re.compile(r"[\x21-\x7e]{1,255}")
_REASON = re.compile(r"[a-z_]{1,32}")
_ALLOCATION = re.compile(r"alc_[0-9A-Za-z]{1,64}")
_CARD = re.compile(r"[0-9A-Za-z_.:-]{1,128}")


class BadRecord(ValueError):
    """A record that cannot be; ``field`` names its first wrong member."""

    code = "bad_record"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Record:
    """What one request used. Instants in seconds since 1970, ``time`` that of the first token."""

    source: str
    id: str
    request_id: str
    allocation: str
    card: str
    prompt: int
    cached: int
    generated: int
    time: float
    limit: int | None = None
    finish_reason: str = ""
    served_format: str | None = None
    counted_by: str = "usage"
    started_at: float | None = None
    finished_at: float | None = None
    drafted: int | None = None
    accepted: int | None = None
    aggregate: tuple[int, str] | None = None  # how many records, and the digest of their raw file

    def json(self) -> bytes:
        """The record on one line, as the wire wants it but for its number.

        :raises BadRecord: a member is out of bounds.
        """
        self._check()
        plain: dict[str, Any] = {
            "id": self.id,
            "source": self.source,
            "request_id": self.request_id,
            "allocation": self.allocation,
            "card": self.card,
            "prompt_tokens": self.prompt,
            "cached_tokens": self.cached,
            "completion_tokens": self.generated,
            "max_tokens": self.limit,
            "finish_reason": self.finish_reason if _REASON.fullmatch(self.finish_reason) else "",
            "served_format": self.served_format,
            "counted_by": self.counted_by,
            "time": instant(self.time),
            "started_at": instant(self.started_at),
            "finished_at": instant(self.finished_at),
        }
        if self.drafted is not None and self.accepted is not None:
            plain |= {"draft_tokens": self.drafted, "accepted_tokens": self.accepted}
        if self.aggregate is not None:
            plain["aggregate"] = {"records": self.aggregate[0], "digest": self.aggregate[1]}
        return json.dumps(plain, separators=(",", ":")).encode()

    def _check(self) -> None:
        for field, value, form in (
            ("id", self.id, _PLAIN),
            ("source", self.source, _PLAIN),
            ("request_id", self.request_id, _PLAIN),
            ("allocation", self.allocation, _ALLOCATION),
            ("card", self.card, _CARD),
        ):
            if not form.fullmatch(value):
                raise BadRecord(field, "is missing or not spelled as it must be")
        if not 0 <= self.cached <= self.prompt <= MOST_TOKENS:
            raise BadRecord(
                "prompt_tokens", f"0 <= {self.cached} cached <= {self.prompt} <= {MOST_TOKENS} does not hold"
            )
        if not 0 <= self.generated <= MOST_TOKENS:
            raise BadRecord("completion_tokens", f"{self.generated} does not lie in 0..{MOST_TOKENS}")
        if self.limit is not None and not 0 <= self.limit <= MOST_TOKENS:
            raise BadRecord("max_tokens", f"{self.limit} does not lie in 0..{MOST_TOKENS}")


def record_id(source: str, request_id: str) -> str:
    """The same request from the same source has the same id, on every run."""
    return hashlib.sha256(f"{source}\n{request_id}".encode()).hexdigest()[:32]


def instant(seconds: float | None) -> str | None:
    """RFC 3339 in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds(text: object) -> float:
    """The reverse of :func:`instant`, and of any RFC 3339 instant with an offset.

    :raises ValueError: something else.
    """
    if not isinstance(text, str):
        raise ValueError("an instant is a text")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("an instant must name its UTC offset")
    return moment.timestamp()
