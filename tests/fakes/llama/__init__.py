"""A small real engine: a random-weight Llama in numpy behind HTTP, with a prefix cache, speculation and `/metrics`.

Its tokens are computed, so its counters can be held against its usage objects.
`tests.fakes.engine` is the other one, that only keeps a pace.
"""
