"""Request bodies: strict JSON only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework import exceptions, status
from rest_framework.parsers import BaseParser

from accounts.kernel.strict_json import MalformedJSON, loads

MAX_BYTES = 1_048_576


class BodyTooLarge(exceptions.APIException):
    """More than 1 MiB."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"
    default_detail = "A body has at most 1 MiB."


class Malformed(exceptions.ParseError):
    """Not strict JSON."""

    default_code = "malformed_json"


class StrictJSONParser(BaseParser):
    """Reads JSON without duplicate members, NaN, surrogates or deep nesting."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The body's value; an empty body is an empty object.

        :raises BodyTooLarge, Malformed: see there.
        """
        raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BodyTooLarge
        if not raw.strip():
            return {}
        try:
            return loads(raw)
        except MalformedJSON as error:
            raise Malformed(str(error)) from None
