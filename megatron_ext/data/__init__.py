"""Planned samples as arrays."""
