from uuid import UUID

from ledger.kernel.binary import uuids

_HEAD = "00000001 00000001 00000b86"  # one dimension, may hold nulls, uuids


class TestBinaryColumns:
    def test_write_a_length_before_each_uuid_and_minus_one_for_null(self) -> None:
        size_and_first = "00000002 00000001"
        elements = "00000010 000000000000000000000000000000ff ffffffff"

        assert uuids([UUID(int=255), None]) == bytes.fromhex(f"{_HEAD} {size_and_first} {elements}")

    def test_write_nothing_as_an_empty_array(self) -> None:
        assert uuids([]) == bytes.fromhex(f"{_HEAD} 00000000 00000001")
