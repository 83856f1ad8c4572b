"""Client of the Tokenspot API."""

from tokenspot_client.api import ApiProblem, Client

__all__ = ["ApiProblem", "Client"]
