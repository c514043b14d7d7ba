"""Could it be revived? Signs that completion would get right, estimated from the pruned weights
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from conceptrevive.intervals import Rate
from conceptrevive.revival.completion.solvers import complete_matrix
from conceptrevive.revival.defaults import TOP_K
from conceptrevive.revival.signs import retain_signs

SWEEPS = 30  # conjugate-gradient steps: signs settle long before the residual does

MOST = (1024, 2048)  # rows and columns taken from a larger matrix


@dataclass(frozen=True)
class Recoverability:
    """Share of hidden surviving signs that completion gets right; a coin scores 0.5.

    Attributes: signs: over all hidden entries. kept: over the `TOP_K` share with the largest
        completed magnitude. agreement: completed value times true sign of some hidden entries;
        positive where the sign is right.
    """

    signs: Rate
    kept: Rate
    agreement: torch.Tensor = field(
        default_factory=lambda: torch.empty(0), repr=False, compare=False
    )


def hide_like_pruned(weight: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Survivors to hide: every second pruned column lends its count to one that was hardly pruned.

    Borrowers are of the half with the fewest zeros, those with the largest weights for their rows:
    such columns are pruned. As many entries as were lent are hidden there, largest |w| for their
    rows first. So the hidden have the magnitudes and the crowding of the pruned; merely the largest
    survivors would have neither.

    Args:
        weight, mask: (rows, columns); mask True = pruned. Values at pruned entries are not used.

    Returns: bool (rows, columns), True = hide; never where `mask` is.
    """
    count = mask.sum(0)
    order = count.argsort(descending=True, stable=True)
    lenders = order[count[order] > 0][::2]
    alive = weight.masked_fill(mask, 0)
    size = alive.abs() / alive.square().mean(1, keepdim=True).sqrt().clamp_min(1e-30)
    idle = order.flip(0)[: max(len(lenders), len(count) // 2)]
    borrowers = idle[size[:, idle].square().mean(0).argsort(descending=True)][: len(lenders)]
    place = size.masked_fill(mask, -1.0)[:, borrowers].argsort(0, descending=True)
    chosen = torch.arange(len(weight), device=weight.device)[:, None] < count[lenders]
    hidden = torch.zeros_like(mask)
    hidden[:, borrowers] = torch.zeros_like(chosen).scatter(0, place, chosen)
    return hidden & ~mask


def estimate_recoverability(
    weight: torch.Tensor, mask: torch.Tensor | None = None, seed: int = 0
) -> Recoverability:
    """Hide surviving entries chosen like the pruned ones, complete, and compare their signs.

    Args:
        weight: (rows, columns), any float dtype. mask: True = pruned; None takes the exact zeros.
        seed: which rows and columns of a large matrix are taken.

    Returns: `Recoverability`; rates with n = 0 where nothing could be hidden. Entries of one column
        are not independent, so the intervals are a lower bound of the uncertainty.
    """
    mask = weight == 0 if mask is None else mask
    generator = torch.Generator().manual_seed(seed)
    for axis, most in enumerate(MOST):
        if weight.shape[axis] > most:
            index = torch.randperm(weight.shape[axis], generator=generator)[:most].sort().values
            weight, mask = weight.index_select(axis, index), mask.index_select(axis, index)
    rows, columns = ~mask.all(1), ~mask.all(0)
    weight, mask = weight[rows][:, columns].float(), mask[rows][:, columns]
    hidden = hide_like_pruned(weight, mask)
    if not hidden.any():
        return Recoverability(Rate.of([]), Rate.of([]))
    gaps = mask | hidden
    done = complete_matrix(weight.masked_fill(gaps, 0), gaps, max_iterations=SWEEPS)
    right = done.weight.sign() == weight.sign()
    only = type(done)(done.weight, hidden, done.solver, done.iterations, done.converged)
    kept = retain_signs(only, TOP_K) != 0
    agreement = (done.weight * weight.sign())[hidden][:20000]
    return Recoverability(Rate.of(right[hidden].tolist()), Rate.of(right[kept].tolist()), agreement)
