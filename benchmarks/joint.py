"""Rows and columns modelled together: a matrix normal with covariance C_rows ⊗ C_columns.

The conditional solver knows how a layer's outputs go together and takes its columns as independent.
Here the columns go
together too: missing entries minimise tr(K_rows X K_columns Xᵀ). With fewer rows than columns
C_columns = ZᵀZ/rows + ρ is of low rank but for its ridge ρ, so K_columns is applied through a rows
× rows inverse and never formed. How much the columns have to say is settled on hidden surviving
entries; at ρ → ∞ this is the conditional mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from conceptrevive.revival.completion.conditional import conjugate_gradients
from conceptrevive.revival.completion.covariance import column_model, ledoit_wolf
from conceptrevive.revival.completion.holdout import hide_largest
from conceptrevive.revival.completion.layers import Filled, complete_with
from conceptrevive.revival.completion.problems import Completion, Problem

#: Multiples of Ledoit and Wolf's ridge tried for the columns.
MULTIPLES = (1.0, 3.0, 10.0, math.inf)


def complete_joint(
    weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor] | None = None
) -> dict[str, Completion]:
    """`complete` by `joint_mean`."""
    return complete_with(_fill, weights, masks, solver="joint")


def _fill(problems: Sequence[Problem]) -> list[Filled]:
    return [joint_mean(p.z, p.gaps, name=p.name) for p in problems]


def joint_mean(
    z: torch.Tensor,
    missing: torch.Tensor,
    *,
    ridge: float | None = None,
    multiple: float | None = None,
    limit: int = 200,
    tolerance: float | None = None,
    name: str = "weight",
) -> tuple[torch.Tensor, int, bool]:
    """Fill the missing entries of one matrix.

    Args:
        z: (rows, columns) float32 or float64, 0 where missing. missing: bool.
        ridge: of the rows' covariance, as in `conditional_mean`.
        multiple: of Ledoit and Wolf's ridge for the columns' covariance; None takes
            `choose_multiple`'s.
        limit, tolerance: conjugate-gradient steps and relative residual (None: 1e-6).

    Returns: the filled matrix in z's dtype, steps, whether the tolerance was met.
    """
    if multiple is None:
        multiple = choose_multiple(z, missing, ridge, name)
    rows = column_model(z[None], None, ridge, name)[0][0]
    x = z.to(rows.dtype)
    at = missing.nonzero(as_tuple=True)
    columns_diagonal, times_columns = _columns_precision(x, multiple)

    def apply(p: torch.Tensor) -> torch.Tensor:
        full = torch.zeros_like(x)
        full[at] = p[0]
        return (rows @ times_columns(full))[at][None]

    right = -(rows @ times_columns(x))[at][None]
    diagonal = (rows.diagonal()[at[0]] * columns_diagonal[at[1]])[None]
    found, steps, converged = conjugate_gradients(apply, right, diagonal, limit, tolerance or 1e-6)
    out = x.clone()
    out[at] = found[0]
    return out.to(z.dtype), steps, bool(converged.all())


def _columns_precision(x: torch.Tensor, multiple: float):
    """Diagonal of K_columns, and X ↦ X K_columns, both in units of 1/ρ (Woodbury)."""
    n = x.shape[1]
    if math.isinf(multiple):
        return torch.ones(n, dtype=x.dtype, device=x.device), lambda p: p
    level = (multiple * ledoit_wolf(x.T) * (x * x).sum() / n).clamp_min(
        1e-30
    )  # d times the columns' ridge
    gram = x @ x.T
    gram.diagonal().add_(level)
    h = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    return 1 - (x * (h @ x)).sum(0), lambda p: p - ((p @ x.T) @ h) @ x


def choose_multiple(
    z: torch.Tensor, missing: torch.Tensor, ridge: float | None = None, name: str = "weight"
) -> float:
    """The multiple with the least squared error on hidden surviving entries."""
    hidden = hide_largest(z, missing)

    def error(multiple: float) -> float:
        x, _, _ = joint_mean(
            z.masked_fill(hidden, 0),
            missing | hidden,
            ridge=ridge,
            multiple=multiple,
            limit=50,
            tolerance=1e-3,
            name=name,
        )
        return float(((x - z)[hidden].double() ** 2).sum())

    return min(MULTIPLES, key=error)
