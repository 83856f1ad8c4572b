"""HTTP message signatures (RFC 9421) with Ed25519, and the digest of a body (RFC 9530)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LABEL = "sig1"
COVERED = ("@method", "@target-uri", "content-digest", "content-type")


def content_digest(body: bytes) -> str:
    """The field ``Content-Digest`` of a body as it goes over the wire."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_parameters(names: Sequence[str], **parameters: str | int) -> str:
    """The covered names and parameters in the order given, as both header fields spell them (RFC 9421 §2.3)."""
    covered = " ".join(f'"{name}"' for name in names)
    told = "".join(
        f";{key}={value}" if type(value) is int else f';{key}="{value}"' for key, value in parameters.items()
    )
    return f"({covered}){told}"


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """What is signed (RFC 9421 §2.5): one line a component, then the parameters."""
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def sign(
    key: Ed25519PrivateKey, components: Sequence[tuple[str, str]], *, label: str, **parameters: str | int
) -> dict[str, str]:
    """The two header fields that sign these components; parameters keep the order given."""
    told = signature_parameters([name for name, _ in components], **parameters)
    signature = base64.b64encode(key.sign(signature_base(components, told))).decode()
    return {"Signature-Input": f"{label}={told}", "Signature": f"{label}=:{signature}:"}


def signed_headers(
    key: Ed25519PrivateKey,
    *,
    method: str,
    url: str,
    body: bytes,
    content_type: str,
    keyid: str,
    created: int,
    nonce: str,
) -> dict[str, str]:
    """Every header field that a signed request carries besides those of its transport.

    :param url: the whole address, as the server sees it.
    :param created: seconds since 1970.
    """
    digest = content_digest(body)
    values = (method, url, digest, content_type)
    fields = sign(
        key,
        list(zip(COVERED, values, strict=True)),
        label=LABEL,
        created=created,
        keyid=keyid,
        nonce=nonce,
        alg="ed25519",
    )
    return {"Content-Digest": digest, "Content-Type": content_type, **fields}
