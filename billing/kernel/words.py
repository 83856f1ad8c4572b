"""Amounts in words, as they stand beside the figures of an invoice.

Chinese follows the rules for bank bills (支付结算办法, annex 1): 整 after 元
and after 角, never after 分; a run of zeros gives one 零.
"""

import re

DIGITS = "零壹贰叁肆伍陆柒捌玖"
PLACES = ("仟", 1000), ("佰", 100), ("拾", 10), ("", 1)
TEN_THOUSAND, HUNDRED_MILLION = 10**4, 10**8
MAX_FEN = 10**18  # 10^16 yuan is where 亿 would have to be said twice
LONGEST = 80  # no amount takes more characters; it bounds the work on foreign text

_ONES: list[str] = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen",
)
_TENS: list[str] = re.findall(r"\w+", "_ _ twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES = (10**15, "quadrillion"), (10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand")


class AmountOutOfRange(ValueError):
    """The amount is negative, or too large to be said."""

    code = "amount_out_of_range"


class NotAnAmountInWords(ValueError):
    """The text is not what amount_in_words writes."""

    code = "not_an_amount_in_words"


def amount_in_words(fen: int) -> str:
    """An amount in fen in Chinese capitals, to be printed after 人民币: 32504 gives 叁佰贰拾伍元零肆分.

    :raises AmountOutOfRange: below zero, or 10^18 and more.
    """
    _refuse_out_of_range(fen)
    yuan, cents = divmod(fen, 100)
    jiao, last = divmod(cents, 10)
    if fen == 0:
        return "零元整"
    words = f"{_whole(yuan)}元" if yuan else ""
    # The rules leave it open whether 零 stands between a yuan figure that ends in zero and 角; here it always does.
    if yuan and cents and (jiao == 0 or yuan % 10 == 0):
        words += "零"
    if jiao:
        words += f"{DIGITS[jiao]}角"
    return f"{words}{DIGITS[last]}分" if last else f"{words}整"


def parse_words(words: str) -> int:
    """The fen of an amount in Chinese capitals: the inverse of amount_in_words.

    :raises NotAnAmountInWords: for any text which that function does not write.
    """
    if len(words) > LONGEST:
        raise NotAnAmountInWords("the text is too long to be an amount in Chinese capitals")
    yuan_words, yuan_sign, rest = words.partition("元")
    if not yuan_sign:
        yuan_words, rest = "", words
    fen = 100 * _number(yuan_words)
    for sign, value in ("角", 10), ("分", 1):
        before, found, after = rest.partition(sign)
        if found:
            fen += value * max(DIGITS.find(before.removeprefix("零") or "零"), 0)
            rest = after
    if fen >= MAX_FEN or amount_in_words(fen) != words:
        raise NotAnAmountInWords(f"{words!r} is not an amount in Chinese capitals")
    return fen


def amount_in_words_en(fen: int) -> str:
    """An amount in fen in English words: 32504 gives "Three hundred twenty-five yuan and four fen only".

    :raises AmountOutOfRange: below zero, or 10^18 and more.
    """
    _refuse_out_of_range(fen)
    yuan, cents = divmod(fen, 100)
    parts = [f"{_english(yuan)} yuan"] if yuan or not cents else []
    if cents:
        parts.append(f"{_english(cents)} fen")
    return f"{' and '.join(parts).capitalize()} only"


def _refuse_out_of_range(fen: int) -> None:
    if not 0 <= fen < MAX_FEN:
        raise AmountOutOfRange(f"{fen} fen cannot be written in words")


def _whole(number: int) -> str:
    """A positive whole number: 亿 splits it first, 万 what is left, so that each 零 is decided in one place."""
    for sign, size in ("亿", HUNDRED_MILLION), ("万", TEN_THOUSAND):
        if number >= size:
            high, low = divmod(number, size)
            gap = "零" if 0 < low < size // 10 else ""
            return f"{_whole(high)}{sign}{gap}{_whole(low) if low else ''}"
    words = ""
    for sign, size in PLACES:
        digit, number = divmod(number, size)
        if digit:
            words += DIGITS[digit] + sign
        elif number and words and not words.endswith("零"):
            words += "零"
    return words


def _number(words: str) -> int:
    """The inverse of _whole; what is not understood counts as nothing, and the caller's comparison finds it."""
    for sign, size in ("亿", HUNDRED_MILLION), ("万", TEN_THOUSAND):
        high, found, low = words.rpartition(sign)
        if found:
            return size * _number(high) + _number(low)
    total = digit = 0
    sizes = dict(PLACES)
    for character in words:
        if character in sizes:
            total, digit = total + digit * sizes[character], 0
        else:
            digit = max(DIGITS.find(character), 0)
    return total + digit


def _english(number: int) -> str:
    for size, name in _SCALES:
        if number >= size:
            high, low = divmod(number, size)
            return f"{_english(high)} {name}{' ' + _english(low) if low else ''}"
    if number >= 100:
        high, low = divmod(number, 100)
        return f"{_ONES[high]} hundred{' ' + _english(low) if low else ''}"
    if number < 20:
        return _ONES[number]
    high, low = divmod(number, 10)
    return f"{_TENS[high]}-{_ONES[low]}" if low else _TENS[high]
