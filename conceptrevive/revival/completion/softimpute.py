"""The paper's loop, which descends to the least nuclear norm given the surviving entries (§3.2).

Shrinking every singular value by the smallest, σ_min, truncates none, so a sweep of the released
loop is X ← X − σ_min (XXᵀ)^(−1/2) X on the missing entries. (XXᵀ)^(−1/2) X is the gradient of the
nuclear norm ‖X‖_*, and the loop is projected gradient descent on min ‖X‖_* subject to the surviving
entries, a convex problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Form = Literal["gram", "svd"]


def column_means(
    x: Float[Tensor, "rows columns"], missing: Bool[Tensor, "rows columns"]
) -> Float[Tensor, "rows columns"]:
    """Where the released loop starts: missing entries at the mean of their column's others."""
    return torch.where(missing, x.sum(0) / (~missing).sum(0), x)


def soft_impute(
    x: Float[Tensor, "rows columns"],
    missing: Bool[Tensor, "rows columns"],
    limit: int = 500,
    tolerance: float | None = None,
    form: Form = "gram",
) -> tuple[Float[Tensor, "rows columns"], int, bool]:
    """SoftImpute, λ = the iterate's smallest singular value, as released but for its stop.

    The relative change is taken from one iterate to the next; the released code compares with the
    one before that.

    Args:
        x: float64, 0 where missing; no row and no column wholly missing.
        limit: most sweeps.
        tolerance: relative change below which the loop stops; None: 1e-5.
        form: see `soft_impute_sweeps`.

    Returns: the filled matrix, sweeps taken, whether the relative change fell below `tolerance`.
    """
    sweeps = soft_impute_sweeps(x, missing, form)
    sweep, converged = 0, False
    while sweep < limit and not converged:
        x, change = next(sweeps)
        sweep, converged = sweep + 1, change < (tolerance or 1e-5)
    return x, sweep, converged


def soft_impute_sweeps(
    x: Float[Tensor, "rows columns"],
    missing: Bool[Tensor, "rows columns"],
    form: Form = "gram",
) -> Iterator[tuple[Float[Tensor, "rows columns"], float]]:
    """The loop sweep by sweep, without end: each iterate, and its change from the one before.

    The change is relative to the iterate before.

    Args:
        x, missing: as for `soft_impute`.
        form: "svd" is the released code's, "gram" equals it to rounding and is many times faster.
    """
    x = column_means(x, missing)
    if tall := x.shape[0] > x.shape[1]:
        x, missing = x.T, missing.T
    shrink = _shrink_gram if form == "gram" else _shrink_svd
    while True:
        new = torch.where(missing, shrink(x), x)
        change = torch.linalg.vector_norm(new - x) / torch.linalg.vector_norm(x).clamp_min(1e-300)
        x = new
        yield x.T if tall else x, float(change)


def _shrink_svd(x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    u, sigma, vh = torch.linalg.svd(x, full_matrices=False)
    shrunk: Tensor = (u * (sigma - sigma[-1])) @ vh
    return shrunk


def _shrink_gram(x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    values, vectors = torch.linalg.eigh(x @ x.T)
    sigma = values.clamp_min(0).sqrt()
    # Rank-deficient iterates have σ_min = 0 and are their own fixed point.
    inverse = torch.where(sigma > sigma[-1] * 1e-12, 1 / sigma.clamp_min(1e-300), 0)
    shrunk: Tensor = x - sigma[0] * ((vectors * inverse) @ (vectors.T @ x))
    return shrunk
