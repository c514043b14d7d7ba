"""Upper bounds of tail probabilities, as log10 (Chernoff 1952).

Not the exact tails that SciPy has: those underflow to 0 where evidence is strong, and all but
certain matrices could no longer be ranked; a bound errs on the side of the accused, and is
elementwise over millions of levels in torch.
"""

from __future__ import annotations

import math

import torch


def binomial_tail(hits: float, n: float, p: float) -> float:
    """log10 bound of P(X ≥ hits), X ~ Binomial(n, p): exp(−n·KL(hits/n ‖ p)) (Chernoff 1952)."""
    q = hits / n if n else 0.0
    if q <= p:
        return 0.0
    miss = (1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0
    return -n * (q * math.log(q / p) + miss) / math.log(10)


def poisson_tail(hits: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """log10 bound of P(X ≥ hits), X ~ Poisson(mean), elementwise."""
    hits, mean = hits.double(), mean.double().clamp_min(1e-300)
    bound = hits - mean + torch.special.xlogy(hits, mean / hits.clamp_min(1e-300))
    return torch.where(hits > mean, bound, 0.0) / math.log(10)


def chi2_tail(ratio: float, freedom: int) -> float:
    """log10 bound of the tail beyond ratio = χ²/freedom, on whichever side of 1 it lies."""
    if ratio <= 0:
        return -math.inf
    return -freedom / 2 * (ratio - 1 - math.log(ratio)) / math.log(10)
