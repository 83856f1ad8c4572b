"""Decimals as a document shows them."""


def grouped(decimal: str) -> str:
    """The same decimal with a comma between thousands: "80160.00" gives "80,160.00"."""
    sign, digits = ("-", decimal[1:]) if decimal.startswith("-") else ("", decimal)
    whole, point, places = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{places}"
