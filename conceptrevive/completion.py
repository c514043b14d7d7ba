"""Fill in the pruned entries of one matrix from its surviving ones (paper §3.2; `complete` is the entrance)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from conceptrevive.errors import ConceptReviveError

Solver = Literal["conditional", "paper"]
SOLVERS = get_args(Solver)


@dataclass(frozen=True)
class Completion:
    """A completed matrix.

    Attributes:
        weight: (rows, columns), surviving entries bitwise as given, pruned ones estimated; dtype and device kept.
        mask: bool (rows, columns), True = pruned.
        solver: which solver filled it.
        iterations: sweeps (`paper`) or conjugate-gradient steps (`conditional`).
        converged: whether the solver's own stopping rule was met.
    """

    weight: torch.Tensor
    mask: torch.Tensor
    solver: str
    iterations: int
    converged: bool


def complete(
    weight: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    solver: Solver = "conditional",
    max_iterations: int | None = None,
    tolerance: float | None = None,
    ridge: float = 1e-3,
    name: str = "weight",
) -> Completion:
    """Estimate the pruned entries of `weight` from the others.

    Args:
        weight: (rows, columns), any float dtype. Values at pruned positions are never read.
        mask: bool, True = pruned; None takes the exact zeros.
        solver: "conditional", the closed-form Gaussian conditional mean; "paper", SoftImpute as released.
        max_iterations: default 500 sweeps (`paper`) or 200 conjugate-gradient steps (`conditional`).
        tolerance: relative change (`paper`, default 1e-5) or relative residual (`conditional`, default 1e-8).
        ridge: added to the row covariance's diagonal, relative to its mean (`conditional`).
        name: what error messages call the matrix.

    Rows without a surviving entry stay 0, with a warning; columns without one are filled with 0.

    Raises:
        ConceptReviveError: not a float matrix, mask of another shape or dtype, NaN or Inf, unknown solver.
    """
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        shape = tuple(weight.shape) if isinstance(weight, torch.Tensor) else type(weight).__name__
        raise ConceptReviveError(f"{name}: completion needs a float matrix, not {shape}: pass one layer's 2-D weight")
    if solver not in SOLVERS:
        raise ConceptReviveError(f"solver {solver!r} is unknown: choose 'conditional' or 'paper'")
    mask = weight == 0 if mask is None else mask
    if not isinstance(mask, torch.Tensor):
        raise ConceptReviveError(f"{name}: mask is a {type(mask).__name__}; it must be a torch.bool tensor")
    if mask.shape != weight.shape or mask.dtype != torch.bool:
        raise ConceptReviveError(
            f"{name}: mask is {mask.dtype} {tuple(mask.shape)}; it must be torch.bool of the weight's shape {tuple(weight.shape)}"
        )
    mask = mask.to(weight.device)
    # float64 on the CPU where the device has none (Apple's GPU).
    device = torch.device("cpu") if weight.device.type == "mps" else weight.device
    observed = weight.detach().masked_fill(mask, 0).to(device, torch.float64)
    if not torch.isfinite(observed).all():
        raise ConceptReviveError(f"{name}: surviving entries hold NaN or Inf: the checkpoint is damaged, load it again")
    missing = mask.to(device)
    dead = missing.all(1)
    if dead.any() and missing.shape[1]:
        warnings.warn(f"{name}: {int(dead.sum())} fully pruned rows have nothing to go by and stay 0", stacklevel=2)
    # A fully pruned column starts at 0 and both solvers leave it there; without it tall matrices keep full rank.
    rows, columns = ~dead, ~missing.all(0)
    z, gaps = observed[rows][:, columns], missing[rows][:, columns]
    if not gaps.any():
        return Completion(weight.masked_fill(mask, 0), mask, solver, 0, True)
    if solver == "paper":
        filled, n, ok = _soft_impute(z, gaps, 500 if max_iterations is None else max_iterations, tolerance or 1e-5)
    else:
        limit = 200 if max_iterations is None else max_iterations
        filled, n, ok = _conditional_mean(z, gaps, ridge, limit, tolerance or 1e-8)
    estimate = torch.zeros_like(observed)
    estimate[rows.nonzero(), columns.nonzero().T] = filled
    return Completion(torch.where(mask, estimate.to(weight.device, weight.dtype), weight.detach()), mask, solver, n, ok)


def _soft_impute(
    x: torch.Tensor, missing: torch.Tensor, limit: int, tolerance: float
) -> tuple[torch.Tensor, int, bool]:
    """SoftImpute with λ = the iterate's smallest singular value (paper §3.2 and the released code).

    Shrinking every singular value by σ_min truncates none, so a sweep is X ← X − σ_min (XXᵀ)^(−1/2) X on the missing
    entries; the Gram form below equals the SVD to rounding and is many times faster.
    """
    x = torch.where(missing, x.sum(0) / (~missing).sum(0), x)
    if tall := x.shape[0] > x.shape[1]:
        x, missing = x.T, missing.T
    for sweep in range(1, limit + 1):
        values, vectors = torch.linalg.eigh(x @ x.T)
        sigma = values.clamp_min(0).sqrt()
        # Rank-deficient iterates have σ_min = 0 and are their own fixed point.
        inverse = torch.where(sigma > sigma[-1] * 1e-12, 1 / sigma.clamp_min(1e-300), 0)
        shrunk = x - sigma[0] * ((vectors * inverse) @ (vectors.T @ x))
        new = torch.where(missing, shrunk, x)
        change = torch.linalg.norm(new - x) / torch.linalg.norm(x).clamp_min(1e-300)
        x = new
        if change < tolerance:
            return x.T if tall else x, sweep, True
    return x.T if tall else x, limit, False


def _conditional_mean(
    z: torch.Tensor, missing: torch.Tensor, ridge: float, limit: int, tolerance: float
) -> tuple[torch.Tensor, int, bool]:
    """Columns as Gaussian samples with covariance C = ZZᵀ/n + ridge: x_m = −K_mm⁻¹ K_mo x_o with K = C⁻¹.

    One inverse, then conjugate gradients for all columns at once, restricted to each column's missing entries.
    """
    d, n = z.shape
    c = z @ z.T / n
    c = c + ridge * c.diagonal().mean() * torch.eye(d, dtype=z.dtype, device=z.device)
    k = torch.linalg.inv(c)
    m = missing.to(z.dtype)
    x = z.clone()
    r = -(k @ x) * m
    p, rs = r.clone(), (r * r).sum(0)
    goal = rs.max() * tolerance**2
    for step in range(1, limit + 1):
        if rs.max() <= goal:
            return x, step - 1, True
        kp = (k @ p) * m
        alpha = rs / (p * kp).sum(0).clamp_min(1e-300)
        x, r = x + p * alpha, r - kp * alpha
        new = (r * r).sum(0)
        p, rs = r + p * (new / rs.clamp_min(1e-300)), new
    return x, limit, bool(rs.max() <= goal)
