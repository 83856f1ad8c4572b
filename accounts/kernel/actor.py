"""Who acts, and for whom. Every read and write is entered with one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """A member or an API key of one organisation, with what it may do."""

    organisation_id: UUID
    organisation_kind: str  # buyer, provider, both, operator
    organisation_name: str
    user_id: UUID | None
    key_id: UUID | None
    role: str | None
    scopes: frozenset[str]
    is_staff: bool = False

    @property
    def is_buyer(self) -> bool:
        """Whether the organisation buys."""
        return self.organisation_kind in {"buyer", "both"}

    @property
    def is_provider(self) -> bool:
        """Whether the organisation sells."""
        return self.organisation_kind in {"provider", "both"}

    @property
    def is_finance(self) -> bool:
        """Whether the actor sees money."""
        return "billing:read" in self.scopes

    def can(self, scope: str) -> bool:
        """Whether the actor holds a scope."""
        return scope in self.scopes
