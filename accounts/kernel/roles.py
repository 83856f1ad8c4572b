"""What each role of a member may do."""

from __future__ import annotations

SCOPES = (
    "market:read",
    "orders:read",
    "orders:write",
    "offers:read",
    "offers:write",
    "inference",
    "usage:read",
    "usage:write",
    "disputes:write",
    "billing:read",
    "billing:write",
    "keys:write",
    "members:write",
)
_READ = {"market:read", "orders:read", "offers:read", "usage:read"}
ROLES: dict[str, frozenset[str]] = {
    "owner": frozenset(SCOPES),
    "trader": frozenset(_READ | {"orders:write", "inference", "disputes:write", "billing:read", "keys:write"}),
    "provider": frozenset(_READ | {"offers:write", "usage:write", "disputes:write", "billing:read", "keys:write"}),
    "finance": frozenset(_READ | {"disputes:write", "billing:read", "billing:write"}),
    "viewer": frozenset(_READ),
}
