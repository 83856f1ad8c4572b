"""Names of the tasks of accounts."""

RELAY = "accounts.relay_outbox"
