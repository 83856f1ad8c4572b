"""Providers over REST: the same as their pages."""
