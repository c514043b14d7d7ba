"""The columns of a layer as Gaussian samples: their covariance's inverse, and their mean given side information.

Side information is the intact first feed-forward layer. Column j of `ff.net.2` multiplies GEGLU unit j, whose own input
weights u_j, row j of the value half of `ff.net.0.proj`, no pruning has touched. Turning the signs of both leaves the
network as it is, so they are drawn together and their covariance may carry signs: given u_j a column has the mean B u_j.
The gate half has no such symmetry, and nothing linear to say.
"""

from __future__ import annotations

import torch

from conceptrevive.errors import ConceptReviveError

#: float32 is used where cond₁(C) · 2⁻²⁴, the relative error it may cause, stays below this.
FLOAT32_ERROR = 1e-3


def ledoit_wolf(z: torch.Tensor, gram: torch.Tensor | None = None) -> torch.Tensor:
    """Shrinkage of ZZᵀ/n towards a multiple of the identity, as a ridge relative to its mean diagonal.

    Ledoit and Wolf (2004), known mean zero: with S = ZZᵀ/n and μ its mean diagonal, (1 − s)S + sμI has the least
    expected squared error; ridge = s / (1 − s). No entry but the surviving ones is used.

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


def cross_share(z: torch.Tensor, side: torch.Tensor, cross: torch.Tensor) -> torch.Tensor:
    """How much of the covariance of `z` with `side` to believe, in [0, 1]: the part of its square that is not noise.

    The shrinkage towards 0 with the least expected squared error, by Ledoit and Wolf's argument.

    Args:
        z: (…, rows, columns). side: (…, any rows, columns). cross: z sideᵀ / columns.
    """
    n = z.shape[-1]
    square = (cross * cross).sum((-2, -1))
    noise = ((z * z).sum(-2) * (side * side).sum(-2)).sum(-1) / n**2 - square / n
    return 1 - (noise.clamp_min(0) / square.clamp_min(torch.finfo(z.dtype).tiny)).clamp_max(1)


def column_model(
    z: torch.Tensor, side: torch.Tensor | None = None, ridge: float | None = None, name: str = "weight"
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """K = (ZZᵀ/n + ridge · mean diagonal)⁻¹, and the columns' means if there is side information.

    In float32 where the condition number allows and `z` is no finer, for all of a stack or for none.

    Args:
        z: (…, rows, columns) float32 or float64, 0 where missing; no row and no column empty.
        side: (…, any rows, columns), intact. ridge: None takes `ledoit_wolf`'s.

    Returns: (…, rows, rows), its dtype the one to go on in, and None or (…, rows, columns).

    Raises:
        ConceptReviveError: the covariance is not positive definite, even in float64.
    """
    n = z.shape[-1]
    c = z @ z.mT
    relative = ledoit_wolf(z, c) if ridge is None else torch.full_like(z[..., 0, 0], ridge)
    c /= n
    level = c.diagonal(dim1=-2, dim2=-1).mean(-1)
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
    raise ConceptReviveError(f"{name}: the covariance with ridge {ridge} is singular: raise the ridge, or leave it out")
