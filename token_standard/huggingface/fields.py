"""Reading numbers out of a file that somebody else wrote: nothing is guessed, and every refusal names its field."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from token_standard.errors import TokenStandardError

LARGEST_FILE = 4 * 2**20  # bytes; real ones have a few thousand
LONGEST_SHOWN = 80  # characters of a value in a message
LARGEST_COUNT = 10**7  # vocabularies and feed-forward widths stay far below
_MISSING: Any = object()


class InvalidConfig(TokenStandardError):
    """A configuration that gives no card. ``field`` is the one at fault; empty for the file as a whole."""

    code = "invalid_config"

    def __init__(self, problem: str, *, field: str = "") -> None:
        super().__init__(f"{field} {problem}" if field else problem)
        self.problem, self.field = problem, field


def read_json(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file.

    :raises InvalidConfig: unreadable, too large, not UTF-8, not JSON, a field given twice, or no object.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror or error}") from error
    if len(raw) > LARGEST_FILE:
        raise InvalidConfig(f"{path}: larger than {LARGEST_FILE} bytes, so no configuration")
    try:
        plain = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_once)
    except InvalidConfig:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{path}: not JSON ({error})") from error
    if not isinstance(plain, dict):
        raise InvalidConfig(f"{path}: expected a JSON object")
    return plain


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in pairs:
        if name in plain:
            raise InvalidConfig("is given twice", field=name)
        plain[name] = value
    return plain


def _shown(value: Any) -> str:
    """A value in a message: its beginning, for a file may hold anything."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


class Fields:
    """The fields of one object, by their usual name or a family's own."""

    def __init__(self, plain: Mapping[str, Any], names: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._plain, self._names = plain, names or {}

    def __contains__(self, name: str) -> bool:
        return self.value(name) is not None

    def spelled(self, name: str) -> str:
        """The name under which this object has the field; the usual one when it has it under none."""
        return next((known for known in (name, *self._names.get(name, ())) if known in self._plain), name)

    def has_key(self, name: str) -> bool:
        """Whether the field is written down, if only as null."""
        return self.spelled(name) in self._plain

    def value(self, name: str) -> Any:
        """The field as it stands; None when missing or null."""
        return self._plain.get(self.spelled(name))

    def integer(
        self, name: str, *, default: int | None = _MISSING, lowest: int = 1, highest: int = LARGEST_COUNT
    ) -> int:
        """A whole number; ``default`` stands for a missing or null one.

        :raises InvalidConfig: missing without a default, no whole number (true and "8" are none), or out of bounds.
        """
        value = self.value(name)
        if value is None:
            if default is _MISSING or default is None:
                raise InvalidConfig("is missing", field=name)
            value = default
        if type(value) is not int or not lowest <= value <= highest:
            raise InvalidConfig(
                f"must be a whole number from {lowest} to {highest}, not {_shown(value)}", field=self.spelled(name)
            )
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """A truth value.

        :raises InvalidConfig: anything but true, false or nothing.
        """
        value = self.value(name)
        if value is None:
            return default
        if type(value) is not bool:
            raise InvalidConfig(f"must be true or false, not {_shown(value)}", field=self.spelled(name))
        return value

    def integers(self, name: str, *, highest: int) -> list[int]:
        """A list of whole numbers from 0; empty when missing or null.

        :raises InvalidConfig: no such list.
        """
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(type(each) is int and 0 <= each <= highest for each in value):
            raise InvalidConfig(f"must be a list of whole numbers from 0 to {highest}", field=self.spelled(name))
        return value
