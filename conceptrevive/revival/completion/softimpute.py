"""Least nuclear norm given the surviving entries: the paper's loop, and a faster route to the same minimum (paper §3.2).

Shrinking every singular value by the smallest, σ_min, truncates none, so a sweep of the released loop is
X ← X − σ_min (XXᵀ)^(−1/2) X on the missing entries. (XXᵀ)^(−1/2) X is the gradient of the nuclear norm ‖X‖_*, and the
loop is projected gradient descent on min ‖X‖_* subject to the surviving entries, a convex problem.
"""

from __future__ import annotations

from typing import Literal

import torch

Form = Literal["gram", "svd"]

#: `nuclear_norm` treats singular values below this share of the largest as this share.
FLOOR = 1e-8

#: Conjugate-gradient steps between two eigendecompositions, and the relative residual at which they end early.
INNER_STEPS, INNER_RESIDUAL = 20, 0.05


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


def nuclear_norm(
    x: torch.Tensor, missing: torch.Tensor, limit: int = 500, tolerance: float | None = None
) -> tuple[torch.Tensor, int, bool]:
    """The minimum of the same problem by majorisation: few eigendecompositions, conjugate gradients in between.

    ‖X‖_* ≤ ½ tr(XᵀWX) + ½ tr(W⁻¹) with equality at W = (XXᵀ)^(−1/2) (Mohan and Fazel 2012): every round lowers the
    quadratic on the right, whose curvature is the objective's own in every direction, not 1/σ_min in all of them.

    Args and returns: as `soft_impute`; rounds instead of sweeps, tolerance None: 1e-6.
    """
    x = column_means(x, missing)
    if tall := x.shape[0] > x.shape[1]:
        x, missing = x.T, missing.T
    step, converged = 0, False
    while step < limit and not converged:
        step += 1
        values, vectors = torch.linalg.eigh(x @ x.T)
        sigma = values.clamp_min(0).sqrt()
        w = (vectors / sigma.clamp_min(sigma[-1].clamp_min(1e-300) * FLOOR)) @ vectors.T
        move = _descend(w, x, missing)
        x = x + move
        change = torch.linalg.vector_norm(move) / torch.linalg.vector_norm(x).clamp_min(1e-300)
        converged = bool(change < (tolerance or 1e-6))
    return x.T if tall else x, step, converged


def _descend(w: torch.Tensor, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """The move on the missing entries that lowers ½ tr(XᵀWX), nearly to its minimum."""
    diagonal = w.diagonal()[:, None]
    move, r = torch.zeros_like(x), -(w @ x) * missing
    p = y = r / diagonal
    rho, enough = (r * y).sum(), INNER_RESIDUAL * torch.linalg.vector_norm(r)
    for _ in range(INNER_STEPS):
        if torch.linalg.vector_norm(r) <= enough:
            break
        q = (w @ p) * missing
        alpha = rho / (p * q).sum()
        move, r = move + alpha * p, r - alpha * q
        y = r / diagonal
        rho, before = (r * y).sum(), rho
        p = y + rho / before * p
    return move
