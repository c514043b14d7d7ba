"""Surviving entries hidden as if they had been pruned.

Ridges, priors and calibrations are chosen on them.

An attacker has no original to tune on, but he may prune further what he has, complete it, and
compare with what he hid.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def thresholds(
    z: Float[Tensor, "*layers rows columns"], missing: Bool[Tensor, "*layers rows columns"]
) -> Float[Tensor, "*layers rows columns"]:
    """What |w| must have exceeded to be pruned, as far as the survivors tell: t_ij = θ_i · a_j.

    Wanda scores are |w_ij| · A_j against a threshold of the row, so the survivors of a column with
    pruned entries obey |w_ij| / θ_i < 1 / A_j. θ_i is taken as the row's root mean square, a_j as
    the largest survivor of the column in units of it. A column without pruned entries says nothing
    and gets 0.

    Args:
        z: (…, rows, columns), 0 where missing. missing: bool.

    Returns: (…, rows, columns).
    """
    alive = (~missing).sum(-1, keepdim=True).clamp_min(1)
    theta = ((z * z).sum(-1, keepdim=True) / alive).sqrt().clamp_min(torch.finfo(z.dtype).tiny)
    return theta * (z.abs() / theta).amax(-2, keepdim=True) * missing.any(-2, keepdim=True)


def hide_largest(
    z: Float[Tensor, "*layers rows columns"],
    missing: Bool[Tensor, "*layers rows columns"],
    share: float = 0.25,
) -> Bool[Tensor, "*layers rows columns"]:
    """Surviving entries to hide: those that pruning would have taken next.

    Per row `share` times as many as were pruned there (rounded up), those nearest to their
    threshold.

    Args:
        z: (…, rows, columns), 0 where missing. missing: bool.

    Returns: bool (…, rows, columns), disjoint from `missing`.
    """
    limit = thresholds(z, missing)
    score = torch.where(
        missing | (limit == 0), 0, z.abs() / limit.clamp_min(torch.finfo(z.dtype).tiny)
    )
    rank = score.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    return (rank < share * missing.sum(-1, keepdim=True)) & (score > 0)
