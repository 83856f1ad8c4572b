"""Client of the Tokenspot API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenspot_client.api import ApiProblem, Client

__all__ = ["ApiProblem", "Client"]


def __getattr__(name: str) -> Any:
    """The SDK is imported when it is asked for: the agent runs on small machines and does without it."""
    if name in __all__:
        from tokenspot_client import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
