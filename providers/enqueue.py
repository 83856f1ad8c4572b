"""Names of this app's tasks."""

POST_DUE = "providers.post_due"
FORGET_NONCES = "providers.forget_nonces"
