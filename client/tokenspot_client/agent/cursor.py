"""How far the platform has confirmed the spool. One small file; losing it begins a new epoch."""

from __future__ import annotations

import dataclasses
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from tokenspot_client.agent import files


@dataclass(frozen=True)
class Cursor:
    """A place in the spool, the number of the record before it, and the tokens of the epoch up to it.

    Numbers count the epoch's records without holes, so ``seq`` is how many there were.
    ``promised`` numbers were named to the platform and stand for their records for ever.
    """

    epoch: str
    segment: int = 0
    offset: int = 0
    seq: int = 0
    prompt: int = 0
    completion: int = 0
    promised: int = 0
    promised_segment: int = -1  # segments up to this one are never rewritten
    closed: bool = False

    @classmethod
    def new(cls, *, segment: int = 0, offset: int = 0) -> Cursor:
        """The begin of a new epoch at a place of the spool."""
        return cls(f"e{int(time.time()):x}-{secrets.token_hex(6)}", segment, offset)


def load(path: Path) -> Cursor | None:
    """The stored cursor; None where there is none that can be read."""
    plain = files.read_json(path)
    if plain is None:
        return None
    wanted = {field.name: str(field.type) for field in dataclasses.fields(Cursor)}
    kinds = {"str": str, "int": int, "bool": bool}
    if set(plain) != set(wanted) or any(type(plain[name]) is not kinds[kind] for name, kind in wanted.items()):
        return None
    return Cursor(**plain)


def save(path: Path, cursor: Cursor) -> None:
    """Store it, forced to disk.

    :raises OSError: the disk refused; the stored one stands.
    """
    files.replace_json(path, dataclasses.asdict(cursor))
