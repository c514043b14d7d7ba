"""The Gaussian conditional mean of pruned entries given the surviving ones, in closed form.

It does the work of the paper's completion (§3.2).

The n columns of a layer are taken as samples with covariance C = ZZᵀ/n + ridge, Z the pruned
matrix. With K = C⁻¹ the mean of a column's missing entries m given its observed ones o is x_m =
−K_mm⁻¹ K_mo x_o: one inverse per layer, then conjugate gradients on the missing entries alone.
Nothing but matrix products, so it runs as it is on any device. The covariance is in
`covariance.py`, with its ridge and its precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from conceptrevive.revival.completion.covariance import column_model

#: Columns with at most this share of their rows missing are solved on gathered systems, the rest on
#: the whole K.
GATHER_SHARE = 0.1

#: Entries gathered at a time, 64 MiB in float32, and the most padding by rows: a quarter.
GATHER_ENTRIES = 1 << 24

PADDING = 1.25


#: x ↦ K_mm x for some columns.
Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Columns:
    """Columns of a stack of matrices with about equally many missing entries, padded to the most.

    Attributes:
        layer, column: which matrix of the stack and which of its columns.
        rows: row of each missing entry.
        valid: False where padded.
    """

    layer: Int[Tensor, " c"]
    column: Int[Tensor, " c"]
    rows: Int[Tensor, "c m"]
    valid: Bool[Tensor, "c m"]

    @property
    def entries(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Indices of the missing entries in a stack; pair with `x[valid]`."""
        c, m = self.valid.nonzero(as_tuple=True)
        return self.layer[c], self.rows[c, m], self.column[c]

    def gather(self, x: Float[Tensor, "layers rows columns"]) -> Float[Tensor, "c m"]:
        """x at the missing entries, (c, m), 0 where padded."""
        out = torch.zeros(self.valid.shape, dtype=x.dtype, device=x.device)
        out[self.valid] = x[self.entries]
        return out

    def blocks(self, k: Float[Tensor, "layers rows rows"]) -> Float[Tensor, "c m m"]:
        """K_mm of every column, (c, m, m), the identity where padded."""
        block = k[self.layer[:, None, None], self.rows[:, :, None], self.rows[:, None, :]]
        block = block * (self.valid[:, :, None] & self.valid[:, None, :])
        block.diagonal(dim1=-2, dim2=-1).add_((~self.valid).to(k.dtype))
        return block


def by_missing(
    missing: Bool[Tensor, "layers rows columns"], entries: int = GATHER_ENTRIES
) -> Iterator[Columns]:
    """The columns with missing entries, few first, in parts of about `entries` gathered numbers.

    Args:
        missing: bool (layers, rows, columns).
    """
    counts = missing.sum(-2)
    layer, column = counts.nonzero(as_tuple=True)
    counts, order = counts[layer, column].sort(stable=True)
    layer, column, sizes = layer[order], column[order], counts.tolist()
    first = 0
    while first < len(sizes):
        last = first + 1
        most = PADDING * sizes[first] + 4
        while (
            last < len(sizes)
            and sizes[last] <= most
            and (last + 1 - first) * sizes[last] ** 2 <= entries
        ):
            last += 1
        part, most = slice(first, last), sizes[last - 1]
        rows = (
            (~missing[layer[part], :, column[part]])
            .to(torch.uint8)
            .argsort(dim=1, stable=True)[:, :most]
        )
        valid = torch.arange(most, device=missing.device) < counts[part, None]
        yield Columns(layer[part], column[part], rows, valid)
        first = last


def conjugate_gradients(
    apply: Apply,
    right: Float[Tensor, "c m"],
    diagonal: Float[Tensor, "c m"],
    limit: int,
    goal: float,
) -> tuple[Float[Tensor, "c m"], int, Bool[Tensor, " c"]]:
    """Solve one positive definite system per row of `right`, preconditioned by the diagonal.

    A row rests once its residual is below `goal` times its right side, so rows do not depend on
    their company.

    Returns: the solution, steps taken, bool (c,) whether each row met the goal.
    """
    tiny = torch.finfo(right.dtype).tiny
    x, r = torch.zeros_like(right), right
    y = r / diagonal
    p, rho = y, (r * y).sum(-1)
    enough = goal * torch.linalg.vector_norm(right, dim=-1)
    for step in range(limit + 1):
        working = torch.linalg.vector_norm(r, dim=-1) > enough
        if step == limit or not working.any():
            break
        q = apply(p)
        alpha = torch.where(working, rho / (p * q).sum(-1).clamp_min(tiny), 0)[:, None]
        x, r = x + alpha * p, r - alpha * q
        y = r / diagonal
        rho, before = (r * y).sum(-1), rho
        p = y + (rho / before.clamp_min(tiny))[:, None] * p
    return x, step, ~working


@dataclass(frozen=True)
class System:
    """K_mm x = right for some columns: what is solved, and where its unknowns stand.

    Attributes:
        columns: which unknowns.
        right, diagonal: right side −K_mo x_o and diagonal of K_mm.
        offset: what `side` predicts; the unknowns are what it leaves.
    """

    columns: Columns
    right: Float[Tensor, "c m"]
    offset: Float[Tensor, "c m"]
    diagonal: Float[Tensor, "c m"]
    apply: Apply


def systems(
    k: Float[Tensor, "layers rows rows"],
    z: Float[Tensor, "layers rows columns"],
    missing: Bool[Tensor, "layers rows columns"],
    offset: Float[Tensor, "layers rows columns"] | None = None,
) -> Iterator[System]:
    """The columns of a stack as systems.

    Gathered blocks where few rows are missing, the whole K where many are.

    Args:
        k: (layers, rows, rows). z: (layers, rows, columns), 0 where missing. missing: bool.
        offset: (layers, rows, columns), the columns' means; None is 0.
    """
    used = missing.any(-2).any(0)
    right = torch.zeros_like(z)
    right[..., used] = -(
        k @ (z if offset is None else (z - offset).masked_fill(missing, 0))[..., used]
    )
    heavy = missing.sum(-2) > GATHER_SHARE * z.shape[-2]

    def system(columns: Columns, diagonal: Float[Tensor, "c m"], apply: Apply) -> System:
        mine = columns.gather(right)
        return System(
            columns,
            mine,
            torch.zeros_like(mine) if offset is None else columns.gather(offset),
            diagonal,
            apply,
        )

    for columns in by_missing(missing & ~heavy[:, None, :]):
        block = columns.blocks(k)
        yield system(columns, block.diagonal(dim1=-2, dim2=-1), partial(_times, block))
    for layer in heavy.any(1).nonzero().flatten().tolist():
        column = heavy[layer].nonzero().squeeze(1)
        valid = missing[layer][:, column].T
        rows = torch.arange(z.shape[-2], device=z.device).expand_as(valid)
        columns = Columns(torch.full_like(column, layer), column, rows, valid)
        yield system(
            columns,
            k[layer].diagonal().expand(valid.shape),
            partial(_times_masked, k[layer], valid),
        )


def _times(block: Float[Tensor, "c m m"], p: Float[Tensor, "c m"]) -> Float[Tensor, "c m"]:
    return (block @ p[..., None]).squeeze(-1)


def _times_masked(
    k: Float[Tensor, "rows rows"], valid: Bool[Tensor, "c rows"], p: Float[Tensor, "c rows"]
) -> Float[Tensor, "c rows"]:
    return (p @ k) * valid


def conditional_mean(
    z: Float[Tensor, "layers rows columns"],
    missing: Bool[Tensor, "layers rows columns"],
    *,
    ridge: float | None = None,
    side: Float[Tensor, "layers any_rows columns"] | None = None,
    limit: int = 200,
    tolerance: float | None = None,
    name: str = "weight",
) -> tuple[Float[Tensor, "layers rows columns"], int, Bool[Tensor, " layers"]]:
    """Fill the missing entries of a stack of matrices of one shape.

    Args:
        z: (layers, rows, columns) float32 or float64, 0 where missing. missing: bool, the same
            shape.
        side, ridge: see `column_model`.
        limit: conjugate-gradient steps.
        tolerance: relative residual of every column; None takes 1e-8 in float64 and 1e-4 in
            float32.

    Returns: the filled stack in z's dtype, the most steps a column took, bool (layers,) whether all
    columns met the tolerance.
    """
    k, offset = column_model(z, side, ridge, name)
    x = z.to(k.dtype, copy=True)
    goal = tolerance or (1e-8 if k.dtype == torch.float64 else 1e-4)
    steps, converged = 0, torch.ones(len(z), dtype=torch.bool, device=z.device)
    for system in systems(k, x, missing, offset):
        found, n, ok = conjugate_gradients(system.apply, system.right, system.diagonal, limit, goal)
        x[system.columns.entries] = (found + system.offset)[system.columns.valid]
        steps = max(steps, n)
        converged[system.columns.layer[~ok]] = False
    return x.to(z.dtype), steps, converged
