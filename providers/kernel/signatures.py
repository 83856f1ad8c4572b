"""Signed requests of agents: RFC 9421 with Ed25519, one strict form and no other.

The signature covers "@method", "@target-uri", "content-digest" and "content-type", in this order, with the parameters
created, keyid, nonce and alg. The digest is compared with the body here, since the signature itself covers the header
only. Whether a nonce came before, and whether the key is still good, is for the caller to say: see
`providers.services.agents`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = timedelta(seconds=300)  # between the signer's clock and ours, either way
# A nonce is remembered until no request that carries it could pass the tolerance any more.
REMEMBERED = timedelta(seconds=660)
PUBLIC_KEY_BYTES = 32
COMPONENTS = '("@method" "@target-uri" "content-digest" "content-type")'

_INPUT = re.compile(
    r'sig1=(\("@method" "@target-uri" "content-digest" "content-type"\)((?:;[a-z]+=(?:"[^"\\]*"|[0-9]{1,15})){4}))'
)
_PARAMETER = re.compile(r';([a-z]+)=(?:"([^"\\]*)"|([0-9]{1,15}))')  # a structured field's integer has 15 digits
_SIGNATURE = re.compile(r"sig1=:([A-Za-z0-9+/=]{88}):")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")
_NONCE = re.compile(r"[A-Za-z0-9_-]{22,86}")
_KEY_ID = re.compile(r"agk_[0-7][0-9a-hjkmnp-tv-z]{25}")
_MOST_CREATED = 1 << 40  # seconds; beyond it no instant can be written


class BadSignature(Exception):
    """A request that no agent of ours signed as it is. `reason` says which part does not fit."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose digest fits its body and whose signature can be read, but was not checked yet."""

    key_id: str
    nonce: str
    created: datetime
    signature: bytes
    base: bytes

    @property
    def nonce_hash(self) -> bytes:
        """16 bytes that stand for the nonce."""
        return hashlib.sha256(self.nonce.encode()).digest()[:16]


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a request claims to be signed. Names of headers are in lower case."""
    return "signature" in headers or "signature-input" in headers


def read(*, method: str, target_uri: str, headers: Mapping[str, str], body: bytes) -> SignedRequest:
    """Read a signed request and compare its digest with the body, as it was sent.

    `headers` have lower-case names; one that came twice is joined by ", " and thereby refused.

    :raises BadSignature: `signature` where it cannot be read, `digest` where the body is another.
    """
    given = _INPUT.fullmatch(headers.get("signature-input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if given is None or signature is None:
        raise BadSignature("signature", f"Sign {COMPONENTS} with created, keyid, nonce and alg, labelled sig1.")
    parameters = _parameters(given[2])
    digest = headers.get("content-digest", "")
    stated = _DIGEST.fullmatch(digest)
    if stated is None or not hmac.compare_digest(_bytes(stated[1]), hashlib.sha256(body).digest()):
        raise BadSignature("digest", "Content-Digest is not the SHA-256 of this body.")
    lines = (
        f'"@method": {method}',
        f'"@target-uri": {target_uri}',
        f'"content-digest": {digest}',
        f'"content-type": {headers.get("content-type", "")}',
        f'"@signature-params": {given[1]}',
    )
    return SignedRequest(
        key_id=parameters["keyid"],
        nonce=parameters["nonce"],
        created=datetime.fromtimestamp(int(parameters["created"]), UTC),
        signature=_bytes(signature[1]),
        base="\n".join(lines).encode(),
    )


def verify(request: SignedRequest, public_key: bytes, *, now: datetime) -> None:
    """Check time and signature.

    :raises BadSignature: `expired` where the clocks are too far apart, `signature` where a covered part was changed.
    """
    if abs(request.created - now) > TOLERANCE:
        raise BadSignature("expired", "The signature's time is more than 300 s from ours.")
    try:
        _key(public_key).verify(request.signature, request.base)
    except InvalidSignature:
        raise BadSignature("signature", "The signature does not fit this request.") from None


def read_public_key(text: str) -> bytes | None:
    """The 32 raw bytes of a key written in base64url, with or without padding; None where it is none."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", text):
        return None
    raw = base64.urlsafe_b64decode(text.rstrip("=") + "=")
    return raw if len(raw) == PUBLIC_KEY_BYTES else None


def _parameters(text: str) -> dict[str, str]:
    found = {name: (quoted or number, bool(number)) for name, quoted, number in _PARAMETER.findall(text)}
    if set(found) != {"created", "keyid", "nonce", "alg"}:
        raise BadSignature("signature", "The parameters are created, keyid, nonce and alg, each once.")
    values = {name: value for name, (value, _) in found.items()}
    numbers = {name for name, (_, is_number) in found.items() if is_number}
    if numbers != {"created"} or int(values["created"]) > _MOST_CREATED // 32:
        raise BadSignature("signature", "created is a number of seconds, the other parameters are texts.")
    if values["alg"] != "ed25519" or not _NONCE.fullmatch(values["nonce"]):
        raise BadSignature("signature", "alg is ed25519, and nonce at least 16 bytes in base64url.")
    if not _KEY_ID.fullmatch(values["keyid"]):
        raise BadSignature("unknown_key", "There is no such key.")
    return values


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadSignature("signature", "A digest or signature is no base64.") from None


@lru_cache(maxsize=4096)
def _key(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)
