"""A stand-in for Stripe over real HTTP: the calls that billing makes, hosted pages, webhooks, and faults on demand.

`stripe`'s own SDK talks to it unchanged but for its base address.
"""
