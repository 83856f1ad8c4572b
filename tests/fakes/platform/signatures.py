"""Checks a signed request (RFC 9421, Ed25519, label sig1) as the wire contract words it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

COVERED = '("@method" "@target-uri" "content-digest" "content-type")'
_INPUT = re.compile(
    r"sig1="
    + re.escape(COVERED)
    + r';created=(?P<created>\d{1,12});keyid="(?P<keyid>[0-9A-Za-z_]{1,64})";nonce="(?P<nonce>[0-9A-Za-z_=-]{1,64})";alg="ed25519"'
)
_SIGNATURE = re.compile(r"sig1=:([0-9A-Za-z+/=]+):")


class BadSignature(Exception):
    """Refused; ``reason`` is the contract's word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    key_of: Callable[[str], bytes],
    seen: Callable[[str, str], bool],
) -> str:
    """The key's id.

    :param key_of: 32 raw bytes of a key; raises BadSignature.
    :param seen: whether this key used this nonce before; remembers it.
    """
    told = _INPUT.fullmatch(headers.get("Signature-Input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("Signature", ""))
    if told is None or signature is None:
        raise BadSignature("signature")
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    if headers.get("Content-Digest") != digest:
        raise BadSignature("digest")
    public = Ed25519PublicKey.from_public_bytes(key_of(told["keyid"]))
    base = (
        f'"@method": {method}\n"@target-uri": {url}\n"content-digest": {digest}\n'
        f'"content-type": {headers.get("Content-Type", "")}\n'
        f'"@signature-params": {headers["Signature-Input"].removeprefix("sig1=")}'
    )
    try:
        public.verify(base64.b64decode(signature[1]), base.encode())
    except InvalidSignature:
        raise BadSignature("signature") from None
    if abs(int(told["created"]) - now) > 300:
        raise BadSignature("expired")
    if len(base64.urlsafe_b64decode(told["nonce"] + "==")) < 16:
        raise BadSignature("signature")
    if seen(told["keyid"], told["nonce"]):
        raise BadSignature("replayed")
    return told["keyid"]
