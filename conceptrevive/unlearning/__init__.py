"""Erasing: activations → masks → pruned weights (paper §1)."""
