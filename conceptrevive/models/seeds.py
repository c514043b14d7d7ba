"""Which seeds belong to whom. Needs no torch, so that `--help` answers at once."""

from __future__ import annotations

#: Evaluation noise starts here; `locate` uses one seed below it, so the two never meet.
EVALUATION_SEED = 1_000_000

#: A user's largest seed: EVALUATION_SEED × (1 + this) and what counts on from there fit in 63 bits.
LARGEST_SEED = 2**32 - 1
