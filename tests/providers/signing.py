"""An agent's side of a signed request, written from the RFC and not from our reader."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.kernel import ids
from accounts.kernel.actor import Actor
from providers import services as providers


@dataclass
class Signer:
    """A private key, and the id under which the platform knows it."""

    key_id: str = ""
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        raw = self.private.public_key().public_bytes_raw()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def headers(
        self, method: str, uri: str, body: bytes, *, at: datetime, nonce: str = "", content_type: str = "application/json",
    ) -> dict[str, str]:  # fmt: skip
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        parameters = (
            '("@method" "@target-uri" "content-digest" "content-type")'
            f';created={int(at.timestamp())};keyid="{self.key_id}";nonce="{nonce or secrets.token_urlsafe(16)}";alg="ed25519"'
        )
        base = (
            f'"@method": {method}\n"@target-uri": {uri}\n"content-digest": {digest}\n"content-type": {content_type}\n'
            f'"@signature-params": {parameters}'
        )
        signature = base64.b64encode(self.private.sign(base.encode())).decode()
        return {
            "content-type": content_type, "content-digest": digest, "signature-input": f"sig1={parameters}",
            "signature": f"sig1=:{signature}:",
        }  # fmt: skip


def registered(
    actor: Actor, *, now: datetime, name: str = "agent one", **more: Any
) -> tuple[Signer, providers.agents.Registered]:
    """A new agent of this provider with its key handed in."""
    signer = Signer()
    new = providers.agents.make(name=name, pool_id=more.pop("pool_id", None), actor=actor, now=now)
    done = providers.agents.register(token=new.token, public_key=signer.public, version="0.1.0", now=now)
    signer.key_id = ids.encode("agk", done.key_id)
    return signer, done
