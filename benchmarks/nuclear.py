"""The paper's loop taken to its minimum, the least nuclear norm, with fewer eigendecompositions.

It finds the signs that the loop finds, and no more: the comparison shows it, and the package leaves
it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from conceptrevive.revival.completion.layers import complete_with, one_by_one
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.completion.softimpute import column_means

#: Singular values below this share of the largest are treated as this share.
FLOOR = 1e-8

#: Conjugate-gradient steps between two eigendecompositions, and the relative residual at which they
#: end early.
INNER_STEPS, INNER_RESIDUAL = 20, 0.05


def complete_nuclear(
    weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor] | None = None
) -> dict[str, Completion]:
    """`complete` by `nuclear_norm`, in float64 like the loop."""
    fill = partial(one_by_one, nuclear_norm)
    return complete_with(fill, weights, masks, solver="nuclear", exact=True)


def nuclear_norm(
    x: torch.Tensor, missing: torch.Tensor, limit: int = 500, tolerance: float | None = None
) -> tuple[torch.Tensor, int, bool]:
    """The minimum of the same problem by majorisation.

    Few eigendecompositions, conjugate gradients in between.

    ‖X‖_* ≤ ½ tr(XᵀWX) + ½ tr(W⁻¹) with equality at W = (XXᵀ)^(−1/2) (Mohan and Fazel 2012): every
    round lowers the quadratic on the right, whose curvature is the objective's own in every
    direction, not 1/σ_min in all of them.

    Args and returns: as `soft_impute`'s; rounds instead of sweeps, tolerance None: 1e-6.
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
