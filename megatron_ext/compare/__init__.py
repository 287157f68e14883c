"""Comparisons: arms of one model and one real corpus, from one file to losses, laws and a page."""
