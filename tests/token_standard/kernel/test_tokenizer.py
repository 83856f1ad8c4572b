import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard.tokenizer import REFERENCE, TOKENIZERS, UnknownTokenizer, tokenizer

# Every code point there is, lone surrogates too: JSON can carry them.
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


def width(piece: str) -> int:
    return len(piece.encode("utf-8", "surrogatepass"))


class TestReferenceTokenizer:
    @pytest.mark.parametrize(
        ("text", "pieces"),
        [
            ("", []),
            ("token", ["toke", "n"]),
            ("a token, please", ["a", " ", "toke", "n", ",", " ", "plea", "se"]),
            ("two  \n\t lines", ["two", "  \n\t ", "line", "s"]),
            ("snake_case42", ["snak", "e_ca", "se42"]),
            ("现货竞价", ["现", "货", "竞", "价"]),
            ("词元，spot", ["词", "元", "，", "spot"]),
            ("カナ한글", ["カ", "ナ", "한", "글"]),
            ("naïve", ["naï", "ve"]),
            ("ünïcödé", ["ün", "ïc", "öd", "é"]),
            ("токен", ["то", "ке", "н"]),
            ("हि", ["ह", "ि"]),
            ("ab😀c", ["ab", "😀", "c"]),
            ("...", [".", ".", "."]),
            ("\u3000\xa0", ["\u3000\xa0"]),
            ("\x00\x7f", ["\x00", "\x7f"]),
            ("a\ud800", ["a\ud800"]),
        ],
    )
    def test_cuts_as_published(self, text, pieces):
        assert REFERENCE.pieces(text) == pieces
        assert REFERENCE.count(text) == len(pieces)

    @given(ANY_TEXT)
    def test_gives_the_text_back(self, text):
        pieces = REFERENCE.pieces(text)

        assert "".join(pieces) == text
        assert REFERENCE.count(text) == len(pieces)

    @given(ANY_TEXT)
    def test_keeps_every_piece_but_white_space_to_four_bytes(self, text):
        assert all(width(piece) <= 4 or piece.isspace() for piece in REFERENCE.pieces(text))

    def test_knows_every_code_point(self):
        everything = "".join(map(chr, range(0x110000)))

        assert "".join(REFERENCE.pieces(everything)) == everything

    @given(st.text(alphabet="aé€😀", min_size=1, max_size=40))
    def test_fills_pieces_of_a_word_from_its_start(self, word):
        greedy: list[str] = []
        for char in word:
            if greedy and width(greedy[-1] + char) <= 4:
                greedy[-1] += char
            else:
                greedy.append(char)

        assert REFERENCE.pieces(word) == greedy

    @given(st.lists(st.sampled_from(["spot", "tok", "词", ".", "x", "ïé"]), max_size=30))
    def test_counts_words_apart_as_it_counts_them_joined_by_spaces(self, words):
        spaces = max(0, len(words) - 1)

        assert REFERENCE.count(" ".join(words)) == sum(map(REFERENCE.count, words)) + spaces


class TestRegistry:
    def test_finds_the_reference_by_name(self):
        assert tokenizer("utf8-4/1") is REFERENCE
        assert list(TOKENIZERS) == ["utf8-4/1"]

    def test_names_what_it_does_not_have(self):
        with pytest.raises(UnknownTokenizer, match="cl100k"):
            tokenizer("cl100k")
