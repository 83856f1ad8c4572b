"""A ZIP of files with their hashes: the same bytes for the same files, whenever it is made."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass

SUMS, MANIFEST = "SHA256SUMS", "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the format's first instant: the archive says nothing of when it was made


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the archive; `about` says in the manifest what it is of."""

    path: str
    content: bytes
    about: dict[str, str]


def render(entries: Iterable[Entry]) -> bytes:
    """The files in the order given, then `manifest.json`, then `SHA256SUMS` as `sha256sum -c` reads it."""
    written = io.BytesIO()
    listed: list[dict[str, str]] = []
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for entry in entries:
            _add(archive, entry.path, entry.content)
            sha256 = hashlib.sha256(entry.content).hexdigest()
            listed.append({"path": entry.path, "sha256": sha256, "bytes": str(len(entry.content)), **entry.about})
        manifest = (json.dumps({"files": listed}, ensure_ascii=False, indent=2) + "\n").encode()
        _add(archive, MANIFEST, manifest)
        sums = [f"{one['sha256']}  {one['path']}\n" for one in listed]
        sums.append(f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n")
        _add(archive, SUMS, "".join(sums).encode())
    return written.getvalue()


def _add(archive: zipfile.ZipFile, path: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
