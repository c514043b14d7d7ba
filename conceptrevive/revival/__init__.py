"""The attack: what is known of where, completion, signs, magnitudes (paper §3)."""
