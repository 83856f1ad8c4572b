"""The platform's side of the agent's wire, small and strict: real HTTP, real signatures, identities kept, faults on demand.

It shares no code with the agent: what it believes of RFC 9421 it reads from the header fields itself.
"""

from tests.fakes.platform.server import Behaviour, Platform

__all__ = ["Behaviour", "Platform"]
