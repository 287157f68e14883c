"""Fact recall: questions to a model, its answers beside the right ones, with documents at hand and without."""
