"""Numbers as people read them."""

from fractions import Fraction

CONTEXTS = (512, 2048, 8192, 32768)  # of the published table
KIB = 1024
GIGA = 10**9


def decimal(value: Fraction | int, places: int) -> str:
    """A number with this many places, rounded half to even."""
    scaled = round(value * 10**places)
    sign, digits = ("-" if scaled < 0 else ""), abs(scaled)
    return f"{sign}{digits // 10**places}.{digits % 10**places:0{places}d}" if places else f"{sign}{digits}"


def significant(value: Fraction, digits: int = 4) -> str:
    """A number above or equal to zero with at least this many significant digits, without an exponent."""
    places, bound = 0, Fraction(10) ** (digits - 1)
    while value and value * 10**places < bound and places < 12:
        places += 1
    return decimal(value, places)
