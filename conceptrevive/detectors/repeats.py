"""One magnitude many times over in a row, as revival leaves it. Values only."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conceptrevive.detectors.evidence import Evidence, testable
from conceptrevive.detectors.lines import INDEPENDENT, evened, independence
from conceptrevive.detectors.tails import binomial_tail, poisson_tail

COUNTED = 8192  # entries of a row that are looked at: half precision repeats itself in longer ones

NEIGHBOURS = 8  # levels on either side of one that tell how many entries it should hold

RARE = -3.0  # log10 p of a row that counts

WORTH = -2.0  # log10 p above which it counts nowhere, so that nothing more is computed

MANTISSA = 0x7F_FFFF  # of a float32


def find_repeats(weight: Float[Tensor, "rows columns"]) -> Evidence:
    """One magnitude many times over in a row, as revival leaves it. Effect: share of such rows.

    A row counts if its fullest non-zero level |w|, or its largest, holds more entries than a
    Poisson variable with the mean of its 16 neighbouring levels would once in 1000. A level that
    most such rows share does not count (clipping); nor does a power of two, where training in
    bfloat16 stalls, as the step between numbers doubles there. Both axes. The test supposes that
    the values lie on no quantisation grid (`grid.on_grid`), and has no answer (detail "outside")
    where fewer than half of the lines are independent (`lines.independence`): lines that resemble
    one another repeat their magnitudes, as heavy decay leaves them.
    """
    if not testable(weight):
        return Evidence("repeats")
    both = [_repeated_rows(w) for w in (weight, weight.T)]
    best = min(both, key=lambda e: e.log_p)
    if best.log_p < WORTH and independence(evened(weight)) < INDEPENDENT:
        return Evidence("repeats", detail=best.detail | {"outside": 1})
    return Evidence("repeats", min(0.0, best.log_p + math.log10(2)), best.effect, best.detail)


def _repeated_rows(w: Float[Tensor, "rows columns"]) -> Evidence:
    bits = w[:, :COUNTED].abs().float().contiguous().view(torch.int32)
    count = len(bits)
    level, row, length = _levels(bits)
    levels = torch.bincount(row, minlength=count)
    first = torch.cumsum(levels, 0) - levels  # index of each row's first run
    last = first + levels - 1
    fullest = torch.zeros(count, dtype=torch.long).scatter_reduce(0, row, length, "amax")
    index = torch.arange(len(length))
    where = torch.full((count,), len(length)).scatter_reduce(
        0, row, torch.where(length == fullest[row], index, len(length)), "amin"
    )
    total = torch.cat([length.new_zeros(1), length.cumsum(0)])
    log_p = torch.zeros(count, dtype=torch.float64)
    chosen = last
    tries = levels.clamp_min(1)
    for i, tried in ((last, torch.ones_like(tries)), (where.clamp_max(len(length) - 1), tries)):
        low, high = torch.maximum(first, i - NEIGHBOURS), torch.minimum(last, i + NEIGHBOURS)
        around = (total[high + 1] - total[low] - length[i]) / (high - low).clamp_min(1)
        p = poisson_tail(length[i], around.clamp_min(1)) + torch.log10(tried.double())
        chosen = torch.where(p < log_p, i, chosen)
        log_p = torch.minimum(log_p, p)
    hit = log_p < RARE
    return _counted(hit, level[chosen], length[chosen], chosen == last)


def _levels(
    bits: Int[Tensor, "rows columns"],
) -> tuple[Int[Tensor, " levels"], Int[Tensor, " levels"], Int[Tensor, " levels"]]:
    """Every row's distinct magnitudes in order: their bits, their row, and how many entries hold
    them (0: not counted).
    """
    ordered = bits.sort(1).values
    start = torch.ones_like(ordered, dtype=torch.bool)
    start[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    position = start.flatten().nonzero().squeeze(1)
    level = ordered.flatten()[position]
    length = torch.diff(position, append=torch.tensor([ordered.numel()]))
    length = torch.where((level & MANTISSA) == 0, 0, length)  # 0 and the powers of two
    return level, position // bits.shape[1], length


def _counted(
    hit: Tensor, level: Int[Tensor, " rows"], length: Int[Tensor, " rows"], at_maximum: Tensor
) -> Evidence:
    """Evidence from the rows that are `hit`, by the level that stands out in each."""
    hits, count = int(hit.sum()), len(hit)
    detail: dict[str, float] = {"rows": hits, "of": count}
    if not hits:
        return Evidence("repeats", detail=detail)
    shared = float((level[hit] == level[hit].mode().values).sum() / hits)
    detail |= {
        "shared": shared,
        "at_maximum": float(at_maximum[hit].double().mean()),
        "entries": float(length[hit].double().mean()),
    }
    if shared > 0.5 and hits > 2:
        return Evidence("repeats", detail=detail | {"clipped": 1})
    return Evidence("repeats", binomial_tail(hits, count, 10**RARE), hits / count, detail)
