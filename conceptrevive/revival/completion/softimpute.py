"""The paper's loop, which descends to the least nuclear norm given the surviving entries (§3.2).

Shrinking every singular value by the smallest, σ_min, truncates none, so a sweep of the released loop is
X ← X − σ_min (XXᵀ)^(−1/2) X on the missing entries. (XXᵀ)^(−1/2) X is the gradient of the nuclear norm ‖X‖_*, and the
loop is projected gradient descent on min ‖X‖_* subject to the surviving entries, a convex problem.
"""

from __future__ import annotations

from typing import Literal

import torch

Form = Literal["gram", "svd"]


def column_means(x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Where the released loop starts: missing entries at the mean of their column's observed ones."""
    return torch.where(missing, x.sum(0) / (~missing).sum(0), x)


def soft_impute(
    x: torch.Tensor,
    missing: torch.Tensor,
    limit: int = 500,
    tolerance: float | None = None,
    form: Form = "gram",
) -> tuple[torch.Tensor, int, bool]:
    """SoftImpute with λ = the iterate's smallest singular value, as released but for its stopping rule.

    The relative change is taken from one iterate to the next; the released code compares with the one before that.

    Args:
        x: (rows, columns) float64, 0 where missing; no row and no column wholly missing.
        form: "svd" is the released code's, "gram" equals it to rounding and is many times faster.

    Returns: the filled matrix, sweeps taken, whether the relative change fell below `tolerance` (None: 1e-5).
    """
    x = column_means(x, missing)
    if tall := x.shape[0] > x.shape[1]:
        x, missing = x.T, missing.T
    sweep, converged = 0, False
    while sweep < limit and not converged:
        sweep += 1
        new = torch.where(missing, _shrink_gram(x) if form == "gram" else _shrink_svd(x), x)
        change = torch.linalg.vector_norm(new - x) / torch.linalg.vector_norm(x).clamp_min(1e-300)
        x, converged = new, bool(change < (tolerance or 1e-5))
    return x.T if tall else x, sweep, converged


def _shrink_svd(x: torch.Tensor) -> torch.Tensor:
    u, sigma, vh = torch.linalg.svd(x, full_matrices=False)
    return (u * (sigma - sigma[-1])) @ vh


def _shrink_gram(x: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(x @ x.T)
    sigma = values.clamp_min(0).sqrt()
    # Rank-deficient iterates have σ_min = 0 and are their own fixed point.
    inverse = torch.where(sigma > sigma[-1] * 1e-12, 1 / sigma.clamp_min(1e-300), 0)
    return x - sigma[0] * ((vectors * inverse) @ (vectors.T @ x))
