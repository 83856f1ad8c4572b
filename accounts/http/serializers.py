"""Shapes of requests: fields are listed by name, take JSON's own types only, and everything else is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)


class StrictSerializer(serializers.Serializer):
    """A request body whose unknown members are errors, not ignored, and whose values are not bent into shape.

    DRF alone takes "1_000" and Arabic digits for integers, "yes" for true, 1.5
    for a text, and an instant without a zone for UTC.
    """

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown members and wrong types first.

        :raises ValidationError: with code `unknown_field`, `wrong_type` or a field's own.
        """
        if not isinstance(data, dict):
            raise _refusal({"non_field_errors": ("A JSON object is needed.", "wrong_type")})
        unknown = sorted(data.keys() - self.fields.keys())
        if unknown:
            raise _refusal(dict.fromkeys(unknown, ("There is no such field.", "unknown_field")))
        wrong = {
            name: (message, "wrong_type")
            for name, value in data.items()
            for message in _complaints(self.fields[name], value)
        }
        if wrong:
            raise _refusal(wrong)
        return super().to_internal_value(data)


def _refusal(errors: dict[str, tuple[str, str]]) -> serializers.ValidationError:
    return serializers.ValidationError({name: [ErrorDetail(*error)] for name, error in errors.items()})


def _complaints(field: Any, value: Any) -> Iterator[str]:
    """What is wrong with a value's type; whether null may stand there is the field's own question."""
    if value is None:
        return
    if isinstance(field, serializers.ListField):
        if not isinstance(value, list):
            yield "A JSON array is needed."
        else:
            yield from (message for item in value for message in _complaints(field.child, item))
    elif isinstance(field, serializers.BooleanField):
        if not isinstance(value, bool):
            yield "true or false is needed."
    elif isinstance(field, serializers.IntegerField):
        if not isinstance(value, int) or isinstance(value, bool):
            yield "A JSON integer is needed."
    elif isinstance(field, serializers.DateTimeField):
        if not isinstance(value, str) or not _INSTANT.fullmatch(value):
            yield "An instant with its zone is needed, such as 2026-11-24T16:00:00Z."
    elif isinstance(field, serializers.CharField | serializers.ChoiceField) and not isinstance(value, str):
        yield "A JSON string is needed."
