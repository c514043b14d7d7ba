"""The columns of a layer as Gaussian samples: their inverse covariance and their mean.

Side information is the intact first feed-forward layer. Column j of `ff.net.2` multiplies GEGLU
unit j, whose own input weights u_j, row j of the value half of `ff.net.0.proj`, no pruning has
touched. Turning the signs of both leaves the network as it is, so they are drawn together and
their covariance may carry signs: given u_j a column has the mean B u_j. The gate half has no such
symmetry, and nothing linear to say.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError

#: float32 is used where cond₁(C) · 2⁻²⁴, the relative error it may cause, stays below this.
FLOAT32_ERROR = 1e-3

#: Ridges tried, from 1 down and up, and the columns on which they are.
RIDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)

LEFT_OUT_COLUMNS = 256


def ledoit_wolf(
    z: Float[Tensor, "*layers rows columns"], gram: Float[Tensor, "*layers n n"] | None = None
) -> Float[Tensor, "*layers"]:
    """Shrinkage of ZZᵀ/n towards the identity, as a ridge relative to its mean diagonal.

    Ledoit and Wolf (2004), known mean zero: with S = ZZᵀ/n and μ its mean diagonal, (1 − s)S + sμI
    has the least expected squared error; ridge = s / (1 − s). No entry but the surviving ones is
    used.

    Args:
        z: (…, rows, columns), columns are samples. gram: ZZᵀ or ZᵀZ, if it is there already.

    Returns: (…,), ≥ 0.
    """
    d, n = z.shape[-2:]
    if gram is None:
        gram = z @ z.mT if d <= n else z.mT @ z
    energy = (z * z).sum(-2)
    square = (gram * gram).sum((-2, -1)) / n**2
    distance = square - (energy.sum(-1) / n) ** 2 / d
    noise = (energy**2).sum(-1) / n**2 - square / n
    share = (noise.clamp_min(0) / distance.clamp_min(torch.finfo(z.dtype).tiny)).clamp_max(0.999)
    return share / (1 - share)


def leave_one_out_ridge(
    z: Float[Tensor, "layers rows columns"], c: Float[Tensor, "layers rows rows"] | None = None
) -> Float[Tensor, " layers"]:
    """The ridge that best predicts each surviving entry from the rest of its column.

    It is relative to the mean diagonal.

    Entry i of column z_j is predicted with both left out: j from the covariance, i from the column.
    With g = K z_j and h = z_jᵀ g the error is closed (Sherman and Morrison): (g_i n / (n − h)) /
    (K_ii + g_i² / (n − h)). Its mean square over the surviving entries of at most LEFT_OUT_COLUMNS
    columns is followed downhill along RIDGES.

    Args:
        z: (layers, rows, columns), 0 where missing. c: ZZᵀ/n, if it is there already.

    Returns: (layers,).
    """
    n = z.shape[-1]
    c, some = z @ z.mT / n if c is None else c, z[..., :: max(1, n // LEFT_OUT_COLUMNS)]
    level, seen = c.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30), some != 0
    errors: dict[int, Tensor] = {}

    def error(i: int) -> Float[Tensor, " layers"]:
        if i not in errors:
            shifted = c.clone()
            shifted.diagonal(dim1=-2, dim2=-1).add_((RIDGES[i] * level)[:, None])
            factor, failed = torch.linalg.cholesky_ex(shifted)
            k = torch.cholesky_inverse(factor)
            g = k @ some
            rest = (n - (some * g).sum(-2, keepdim=True)).clamp_min(1e-3)
            e = g * n / rest / (k.diagonal(dim1=-2, dim2=-1)[..., None] + g * g / rest)
            mean = (e * e * seen).sum((-2, -1)) / seen.sum((-2, -1)).clamp_min(1)
            errors[i] = torch.where((failed == 0) & torch.isfinite(mean), mean, torch.inf)
        return errors[i]

    best = torch.full_like(level, RIDGES.index(1.0), dtype=torch.long)
    for step in (-1, 1):
        moving = torch.ones_like(best, dtype=torch.bool)
        while moving.any():
            at = (best + step).clamp(0, len(RIDGES) - 1)
            here, there = (
                torch.stack([error(i)[j] for j, i in enumerate(x.tolist())]) for x in (best, at)
            )
            # Errors equal but for rounding must not choose: the order of rows and columns would.
            moving = moving & (there < here * (1 - 1e-6))
            best = torch.where(moving, at, best)
    return torch.tensor(RIDGES, dtype=z.dtype, device=z.device)[best]


def cross_share(
    z: Float[Tensor, "*layers rows columns"],
    side: Float[Tensor, "*layers any_rows columns"],
    cross: Float[Tensor, "*layers rows any_rows"],
) -> Float[Tensor, "*layers"]:
    """How much of the covariance of `z` with `side` to believe, in [0, 1].

    It is the part of its square that is not noise.

    The shrinkage towards 0 with the least expected squared error, by Ledoit and Wolf's argument.

    Args:
        z: (…, rows, columns). side: (…, any rows, columns). cross: z sideᵀ / columns.
    """
    n = z.shape[-1]
    square = (cross * cross).sum((-2, -1))
    noise = ((z * z).sum(-2) * (side * side).sum(-2)).sum(-1) / n**2 - square / n
    return 1 - (noise.clamp_min(0) / square.clamp_min(torch.finfo(z.dtype).tiny)).clamp_max(1)


def column_model(
    z: Float[Tensor, "layers rows columns"],
    side: Float[Tensor, "layers any_rows columns"] | None = None,
    ridge: float | None = None,
    name: str = "weight",
) -> tuple[Float[Tensor, "layers rows rows"], Float[Tensor, "layers rows columns"] | None]:
    """K = (ZZᵀ/n + ridge · mean diagonal)⁻¹, and the columns' means if there is side information.

    In float32 where the condition number allows and `z` is no finer, for all of a stack or for
    none.

    Args:
        z: (layers, rows, columns) float32 or float64, 0 where missing; no row and no column empty.
        side: (layers, any rows, columns), intact. ridge: None takes `leave_one_out_ridge`'s.

    Returns: (layers, rows, rows), its dtype the one to go on in, and None or (layers, rows,
    columns).

    Raises:
        ConceptReviveError: the covariance is not positive definite, even in float64.
    """
    n = z.shape[-1]
    c = z @ z.mT / n
    relative = leave_one_out_ridge(z, c) if ridge is None else torch.full_like(z[..., 0, 0], ridge)
    level = c.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)  # survivors may all be 0
    c.diagonal(dim1=-2, dim2=-1).add_((relative * level)[..., None])
    offset = None
    if side is not None:
        cross = z @ side.mT / n
        cross = cross * cross_share(z, side, cross)[..., None, None]
        regression = cross @ column_model(side, None, None, name)[0].to(z.dtype)
        offset = regression @ side
        c = c - regression @ cross.mT
    factor, failed = torch.linalg.cholesky_ex(c)
    if not failed.any():
        k = torch.cholesky_inverse(factor)
        condition = torch.linalg.matrix_norm(c, 1) * torch.linalg.matrix_norm(k, 1)
        if z.dtype == torch.float64 or bool((condition * 2.0**-24 <= FLOAT32_ERROR).all()):
            return k, offset
    if z.dtype != torch.float64:
        return column_model(z.double(), None if side is None else side.double(), ridge, name)
    raise ConceptReviveError(
        f"{name}: the covariance with ridge {ridge} is singular: raise the ridge, or leave it out"
    )
