"""Integers at a fixed scale, written as plain decimals: no exponent, no separators, nothing rounded."""


def plain(value: int, scale: int, at_least: int = 0) -> str:
    """An integer of 10^-scale units as a decimal with at least so many places, and no zeros after them.

    plain(1234500, 6, at_least=2) = "1.2345"; plain(8016000, 2, at_least=2) = "80160.00".
    """
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), 10**scale)
    places = (f"{rest:0{scale}d}" if scale else "").rstrip("0").ljust(at_least, "0")
    return f"{sign}{whole}.{places}" if places else f"{sign}{whole}"


def plain_yuan(micros: int) -> str:
    """Micro-yuan as a plain decimal with all six places."""
    return plain(micros, 6, at_least=6)
