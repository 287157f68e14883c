"""Hashes of a checkpoint's files."""

INTEGRITY = "metadata.json"
