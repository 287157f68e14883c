"""Engines: what runs a model, and gives answers to requests."""
