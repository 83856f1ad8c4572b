"""Calls that leave this house."""
