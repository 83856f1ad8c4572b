"""Shapes of requests: fields are listed by name, and everything else is refused."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail


class StrictSerializer(serializers.Serializer):
    """A request body whose unknown members are errors, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown members first.

        :raises ValidationError: with code `unknown_field`, `invalid` or a field's own.
        """
        if not isinstance(data, dict):
            raise serializers.ValidationError("The body must be a JSON object.", code="invalid")
        unknown = sorted(set(map(str, data)) - set(self.fields))
        if unknown:
            raise serializers.ValidationError(
                {name: [ErrorDetail("There is no such field.", code="unknown_field")] for name in unknown}
            )
        return super().to_internal_value(data)
