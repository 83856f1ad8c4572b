from datetime import UTC, datetime
from uuid import UUID

import pytest

from ledger.kernel.columns import instants, integers, texts, uuids


class TestColumns:
    def test_write_nothing_as_an_empty_array(self) -> None:
        assert [uuids([]), integers([]), instants([]), texts([])] == ["{}"] * 4

    def test_write_missing_values_as_null(self) -> None:
        assert uuids([UUID(int=1), None]) == "{00000000000000000000000000000001,NULL}"
        assert instants([datetime(2026, 1, 2, tzinfo=UTC), None]) == "{2026-01-02T00:00:00+00:00,NULL}"

    def test_quote_each_text(self) -> None:
        assert texts(['a"b', "c\\d", "", "NULL", "e,{f}"]) == '{"a\\"b","c\\\\d","","NULL","e,{f}"}'

    def test_refuse_a_text_with_nul(self) -> None:
        with pytest.raises(ValueError, match="NUL"):
            texts(["a\0b"])
