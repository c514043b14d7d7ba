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
from conceptrevive.revival.completion.ridge import search_ridge

#: float32 is used where cond₁(C) · 2⁻²⁴, the relative error it may cause, stays below this.
FLOAT32_ERROR = 1e-3

#: Rows of a block where the Gram matrix is formed by halves.
GRAM_ROWS = 160


def gram(z: Float[Tensor, "*layers rows columns"]) -> Float[Tensor, "*layers rows rows"]:
    """ZZᵀ; on a processor its lower half is multiplied, block by block, and mirrored."""
    d = z.shape[-2]
    if d <= GRAM_ROWS or z.device.type != "cpu":
        return z @ z.mT
    out = z.new_empty(*z.shape[:-2], d, d)
    for first in range(0, d, GRAM_ROWS):
        last = min(first + GRAM_ROWS, d)
        strip = z[..., first:last, :] @ z[..., :last, :].mT
        out[..., first:last, :last] = strip
        out[..., :first, first:last] = strip[..., :first].mT
    return out


def norm_1(c: Float[Tensor, "*layers rows rows"]) -> Float[Tensor, "*layers"]:
    """`torch.linalg.matrix_norm(c, 1)`, faster on a processor."""
    return c.abs().sum(-2).amax(-1)


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
    c, k = gram(z).div_(n), None
    level = c.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)  # survivors may all be 0
    if ridge is None:
        relative, found = search_ridge(z, c)
        inverses = [inverse for inverse in found if inverse is not None]
        if side is None and len(inverses) == len(z):
            k = torch.stack(inverses) if len(inverses) > 1 else inverses[0][None]
    else:
        relative = torch.full_like(level, ridge)
    c.diagonal(dim1=-2, dim2=-1).add_((relative * level)[..., None])
    offset = None
    if side is not None:
        cross = z @ side.mT / n
        cross = cross * cross_share(z, side, cross)[..., None, None]
        regression = cross @ column_model(side, None, None, name)[0].to(z.dtype)
        offset = regression @ side
        c = c - regression @ cross.mT
    if k is None:
        factor, failed = torch.linalg.cholesky_ex(c)
        k = None if failed.any() else torch.cholesky_inverse(factor).mT
    if k is not None:
        condition = norm_1(c) * norm_1(k)
        if z.dtype == torch.float64 or bool((condition * 2.0**-24 <= FLOAT32_ERROR).all()):
            return k, offset
    if z.dtype != torch.float64:
        return column_model(z.double(), None if side is None else side.double(), ridge, name)
    raise ConceptReviveError(
        f"{name}: the covariance with ridge {ridge} is singular: raise the ridge, or leave it out"
    )
