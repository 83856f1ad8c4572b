"""JSON as the API reads it."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.kernel.strict_json import MAX_DEPTH, MalformedJSON, loads

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
REFUSED = {
    "empty": b"",
    "cut off": b'{"a": 1',
    "two values": b"1 2",
    "single quotes": b"{'a': 1}",
    "comment": b"{} // x",
    "trailing comma": b'{"a": 1,}',
    "not UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\x80"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b"NaN",
    "Infinity": b'{"a": [Infinity]}',
    "minus Infinity": b"-Infinity",
    "number that is infinite": b"1e999",
    "minus infinite number": b'{"a": -1e999}',
    "integer of five thousand digits": b"1" * 5000,
    "leading zero": b"01",
    "plus": b"+1",
    "underscore": b"1_000",
    "Arabic digits": "١٢".encode(),
    "member twice": b'{"a": 1, "a": 2}',
    "member twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "member twice, deep": b'[{"x": {"a": 1, "a": 1}}]',
    "NUL": b'{"a": "\\u0000"}',
    "NUL in a name": b'{"a\\u0000": 1}',
    "raw NUL": b'"\x00"',
    "raw line feed in a text": b'"a\nb"',
    "high surrogate": b'"\\ud800"',
    "low surrogate": b'["\\uDFFF"]',
    "pair the wrong way round": b'"\\udc00\\ud800"',
    "surrogate in a name": b'{"\\ud800": 1}',
}


class TestLoads:
    @pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
    def test_refuses_by_name(self, raw: bytes) -> None:
        with pytest.raises(MalformedJSON):
            loads(raw)

    @given(VALUES)
    def test_reads_all_else_as_json_does(self, value: object) -> None:
        for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode()):
            assert loads(raw) == json.loads(raw)

    @given(st.binary(max_size=60))
    def test_never_fails_in_another_way(self, raw: bytes) -> None:
        with contextlib.suppress(MalformedJSON):
            loads(raw)

    def test_reads_escaped_pairs_and_backslashes_as_texts(self) -> None:
        assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"
        assert loads(b'"\\\\ud800"') == "\\ud800"  # a backslash and six letters, no escape

    def test_takes_twenty_levels_and_no_more(self) -> None:
        assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
        with pytest.raises(MalformedJSON):
            loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    def test_refuses_a_million_levels_at_once(self, opening: bytes) -> None:
        began = time.monotonic()

        with pytest.raises(MalformedJSON):
            loads(opening * 200_000)

        assert time.monotonic() - began < 1

    def test_counts_no_brackets_within_texts(self) -> None:
        assert loads(json.dumps({"a": "[" * 100 + '"' + "{" * 100}).encode())
