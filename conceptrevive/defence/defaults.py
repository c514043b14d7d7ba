"""What the defence does unless told otherwise. Free of torch: the command line lists it."""

from __future__ import annotations

#: σ_M, in units of each layer's own σ_U (paper §5).
SIGMA = 0.25

#: The defence that is shipped: the paper's Gaussian obfuscation.
DEFENCE = "gaussian"

#: What each does, for who has to choose.
DEFENCES_SAID = {DEFENCE: "Gaussian noise in the pruned positions; the default"}
