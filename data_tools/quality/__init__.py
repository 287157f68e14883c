"""Measures of a corpus' quality."""
