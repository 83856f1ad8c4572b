"""How numbers and times are written on pages and documents, in both languages.

The only home of these rules. Integers in, text out: no floats, no rounding but
where the docstring says so. `None` means unknown and is written "—", never 0.
A `lang` that starts with "zh" is Simplified Chinese, everything else English.
Currency codes other than CNY are written as the code itself, so that test money
(XTS) never looks like real money.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Final, Literal

NOTHING: Final = "—"
MINUS: Final = "\u2212"
MARKET_CLOCK: Final = timezone(timedelta(hours=8), "UTC+08:00")

Unit = Literal["token", "st"]
Direction = Literal["up", "down", "flat"]

MICROS_DECIMALS: Final = 6
"""Micro-yuan per yuan, as a number of decimals."""
PER_TOKEN_DECIMALS: Final = 12
"""Micro-yuan per million tokens is 10⁻¹² yuan per token."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PER_MILLION_UNIT: dict[tuple[Unit, bool], str] = {
    ("token", True): "/百万词元",
    ("token", False): "/M tokens",
    ("st", True): "/百万标准词元",
    ("st", False): "/M ST",
}
_PER_TOKEN_UNIT: dict[tuple[Unit, bool], str] = {
    ("token", True): "/词元",
    ("token", False): "/token",
    ("st", True): "/标准词元",
    ("st", False): "/ST",
}
_COMPACT_STEPS: dict[bool, tuple[tuple[int, str], ...]] = {
    True: ((10**12, "万亿"), (10**8, "亿"), (10**4, "万")),
    False: ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")),
}
_COMPACT_FROM: Final = 10_000


def scaled(value: int, decimals: int, *, at_least: int = 0) -> str:
    """Write `value × 10^-decimals` exactly, with thousands separators.

    Trailing zeros are dropped down to `at_least` decimals; a negative value
    takes the minus sign U+2212.
    """
    whole, rest = divmod(abs(value), 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    fraction = fraction.ljust(at_least, "0")
    sign = MINUS if value < 0 else ""
    return f"{sign}{whole:,}.{fraction}" if fraction else f"{sign}{whole:,}"


def per_million_number(price_micros: int | None) -> str:
    """The price per million tokens without currency and unit, exact, at least two decimals."""
    return NOTHING if price_micros is None else scaled(price_micros, MICROS_DECIMALS, at_least=2)


def per_token_number(price_micros: int | None) -> str:
    """The price per token without currency and unit, exact, no exponent, no trailing zeros."""
    return NOTHING if price_micros is None else scaled(price_micros, PER_TOKEN_DECIMALS)


def per_million_unit(lang: str, unit: Unit = "token") -> str:
    """What stands behind a price per million: "/M tokens", "/百万词元"."""
    return _PER_MILLION_UNIT[unit, _is_zh(lang)]


def per_token_unit(lang: str, unit: Unit = "token") -> str:
    """What stands behind a price per token: "/token", "/词元"."""
    return _PER_TOKEN_UNIT[unit, _is_zh(lang)]


def unit_price_per_million(price_micros: int | None, lang: str, *, unit: Unit = "token", currency: str = "CNY") -> str:
    """Write a price given in micro-yuan per million tokens as ¥ per million, e.g. "CN¥3,100.00 /M tokens"."""
    if price_micros is None:
        return NOTHING
    return f"{_money(per_million_number(price_micros), lang, currency)} {per_million_unit(lang, unit)}"


def unit_price_per_token(price_micros: int | None, lang: str, *, unit: Unit = "token", currency: str = "CNY") -> str:
    """Write a price given in micro-yuan per million tokens as ¥ per token, e.g. "CN¥0.0031 /token"."""
    if price_micros is None:
        return NOTHING
    return f"{_money(per_token_number(price_micros), lang, currency)} {per_token_unit(lang, unit)}"


def amount_fen(fen: int | None, lang: str, *, currency: str = "CNY") -> str:
    """Write an amount of fen (0.01 yuan) with two decimals; a negative one as −¥12.50."""
    return NOTHING if fen is None else _money(scaled(fen, 2, at_least=2), lang, currency)


def amount_micros(micros: int | None, lang: str, *, exact: bool = False, currency: str = "CNY") -> str:
    """Write an amount of micro-yuan, rounded half up (away from zero) to two decimals.

    `exact` shows all decimals there are. An amount that rounding would show as
    0.00 though it is not zero is always written exactly.
    """
    if micros is None:
        return NOTHING
    cents = _half_up(micros, 10_000)
    if exact or (micros and not cents):
        return _money(scaled(micros, MICROS_DECIMALS, at_least=2), lang, currency)
    return amount_fen(cents, lang, currency=currency)


def tokens_exact(count: int | None) -> str:
    """Write a count of tokens in full: 25,000,000."""
    return NOTHING if count is None else scaled(count, 0)


def tokens_compact(count: int | None, lang: str) -> str:
    """Write a count of tokens with at most two decimals (half up): 2500万, 12.35亿; 25M, 1.23B.

    Counts below 10,000 are written in full. Show the exact value beside it or in `title`.
    """
    if count is None:
        return NOTHING
    size = abs(count)
    if size < _COMPACT_FROM:
        return tokens_exact(count)
    steps = _COMPACT_STEPS[_is_zh(lang)]
    index = next(i for i, (step, _) in enumerate(steps) if size >= step)
    hundredths = _half_up(size * 100, steps[index][0])
    if index and hundredths * steps[index][0] >= 100 * steps[index - 1][0]:  # 999,999 is 1M, not 1000K
        index -= 1
        hundredths = 100
    return _compact_number(count < 0, hundredths) + steps[index][1]


def micro_st(micro: int | None, lang: str, *, fixed: bool = False) -> str:
    """Write micro-ST (10⁻⁶ standard tokens) exactly, with its unit.

    `fixed` keeps all six decimals, for columns that are added up.
    """
    if micro is None:
        return NOTHING
    number = scaled(micro, MICROS_DECIMALS, at_least=MICROS_DECIMALS if fixed else 0)
    return f"{number} 标准词元" if _is_zh(lang) else f"{number} ST"


def direction(before: int | None, after: int | None) -> Direction:
    """Which way a value went; unknown counts as flat."""
    if before is None or after is None or before == after:
        return "flat"
    return "up" if after > before else "down"


def change_percent(before: int | None, after: int | None) -> str:
    """Write the change from `before` to `after` with arrow, sign and two decimals (half up): "▲ +2.31%".

    "—" where there is no base to compare with; "0.00%" where nothing changed.
    """
    if before is None or after is None or before <= 0:
        return NOTHING
    if before == after:
        return "0.00%"
    number = scaled(_half_up(abs(after - before) * 10_000, before), 2, at_least=2)
    return f"▲ +{number}%" if after > before else f"▼ {MINUS}{number}%"


def instant(at: datetime | None, lang: str, *, seconds: bool = False, tz: tzinfo = MARKET_CLOCK) -> str:
    """Write an instant on the market clock (UTC+08:00) or on `tz`: "24 Nov 2026, 23:05".

    :raises ValueError: `at` has no time zone.
    """
    if at is None:
        return NOTHING
    local = _on_clock(at, tz)
    clock = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    if _is_zh(lang):
        return f"{local:%Y-%m-%d} {clock}"
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {clock}"


def window(start: datetime | None, end: datetime | None, lang: str, *, tz: tzinfo = MARKET_CLOCK) -> str:
    """Write the half-open window `[start, end)`: "25 Nov, 02:00–03:00"; one that ends at midnight ends at 24:00.

    :raises ValueError: no time zone, or `end` is not after `start`.
    """
    if start is None or end is None:
        return NOTHING
    if end <= start:
        raise ValueError("a window ends after it starts")
    first, last = _on_clock(start, tz), _on_clock(end, tz)
    last_day, closing = last.date(), f"{last:%H:%M}"
    if last.time() == time.min:
        last_day, closing = last_day - timedelta(days=1), "24:00"
    opening = f"{_day(first.date(), lang)}{first:%H:%M}"
    if last_day == first.date():
        return f"{opening}–{closing}"
    return f"{opening} – {_day(last_day, lang)}{closing}"


def currency_sign(lang: str, currency: str = "CNY") -> str:
    """What stands before a number of money: "¥", "CN¥", or a code and a space."""
    if currency != "CNY":
        return f"{currency}\u00a0"
    return "¥" if _is_zh(lang) else "CN¥"


def _money(number: str, lang: str, currency: str) -> str:
    sign = currency_sign(lang, currency)
    return f"{MINUS}{sign}{number[1:]}" if number.startswith(MINUS) else f"{sign}{number}"


def _compact_number(negative: bool, hundredths: int) -> str:
    whole, rest = divmod(hundredths, 100)
    fraction = f"{rest:02d}".rstrip("0")
    number = f"{whole}.{fraction}" if fraction else str(whole)
    return f"{MINUS}{number}" if negative else number


def _half_up(value: int, divisor: int) -> int:
    quotient = (2 * abs(value) + divisor) // (2 * divisor)
    return -quotient if value < 0 else quotient


def _day(day: date, lang: str) -> str:
    return f"{day:%m-%d} " if _is_zh(lang) else f"{day.day} {_MONTHS[day.month - 1]}, "


def _on_clock(at: datetime, tz: tzinfo) -> datetime:
    if at.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return at.astimezone(tz)


def _is_zh(lang: str) -> bool:
    return lang.lower().startswith("zh")
