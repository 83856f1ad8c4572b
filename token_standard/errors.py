"""The errors a caller of this package can cause."""


class TokenStandardError(ValueError):
    """Base of all of them; ``code`` is stable and meant for programs."""

    code = "token_standard_error"
