"""Reading gzip within bounds: what would swell beyond them is refused before it has."""

from __future__ import annotations

import zlib

_GZIP = 31  # zlib's number for "a gzip header and the largest window"


class BadEncoding(ValueError):
    """Not one complete gzip stream."""


class TooLarge(ValueError):
    """More bytes than allowed once inflated."""


def gunzip(raw: bytes, *, most: int) -> bytes:
    """Inflate one gzip stream of at most `most` bytes; never holds more than one byte beyond.

    :raises BadEncoding: damaged, cut off, or followed by something.
    :raises TooLarge: see there.
    """
    reader = zlib.decompressobj(_GZIP)
    try:
        inflated = reader.decompress(raw, most + 1)
    except zlib.error:
        raise BadEncoding("The body is no gzip stream.") from None
    if len(inflated) > most:
        raise TooLarge(f"The body is larger than {most} bytes once inflated.")
    if not reader.eof or reader.unused_data:
        raise BadEncoding("The body is not one complete gzip stream.")
    return inflated
