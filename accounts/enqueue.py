"""Names of the tasks of accounts."""

RELAY = "accounts.relay_outbox"
SEAL = "accounts.seal_audit"
COPY_HEAD = "accounts.copy_audit_head"
