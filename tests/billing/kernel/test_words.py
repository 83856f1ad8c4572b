import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.kernel.words import (
    MAX_FEN,
    AmountOutOfRange,
    NotAnAmountInWords,
    amount_in_words,
    amount_in_words_en,
    parse_words,
)

EXAMPLES = [
    ("0.01", "壹分"),
    ("0.50", "伍角整"),
    ("150.00", "壹佰伍拾元整"),
    ("325.04", "叁佰贰拾伍元零肆分"),
    ("1,409.50", "壹仟肆佰零玖元伍角整"),
    ("107,000.53", "壹拾万柒仟元零伍角叁分"),
    ("1,000,010.05", "壹佰万零壹拾元零伍分"),
    ("100,005,000.00", "壹亿零伍仟元整"),
    # Further cases of the same rules.
    ("0.00", "零元整"),
    ("0.35", "叁角伍分"),
    ("10.00", "壹拾元整"),
    ("6,007.14", "陆仟零柒元壹角肆分"),
    ("1,680.32", "壹仟陆佰捌拾元零叁角贰分"),
    ("100,000,000,000.00", "壹仟亿元整"),
    ("1,000,050,000,000.01", "壹万亿伍仟万元零壹分"),
    ("120,034,005,600.70", "壹仟贰佰亿叁仟肆佰万伍仟陆佰元零柒角整"),
]
amounts = st.one_of(st.integers(0, MAX_FEN - 1), st.integers(0, 10**7), st.integers(0, 17).map(lambda e: 10**e))


def fen_of(figures: str) -> int:
    return int(re.sub(r"[.,]", "", figures))


class TestChineseWords:
    @pytest.mark.parametrize(("figures", "words"), EXAMPLES)
    def test_follow_the_rules_for_bank_bills(self, figures, words):
        assert amount_in_words(fen_of(figures)) == words
        assert parse_words(words) == fen_of(figures)

    @given(amounts)
    @example(MAX_FEN - 1)
    def test_parse_back(self, fen):
        assert parse_words(amount_in_words(fen)) == fen

    @given(amounts)
    def test_never_repeat_a_zero_or_end_on_one(self, fen):
        words = amount_in_words(fen)

        assert "零零" not in words
        assert not re.search("零[元万亿]", words.removeprefix("零元"))
        assert words.endswith("整") != words.endswith("分")

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "元",
            "整",
            "壹",
            "壹元",
            "壹元伍分整",
            "零壹元整",
            "壹拾零元整",
            "贰壹元整",
            "壹万万元整",
            "壹元零角整",
            "一百元整",
            "亿" * 5000,
        ],
    )
    def test_are_refused_when_another_hand_wrote_them(self, words):
        with pytest.raises(NotAnAmountInWords):
            parse_words(words)

    @pytest.mark.parametrize("fen", [-1, MAX_FEN])
    def test_are_refused_out_of_range(self, fen):
        with pytest.raises(AmountOutOfRange):
            amount_in_words(fen)
        with pytest.raises(AmountOutOfRange):
            amount_in_words_en(fen)


class TestEnglishWords:
    @pytest.mark.parametrize(
        ("figures", "words"),
        [
            ("0.00", "Zero yuan only"),
            ("0.01", "One fen only"),
            ("325.04", "Three hundred twenty-five yuan and four fen only"),
            ("107,000.53", "One hundred seven thousand yuan and fifty-three fen only"),
            ("1,000,010.00", "One million ten yuan only"),
            ("100,000,000,000.00", "One hundred billion yuan only"),
        ],
    )
    def test_say_the_amount(self, figures, words):
        assert amount_in_words_en(fen_of(figures)) == words

    @given(amounts)
    def test_read_back(self, fen):
        assert _read(amount_in_words_en(fen)) == fen


def _read(words: str) -> int:
    """A second way round: add up the words as they come."""
    small = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
    tens = {
        w: 10 * i
        for i, w in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2)
    }
    scales = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15}
    fen = total = group = 0
    for word in re.findall("[a-z]+", words.lower()):
        if word in scales:
            total, group = total + group * scales[word], 0
        elif word == "hundred":
            group *= 100
        elif word in {"yuan", "fen"}:
            fen += (total + group) * (100 if word == "yuan" else 1)
            total = group = 0
        elif word not in {"and", "only"}:
            group += tens[word] if word in tens else small.index(word)
    return fen
