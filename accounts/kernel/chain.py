"""The chain of the audit log: each event's hash covers the hash before it, so that no event changes or goes unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

START = bytes(32)  # what stands before the first event


@dataclass(frozen=True, slots=True)
class Event:
    """An audit event as the database writes it: all text, times in UTC, the detail as the server prints it."""

    id: int
    texts: tuple[str | None, ...]  # organisation, user, key, action, subject, detail, at


@dataclass(frozen=True, slots=True)
class Link:
    """An event's place in the chain. `event` is None where the event is gone."""

    position: int
    event: Event | None
    hash: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head of the chain that was copied out of the database."""

    position: int
    hash: bytes


def link_hash(previous: bytes, event: Event) -> bytes:
    """SHA-256 over the hash before and the event's canonical bytes: a JSON array, ASCII, without spaces."""
    plain = json.dumps([event.id, *event.texts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(previous + plain.encode("ascii")).digest()


def faults(links: Iterable[Link], anchors: Iterable[Anchor] = ()) -> Iterator[tuple[int, str]]:
    """The position of each fault, and what is wrong; the chain is followed on from the stored hash.

    A link that was changed is named once, and the anchors beyond the last link name a tail that was cut.
    """
    copied = {anchor.position: anchor.hash for anchor in anchors}
    previous, position = START, 0
    for link in links:
        position += 1
        if link.position != position:
            yield position, f"links {position} to {link.position - 1} are gone"
            position = link.position
        elif link.event is None:
            yield position, "its event is gone"
        elif link_hash(previous, link.event) != link.hash:
            yield position, f"event {link.event.id} is not what was sealed"
        if copied.pop(position, link.hash) != link.hash:
            yield position, "its hash is not the one that was copied out"
        previous = link.hash
    for missing in sorted(copied):
        yield missing, "a head that was copied out is no longer in the chain"
