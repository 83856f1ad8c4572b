"""Metering library: hooks that count what a model computes."""
