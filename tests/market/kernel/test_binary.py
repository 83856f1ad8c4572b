import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.kernel import binary

COLUMNS = {"id": "uuid", "quantity": "int8", "side": "int2", "open": "bool"}
rows = st.lists(
    st.tuples(st.uuids(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 1), st.booleans()), min_size=1, max_size=40
)


class TestBinary:
    @given(rows)
    def test_reads_back_what_it_wrote(self, written):
        ids, quantities, sides, opened = zip(*written, strict=True)

        raw = binary.encode(
            {"id": binary.uuids(list(ids)), "quantity": np.array(quantities, dtype=np.int64), "side": np.array(sides),
             "open": np.array(opened)},
            COLUMNS,
        )  # fmt: skip
        read = binary.decode(raw, COLUMNS)

        assert binary.to_uuids(read["id"]) == list(ids)
        assert read["quantity"].tolist() == list(quantities)
        assert read["side"].tolist() == list(sides)
        assert read["open"].tolist() == list(opened)

    def test_reads_no_rows(self):
        raw = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8 + b"\xff\xff"

        assert len(binary.decode(raw, COLUMNS)["id"]) == 0

    @given(st.lists(st.uuids(), min_size=1, max_size=20), st.lists(st.integers(0, 10**6), max_size=60))
    def test_numbers_equal_uuids_alike(self, some, picks):
        ids = [some[pick % len(some)] for pick in picks]

        codes, names = binary.codes(binary.uuids(ids))

        assert [binary.to_uuids(names)[code] for code in codes] == ids
        assert len(names) == len(set(ids))

    def test_tells_apart_uuids_that_share_one_half(self):
        ids = [uuid.UUID(int=1), uuid.UUID(int=(1 << 64) + 1), uuid.UUID(int=(1 << 64) + 2), uuid.UUID(int=1)]

        codes, names = binary.codes(binary.uuids(ids))

        assert len(names) == 3
        assert codes[0] == codes[3]
