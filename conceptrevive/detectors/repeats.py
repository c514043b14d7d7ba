"""One magnitude many times over in a row, as revival leaves it. Values only."""

from __future__ import annotations

import math

import torch

from conceptrevive.detectors.evidence import Evidence, testable
from conceptrevive.detectors.tails import binomial_tail, poisson_tail

COUNTED, LOOKED = (
    8192,
    1024,
)  # entries of a row in which repeats are sought; of them those that show a coarse grid


def find_repeats(weight: torch.Tensor) -> Evidence:
    """One magnitude many times over in a row, as revival leaves it. Effect: share of such rows.

    A row counts if its fullest non-zero level |w|, or its largest, holds more entries than a Poisson variable with the
    mean of its 16 neighbouring levels would once in 1000. Rows on a coarse grid do not count; nor does a level
    that most such rows share (clipping); nor a power of two, where training in bfloat16 stalls, as the step between numbers
    doubles there. Both axes, at most `COUNTED` entries a row: in longer ones half precision repeats
    itself.
    """
    if not testable(weight):
        return Evidence("repeats")
    both = [_repeated_rows(w) for w in (weight, weight.T)]
    best = min(both, key=lambda e: e.log_p)
    return Evidence("repeats", min(0.0, best.log_p + math.log10(2)), best.effect, best.detail)


def _repeated_rows(w: torch.Tensor) -> Evidence:
    bits = w[:, :COUNTED].abs().float().contiguous().view(torch.int32)
    count, columns = bits.shape
    ordered = bits.sort(1).values
    start = torch.ones_like(ordered, dtype=torch.bool)
    start[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    position = start.flatten().nonzero().squeeze(1)
    level, row = ordered.flatten()[position], position // columns
    length = torch.diff(position, append=torch.tensor([ordered.numel()]))
    length = torch.where((level & 0x7F_FFFF) == 0, 0, length)  # 0 and the powers of two
    levels = torch.bincount(row, minlength=count)
    few = bits[:, :LOOKED].sort(1).values
    seen = 1 + (few[:, 1:] != few[:, :-1]).sum(1)
    grid = (seen * 4 < few.shape[1]) | (levels < 16)
    total = torch.cat([length.new_zeros(1), length.cumsum(0)])
    first = torch.cumsum(levels, 0) - levels  # index of each row's first run
    last = first + levels - 1
    fullest = torch.zeros(count, dtype=torch.long).scatter_reduce(0, row, length, "amax")
    where = torch.full((count,), len(length)).scatter_reduce(
        0, row, torch.where(length == fullest[row], torch.arange(len(length)), len(length)), "amin"
    )
    log_p = torch.zeros(count, dtype=torch.float64)
    chosen = last
    for i, tries in ((last, 1), (where.clamp_max(len(length) - 1), levels.clamp_min(1))):
        low, high = torch.maximum(first, i - 8), torch.minimum(last, i + 8)
        around = (total[high + 1] - total[low] - length[i]) / (high - low).clamp_min(1)
        p = poisson_tail(length[i], around.clamp_min(1)) + torch.log10(
            torch.as_tensor(tries).double()
        )
        chosen = torch.where(p < log_p, i, chosen)
        log_p = torch.minimum(log_p, p)
    hit = (log_p < -3) & ~grid
    hits = int(hit.sum())
    detail = {"rows": hits, "of": count, "grid_rows": int(grid.sum())}
    if not hits:
        return Evidence("repeats", detail=detail)
    shared = float(level[chosen[hit]].unique(return_counts=True)[1].max() / hits)
    detail |= {
        "shared": shared,
        "at_maximum": float((chosen == last)[hit].double().mean()),
        "entries": float(length[chosen[hit]].double().mean()),
    }
    if shared > 0.5 and hits > 2:
        return Evidence("repeats", detail=detail | {"clipped": 1})
    return Evidence("repeats", binomial_tail(hits, count, 1e-3), hits / count, detail)
