"""A small OpenAI-compatible engine: pseudo-text at the pace of a rated device. No model, no weights.

The demo runs it as the providers' deployments, the tests as the thing behind
the gateway. It needs only what users install (uvicorn, msgspec).
"""
