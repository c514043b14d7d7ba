"""The Gaussian conditional mean of pruned entries given the surviving ones, in closed form.

It does the work of the paper's completion (§3.2).

The n columns of a layer are taken as samples with covariance C = ZZᵀ/n + ridge, Z the pruned
matrix. With K = C⁻¹ the mean of a column's missing entries m given its observed ones o is x_m =
−K_mm⁻¹ K_mo x_o (Bishop 2006, §2.3.1): one inverse per layer, then a system for each column that
misses something. Where few rows are missing K_mm is gathered and factored, and the mean is exact;
where many are, conjugate gradients on the whole K cost less, and stop at a tolerance.
Nothing but matrix products and factors, so it runs as it is on any device. The covariance is in
`covariance.py`, with its ridge and its precision, and which columns go together in `columns.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.revival.completion.columns import Columns, Missing
from conceptrevive.revival.completion.covariance import column_model
from conceptrevive.revival.completion.right_sides import right_sides

#: Columns with at most this share of their rows missing are solved on gathered systems, the rest on
#: the whole K.
GATHER_SHARE = 0.1

#: Columns at rest are left out once fewer than this share still work.
WORKING_SHARE = 0.9

#: x ↦ K_mm x for some columns.
Apply = Callable[[Tensor], Tensor]


def conjugate_gradients(
    apply: Apply,
    right: Float[Tensor, "c m"],
    diagonal: Float[Tensor, "c m"],
    limit: int,
    goal: float,
    narrow: Callable[[Tensor], Apply] | None = None,
) -> tuple[Float[Tensor, "c m"], int, Bool[Tensor, " c"]]:
    """Solve one positive definite system per row of `right`, preconditioned by the diagonal.

    A row rests once its residual is below `goal` times its right side, so rows do not depend on
    their company.

    Args:
        narrow: rows ↦ `apply` for those rows alone, so that rows at rest cost nothing.

    Returns: the solution, steps taken, bool (c,) whether each row met the goal.
    """
    tiny = torch.finfo(right.dtype).tiny
    found, settled = torch.zeros_like(right), torch.ones_like(right[:, 0], dtype=torch.bool)
    rows = torch.arange(len(right), device=right.device)
    enough = goal * torch.linalg.vector_norm(right, dim=-1)
    x, r, p = torch.zeros_like(right), right.clone(), right / diagonal
    rho = (r * p).sum(-1)
    for step in range(limit + 1):
        working = torch.linalg.vector_norm(r, dim=-1) > enough
        left = int(working.sum())
        if step == limit or not left:
            break
        if narrow is not None and left < WORKING_SHARE * len(working):
            found[rows] = x
            mine = working.nonzero().squeeze(1)
            rows, working, apply = rows[mine], working[mine], narrow(rows[mine])
            x, r, p, rho, enough = x[mine], r[mine], p[mine], rho[mine], enough[mine]
            diagonal = diagonal[mine]
        q = apply(p)
        alpha = torch.where(working, rho / (p * q).sum(-1).clamp_min(tiny), 0)[:, None]
        x.addcmul_(alpha, p)
        r.addcmul_(alpha, q, value=-1)
        y = torch.div(r, diagonal, out=q)
        rho, before = (r * y).sum(-1), rho
        torch.addcmul(y, (rho / before.clamp_min(tiny))[:, None], p, out=p)
    found[rows], settled[rows] = x, ~working
    return found, step, settled


@dataclass(frozen=True)
class System:
    """K_mm x = right for some columns: what is solved, and where its unknowns stand.

    Attributes:
        columns: which unknowns.
        right, diagonal: right side −K_mo x_o and diagonal of K_mm.
        offset: what `side` predicts; the unknowns are what it leaves.
        block: K_mm itself, where it is gathered. narrow: see `conjugate_gradients`.
    """

    columns: Columns
    right: Float[Tensor, "c m"]
    offset: Float[Tensor, "c m"]
    diagonal: Float[Tensor, "c m"]
    apply: Apply
    block: Float[Tensor, "c m m"] | None = None
    narrow: Callable[[Tensor], Apply] | None = None

    def solve(
        self, limit: int, goal: float
    ) -> tuple[Float[Tensor, "c m"], int, Bool[Tensor, " c"]]:
        """By Cholesky factors where K_mm is there and positive definite to rounding, else by steps.

        Returns: as `conjugate_gradients`; factors take no steps.
        """
        if self.block is not None:
            factor, failed = torch.linalg.cholesky_ex(self.block, upper=True)
            if not failed.any():
                found = torch.cholesky_solve(self.right[..., None], factor, upper=True).squeeze(-1)
                return found, 0, failed == 0
        return conjugate_gradients(self.apply, self.right, self.diagonal, limit, goal, self.narrow)


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
    gaps, limit = Missing.of(missing), GATHER_SHARE * z.shape[-2]
    right = right_sides(k, z, gaps, offset)

    def system(
        columns: Columns,
        diagonal: Float[Tensor, "c m"],
        apply: Apply,
        block: Float[Tensor, "c m m"] | None = None,
        narrow: Callable[[Tensor], Apply] | None = None,
    ) -> System:
        mine = columns.pad(right[columns.at])
        means = torch.zeros_like(mine) if offset is None else columns.gather(offset)
        return System(columns, mine, means, diagonal, apply, block, narrow)

    padded = torch.nn.functional.pad(k, (0, 1, 0, 1))
    for columns in gaps.few(limit):
        block = columns.blocks(padded)
        yield system(columns, block.diagonal(dim1=-2, dim2=-1), partial(_times, block), block)
    for columns in gaps.many(limit):
        times = partial(_narrow, k[columns.layer[0]], columns.valid)
        diagonal = k[columns.layer[0]].diagonal().expand(columns.valid.shape)
        yield system(columns, diagonal, times(slice(None)), None, times)


def _times(block: Float[Tensor, "c m m"], p: Float[Tensor, "c m"]) -> Float[Tensor, "c m"]:
    return (block @ p[..., None]).squeeze(-1)


def _narrow(
    k: Float[Tensor, "rows rows"], valid: Bool[Tensor, "c rows"], which: Tensor | slice
) -> Apply:
    return partial(_times_masked, k, valid[which].to(k.dtype))


def _times_masked(
    k: Float[Tensor, "rows rows"], valid: Float[Tensor, "c rows"], p: Float[Tensor, "c rows"]
) -> Float[Tensor, "c rows"]:
    return (p @ k).mul_(valid)


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
        z: (layers, rows, columns) float32 or float64, 0 where missing; filled in place where it
            can be. missing: bool, the same shape.
        side, ridge: see `column_model`.
        limit: conjugate-gradient steps of columns that are not factored.
        tolerance: relative residual of every column; None takes 1e-8 in float64 and 1e-4 in
            float32.

    Returns: the filled stack in z's dtype, the most steps a column took, bool (layers,) whether all
    columns met the tolerance.
    """
    k, offset = column_model(z, side, ridge, name)
    x = z.to(k.dtype).contiguous()
    goal = tolerance or (1e-8 if k.dtype == torch.float64 else 1e-4)
    steps, converged = 0, torch.ones(len(z), dtype=torch.bool, device=z.device)
    for system in systems(k, x, missing, offset):
        found, n, ok = system.solve(limit, goal)
        system.columns.write(found if offset is None else found + system.offset, x)
        steps = max(steps, n)
        converged[system.columns.layer[~ok]] = False
    return x.to(z.dtype), steps, converged
