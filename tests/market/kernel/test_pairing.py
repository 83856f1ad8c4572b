import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from market.kernel.pairing import pair


def ties(name, count):
    return [hashlib.sha256(f"{name}{n}".encode()).digest() for n in range(count)]


@st.composite
def sides(draw):
    """Two lists of quantities with one sum."""
    buys = draw(st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
    total = sum(buys)
    cuts = sorted(set(draw(st.lists(st.integers(1, total), max_size=30))) - {total})
    sells = [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]
    return np.array(buys, dtype=np.int64), np.array(sells, dtype=np.int64)


class TestPair:
    @given(sides())
    def test_gives_each_fill_exactly_its_quantity(self, both):
        buys, sells = both

        pairs = pair(buys, ties("b", len(buys)), sells, ties("s", len(sells)))

        assert (pairs.quantity > 0).all()
        assert np.bincount(pairs.buy, weights=pairs.quantity, minlength=len(buys)).tolist() == buys.tolist()
        assert np.bincount(pairs.sell, weights=pairs.quantity, minlength=len(sells)).tolist() == sells.tolist()

    @given(sides())
    def test_makes_at_most_one_pair_less_than_there_are_fills(self, both):
        buys, sells = both

        pairs = pair(buys, ties("b", len(buys)), sells, ties("s", len(sells)))

        assert len(pairs.quantity) <= len(buys) + len(sells) - 1

    @given(sides(), st.randoms())
    def test_does_not_depend_on_the_order_of_its_inputs(self, both, chance):
        buys, sells = both
        buy_ties, sell_ties = ties("b", len(buys)), ties("s", len(sells))
        shuffled = list(range(len(buys)))
        chance.shuffle(shuffled)

        plain = pair(buys, buy_ties, sells, sell_ties)
        mixed = pair(buys[shuffled], [buy_ties[n] for n in shuffled], sells, sell_ties)

        expected = {(b, s, q) for b, s, q in zip(plain.buy, plain.sell, plain.quantity, strict=True)}
        assert {(shuffled[b], s, q) for b, s, q in zip(mixed.buy, mixed.sell, mixed.quantity, strict=True)} == expected

    def test_walks_both_sides_in_the_order_of_their_ties(self):
        pairs = pair(np.array([3, 2]), [b"2", b"1"], np.array([4, 1]), [b"1", b"2"])

        assert list(zip(pairs.buy, pairs.sell, pairs.quantity, strict=True)) == [(1, 0, 2), (0, 0, 2), (0, 1, 1)]

    def test_of_nothing_is_nothing(self):
        none = np.zeros(0, dtype=np.int64)

        assert len(pair(none, [], none, []).quantity) == 0
