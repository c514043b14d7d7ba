"""Hiding the scar (paper §5)."""
