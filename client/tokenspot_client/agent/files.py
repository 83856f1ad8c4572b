"""Files that survive a crash: written aside, forced to disk, put in place by one rename."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def replace(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Put content in place of a file, wholly or not at all.

    :raises OSError: the disk refused; the old file stands.
    """
    aside = path.with_name(f".{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        write_all(descriptor, content)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.replace(path)
    if durable:
        sync_folder(path.parent)


def replace_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """As :func:`replace`, with a value as JSON."""
    replace(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n", durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """An object out of a file; None where the file is missing or holds none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte.

    :raises OSError: some could not be written; how many were is not told.
    """
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Force names of a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
