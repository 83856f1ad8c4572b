"""What accounts does."""

from accounts.services import audit, idempotency, keys, members, organisations, outbox, sealing

__all__ = ["audit", "idempotency", "keys", "members", "organisations", "outbox", "sealing"]
