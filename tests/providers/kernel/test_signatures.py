"""Every covered part of a signed request, changed, is refused; and only the one form is read."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.kernel import ids
from providers.kernel.signatures import BadSignature, read, read_public_key, verify
from tests.providers.signing import Signer

NOW = datetime(2026, 11, 24, 16, tzinfo=UTC)
URI = "https://tokenspot.example/api/v1/usage-records"
BODY = b'{"records":[]}'
SIGNER = Signer(ids.encode("agk", ids.new()))
PUBLIC = SIGNER.private.public_key().public_bytes_raw()


def check(method="POST", uri=URI, body=BODY, *, headers=None, at=NOW, public=PUBLIC, **change) -> None:
    sent = {**(headers or SIGNER.headers("POST", URI, BODY, at=at)), **change}
    verify(read(method=method, target_uri=uri, headers=sent, body=body), public, now=NOW)


def reason(**change) -> str:
    with pytest.raises(BadSignature) as refused:
        check(**change)
    return refused.value.reason


def test_a_request_as_it_was_signed_passes() -> None:
    check()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("signature", {"method": "PUT"}),
        ("signature", {"uri": URI.replace("https", "http")}),
        ("signature", {"uri": URI.replace("tokenspot", "tokenspot2")}),
        ("signature", {"uri": URI + "/x"}),
        ("signature", {"uri": URI + "?a=1"}),
        ("signature", {"content-type": "application/cloudevents+json"}),
        ("signature", {"content-type": "application/json "}),
        ("digest", {"body": BODY + b" "}),
        ("digest", {"body": b""}),
        ("digest", {"content-digest": ""}),
        ("digest", {"content-digest": f"sha-512=:{'A' * 43}=:"}),
        ("signature", {"public": Signer().private.public_key().public_bytes_raw()}),
    ],
)
def test_a_changed_part_fails(part: str, change: dict) -> None:
    assert reason(**change) == part


def test_a_changed_body_with_its_own_digest_fails_too() -> None:
    other = SIGNER.headers("POST", URI, b"other", at=NOW)["content-digest"]

    assert reason(body=b"other", **{"content-digest": other}) == "signature"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("created=", "created=1"),
        ('nonce="', 'nonce="A'),
        ('alg="ed25519"', 'alg="hmac-sha256"'),
        ('keyid="agk_', 'keyid="agk_0'),
        (';alg="ed25519"', ""),
        (';alg="ed25519"', ';alg="ed25519";tag="x"'),
        (';alg="ed25519"', ';nonce="AAAAAAAAAAAAAAAAAAAAAAAA"'),
        ('"@method" ', ""),
        (' "content-digest"', ""),
        (' "@target-uri"', ""),
        (' "content-type"', ' "content-type" "date"'),
        ('"@method" "@target-uri"', '"@target-uri" "@method"'),
        ("sig1=", "sig2="),
        ("sig1=", "sig1=(), sig1="),
        ("created=", f"created={'9' * 5_000}"),
        ('keyid="agk_0', 'keyid="agk_z'),
        ('keyid="agk_0', 'keyid="agk_8'),
        ("created=", "created=-"),
        (';keyid="', '.5;keyid="'),
    ],
)
def test_changed_parameters_fail(old: str, new: str) -> None:
    headers = SIGNER.headers("POST", URI, BODY, at=NOW)
    changed = headers["signature-input"].replace(old, new, 1)
    assert changed != headers["signature-input"]

    assert reason(headers=headers, **{"signature-input": changed}) in {"signature", "unknown_key", "expired"}


@pytest.mark.parametrize(
    "value", ["", "sig1=::", "sig1=:AAAA:", f"sig1=:{'A' * 88}:", f"sig1=:{'=' * 88}:", f"sig2=:{'A' * 86}==:"]
)
def test_what_is_no_signature_fails(value: str) -> None:
    assert reason(signature=value) == "signature"


def test_a_short_nonce_fails() -> None:
    assert reason(headers=SIGNER.headers("POST", URI, BODY, at=NOW, nonce="short")) == "signature"


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_clock_too_far_away_fails(seconds: int) -> None:
    assert reason(at=NOW + timedelta(seconds=seconds)) == "expired"


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_clock_within_the_bound_passes(seconds: int) -> None:
    check(at=NOW + timedelta(seconds=seconds))


@given(st.integers(0, 63), st.integers(1, 255))
def test_any_changed_byte_of_the_signature_fails(at: int, change: int) -> None:
    headers = SIGNER.headers("POST", URI, BODY, at=NOW)
    raw = bytearray(base64.b64decode(headers["signature"][6:-1]))
    raw[at] ^= change

    assert reason(headers=headers, signature=f"sig1=:{base64.b64encode(raw).decode()}:") == "signature"


@given(st.dictionaries(st.sampled_from(["signature", "signature-input", "content-digest", "content-type"]), st.text()))
def test_any_text_is_refused_by_name(headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        read(method="POST", target_uri=URI, headers=headers, body=BODY)


@pytest.mark.parametrize("text", ["", "A" * 42, "A" * 44, "A" * 42 + "+", "é" * 43])
def test_what_is_no_public_key_is_none(text: str) -> None:
    assert read_public_key(text) is None


def test_a_public_key_is_read_with_and_without_padding() -> None:
    assert read_public_key(SIGNER.public) == read_public_key(SIGNER.public + "=") == PUBLIC
