"""Sweeps: a grid of runs, walked step by step to a point that no neighbour beats."""
