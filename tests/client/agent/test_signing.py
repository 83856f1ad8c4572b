"""Signatures against the RFC's own vector, and against a reader that shares no code with ours."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tokenspot_client.agent.signing import content_digest, sign, signature_base, signature_parameters, signed_headers

from tests.fakes.platform.signatures import BadSignature, check

# RFC 9421, appendices B.1.4 and B.2.6
RFC_KEY = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU="))
RFC_COMPONENTS = [
    ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("@method", "POST"),
    ("@path", "/foo"),
    ("@authority", "example.com"),
    ("content-type", "application/json"),
    ("content-length", "18"),
]
URL = "https://market.example/api/v1/usage-records"
BODY = b'{"records":[]}'


class TestRfcVector:
    def test_the_key_is_the_published_one(self) -> None:
        public = base64.urlsafe_b64encode(RFC_KEY.public_key().public_bytes_raw()).decode().rstrip("=")

        assert public == "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"

    def test_b_2_6_gives_the_published_fields(self) -> None:
        fields = sign(RFC_KEY, RFC_COMPONENTS, label="sig-b26", created=1618884473, keyid="test-key-ed25519")

        assert fields["Signature-Input"] == (
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"'
        )
        assert fields["Signature"] == (
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
        )

    def test_b_2_6_has_the_published_base(self) -> None:
        parameters = signature_parameters(
            [name for name, _ in RFC_COMPONENTS], created=1618884473, keyid="test-key-ed25519"
        )

        assert signature_base(RFC_COMPONENTS, parameters).decode().splitlines()[-2:] == [
            '"content-length": 18',
            '"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"',
        ]

    def test_digest_is_that_of_rfc_9530(self) -> None:
        assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"


def signed(**changes: object) -> dict[str, str]:
    told: dict = {
        "method": "POST",
        "url": URL,
        "body": BODY,
        "content_type": "application/json",
        "keyid": "agk_1",
        "created": 1000,
        "nonce": base64.urlsafe_b64encode(bytes(18)).decode(),
    }
    return signed_headers(RFC_KEY, **(told | changes))


def checked(
    headers: dict[str, str], *, method: str = "POST", url: str = URL, body: bytes = BODY, now: float = 1000
) -> str:
    def key_of(_: str) -> bytes:
        return RFC_KEY.public_key().public_bytes_raw()

    return check(
        method=method, url=url, headers=headers, body=body, now=now, key_of=key_of, seen=lambda keyid, nonce: False
    )


class TestSignedHeaders:
    def test_are_accepted_by_another_reader(self) -> None:
        assert checked(signed()) == "agk_1"

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"method": "PUT"}, "signature"),
            ({"url": URL + "?a=1"}, "signature"),
            ({"url": URL.replace("https", "http")}, "signature"),
            ({"body": BODY + b" "}, "digest"),
            ({"now": 1301}, "expired"),
            ({"now": 699}, "expired"),
        ],
    )
    def test_fail_with_each_covered_part_changed(self, changed: dict, reason: str) -> None:
        with pytest.raises(BadSignature) as refused:
            checked(signed(), **changed)

        assert refused.value.reason == reason

    @pytest.mark.parametrize("field", ["Content-Type", "Content-Digest", "Signature-Input"])
    def test_fail_with_a_field_changed(self, field: str) -> None:
        headers = signed()
        headers[field] = headers[field].replace("a", "b", 1)

        with pytest.raises(BadSignature):
            checked(headers)
