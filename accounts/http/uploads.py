"""How much a form may send, files included: looked at before anything is read."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

LARGEST = 65 * 1_048_576
LARGEST_ANONYMOUS = 1_048_576


class BoundedUploads(FileUploadHandler):
    """Refuses forms that are too large for who sends them, and leaves the files to the next handler."""

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        """:raises RequestDataTooBig: more than the sender may send."""
        user = getattr(self.request, "user", None)
        signed_in = user is not None and user.is_authenticated
        if content_length > (LARGEST if signed_in else LARGEST_ANONYMOUS):
            raise RequestDataTooBig("The form is larger than is taken.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass on."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """No file of its own."""
