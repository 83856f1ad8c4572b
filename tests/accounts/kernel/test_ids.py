"""Public ids."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.kernel import ids

PREFIXES = st.sampled_from(["org", "usr", "mem", "key", "ord", "inv"])
UUIDS = st.integers(min_value=0, max_value=2**128 - 1).map(lambda number: UUID(int=number))


class TestNew:
    def test_makes_uuids_of_version_seven(self) -> None:
        made = ids.new()

        assert (made.version, made.variant) == (7, "specified in RFC 4122")

    def test_never_repeats_nor_goes_back_within_a_process(self) -> None:
        made = [ids.new() for _ in range(20_000)]

        assert made == sorted(set(made))

    def test_many_are_as_one_after_the_other(self) -> None:
        before = ids.new()
        made = [*ids.many(5_000), ids.new(), *ids.many(3), ids.new()]

        assert [before, *made] == sorted({before, *made})
        assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
        assert ids.many(0) == []

    def test_never_repeats_between_threads(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            lots = list(pool.map(lambda _: [ids.new(), *ids.many(500), ids.new()], range(32)))

        assert len({one for lot in lots for one in lot}) == 32 * 502


class TestText:
    @given(PREFIXES, UUIDS)
    def test_reads_back_what_it_wrote(self, prefix: str, identifier: UUID) -> None:
        text = ids.encode(prefix, identifier)

        assert ids.decode(prefix, text) == identifier
        assert len(text) == 30 and text == text.lower() and text.isascii()

    @given(UUIDS, UUIDS)
    def test_sorts_as_the_ids_do(self, one: UUID, other: UUID) -> None:
        assert (one < other) == (ids.encode("ord", one) < ids.encode("ord", other))

    @given(st.text(max_size=40))
    def test_takes_any_text_for_an_id_or_refuses_it_by_name(self, text: str) -> None:
        with contextlib.suppress(ids.BadId):
            assert ids.encode("ord", ids.decode("ord", text)) == text

    @pytest.mark.parametrize(
        "text",
        ["", "ord_", "ord_0", "key_" + "0" * 26, "ord_" + "0" * 27, "ord_8" + "0" * 25, "ord_" + "u" * 26,
         "ORD_" + "0" * 26, "ord_" + "0" * 25 + "O", " ord_" + "0" * 26, "ord_" + "0" * 26 + "\n", "ord_" + "٠" * 26],
    )  # fmt: skip
    def test_refuses_what_is_no_id_of_the_kind(self, text: str) -> None:
        with pytest.raises(ids.BadId):
            ids.decode("ord", text)
