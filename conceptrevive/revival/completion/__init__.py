"""Filling in the pruned entries of a matrix (paper §3.2)."""
