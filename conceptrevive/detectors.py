"""What pruning and revival leave in one matrix. Values only: no names, no original, no calibration here.

Every test gives a p-value (a Chernoff bound, so an upper limit for it, kept as log10) and an effect size. Both axes of a
matrix may be its output rows, so both are tried where that matters, at the price of a factor 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

BLOCKS = (32, 64, 128)  # entries that share a scale where quantisation has one per block
COUNTED, LOOKED = 8192, 1024  # entries of a row in which repeats are sought; of them those that show a coarse grid
LEAST = 64  # live entries, and 4 rows and columns: below that a matrix says nothing
#: Float formats from coarse to fine, and the relative step between their numbers.
ROUNDINGS = {torch.float8_e5m2: 2.0**-2, torch.float8_e4m3fn: 2.0**-3, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}


@dataclass(frozen=True)
class Evidence:
    """One test's answer on one matrix.

    Attributes:
        test: "zeros", "repeats" or "noise".
        log_p: log10 of (an upper bound of) the probability of as much under the null hypothesis.
        effect: its size, in the unit named by the test's docstring; 0 where there is nothing.
        detail: numbers behind it.
    """

    test: str
    log_p: float = 0.0
    effect: float = 0.0
    detail: dict[str, float] = field(default_factory=dict)


def binomial_tail(hits: float, n: float, p: float) -> float:
    """log10 bound of P(X ≥ hits), X ~ Binomial(n, p): exp(−n·KL(hits/n ‖ p)) (Chernoff 1952)."""
    q = hits / n if n else 0.0
    if q <= p:
        return 0.0
    miss = (1 - q) * math.log((1 - q) / (1 - p)) if q < 1 else 0.0
    return -n * (q * math.log(q / p) + miss) / math.log(10)


def poisson_tail(hits: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """log10 bound of P(X ≥ hits), X ~ Poisson(mean), elementwise."""
    hits, mean = hits.double(), mean.double().clamp_min(1e-300)
    bound = hits - mean + torch.special.xlogy(hits, mean / hits.clamp_min(1e-300))
    return torch.where(hits > mean, bound, 0.0) / math.log(10)


def chi2_tail(ratio: float, freedom: int) -> float:
    """log10 bound of the tail beyond ratio = χ²/freedom, on whichever side of 1 it lies."""
    if ratio <= 0:
        return -math.inf
    return -freedom / 2 * (ratio - 1 - math.log(ratio)) / math.log(10)


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """(rows, the rest): convolutions become matrices by flattening all but the first axis."""
    return weight.reshape(weight.shape[0], -1) if weight.ndim > 1 else weight.reshape(1, -1)


def live(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns with a non-zero entry: bool (rows,), bool (columns,)."""
    there = weight != 0
    return there.any(1), there.any(0)


def testable(weight: torch.Tensor) -> bool:
    """Whether a matrix is large enough to say anything."""
    return weight.ndim == 2 and min(weight.shape) >= 4 and weight.numel() >= LEAST


def rounding(weight: torch.Tensor) -> float:
    """Relative step of the coarsest float format that holds every entry exactly: what arithmetic it may have been through."""
    for dtype, step in ROUNDINGS.items():
        if torch.equal(weight.to(dtype).to(weight.dtype), weight):
            return step
    return 2.0**-23


def find_zeros(weight: torch.Tensor) -> Evidence:
    """Scattered exact zeros beyond rounding, cancellation and underflow. Effect: their share of the live entries.

    Dead rows and columns are taken out first. A zero can arise from rounding to a grid, which puts half as many
    entries on 0 as on its first two levels ±q, whatever q is, one for all or one per row, column or block; from sums that cancel, as often as entries lie within one
    rounding step of a typical one; and from float16's smallest step, 2⁻²⁴, in any dtype, as weights change dtype.
    Against a grid the rows (or columns) with a zero are counted; against the others all zeros but those of the twentieth of
    rows and columns that has most. Blocks, triangles and tables of two values do not count.
    """
    rows, columns = live(weight)
    kept = weight[rows][:, columns]
    w = kept.abs().double()
    if not testable(w):
        return Evidence("zeros")
    zero = w == 0
    spread = min(int(zero.any(0).sum()), int(zero.any(1).sum()))
    total = int(zero.sum())
    detail = {"zeros": total, "dead_rows": int((~rows).sum()), "dead_columns": int((~columns).sum())}
    if not spread:
        return Evidence("zeros", detail=detail)
    there = w[~zero]
    level = _first_level(weight)
    near, middle = torch.quantile(there[: 1 << 22], torch.tensor([0.01, 0.5], dtype=w.dtype)).tolist()
    step = max(2.0**-24, rounding(kept) * middle)
    by_rounding = w.numel() * min(0.01 / near * step, 1.0)  # 1 % of the entries lie within ± near
    beside = float((zero[:, 1:] & zero[:, :-1]).sum() / max(1, int(zero[:, :-1].sum())))
    detail |= {"first_level": level, "by_rounding": by_rounding, "beside": beside}
    blocks = 1 - beside < (1 - total / w.numel()) / 2 and beside > 0.9
    if blocks or level + int((there == there.max()).sum()) >= len(there):
        return Evidence("zeros", detail=detail | {"structured": 1})
    trimmed = zero[_usual(zero.sum(1))][:, _usual(zero.sum(0))].sum()
    log_p = max(binomial_tail(spread, spread + level, 1 / 3), float(poisson_tail(trimmed, torch.tensor(by_rounding))))
    detail["gap"] = float(torch.quantile(there[: 1 << 22], 0.001) / middle)
    return Evidence("zeros", log_p, total / w.numel(), detail)


def _first_level(weight: torch.Tensor) -> int:
    """Entries on the first level above 0 of a grid: the matrix's own, or those of its rows, columns or blocks.

    Of rows, columns and blocks the smallest magnitude counts only where it stands more than once.
    """
    v = weight.abs().float()
    v = v.masked_fill(v == 0, math.inf)
    most = int((v == v.min()).sum())
    blocks = [x.reshape(-1, size) for x in (v, v.T) for size in BLOCKS if v.numel() % size == 0]
    for groups in (v, v.T, *blocks):
        least = groups.amin(1, keepdim=True)
        again = ((groups == least) & torch.isfinite(least)).sum(1) - 1
        most = max(most, int(again.clamp_min(0).sum()))
    return most


def _usual(count: torch.Tensor) -> torch.Tensor:
    """Indices without the twentieth (at least one) of the largest counts."""
    return count.argsort()[: len(count) - max(1, len(count) // 20)]


def fingerprint(zero: torch.Tensor) -> dict[str, float]:
    """How zeros lie: Wanda's choice (so many per row, of the best columns) has even rows and favoured columns.

    Args:
        zero: bool (rows, columns), True = zero.

    Returns:
        rows, columns: variance of the counts over what independent zeros give, for rows given the columns' shares;
        rows_log_p, columns_log_p; "wanda" 1 if rows are evener and columns less even than chance, both at 0.001.
    """
    z = zero.double()
    share = z.mean(0)
    expected = float((share * (1 - share)).sum())
    overall = float(share.mean())
    if expected == 0 or min(z.shape) < 4:
        return {"rows": 1.0, "columns": 1.0, "rows_log_p": 0.0, "columns_log_p": 0.0, "wanda": 0}
    row = float(z.sum(1).var()) / expected
    column = float(z.sum(0).var()) / (z.shape[0] * overall * (1 - overall))
    row_p = chi2_tail(row, z.shape[0] - 1) if row < 1 else 0.0
    column_p = chi2_tail(column, z.shape[1] - 1) if column > 1 else 0.0
    return {
        "rows": row, "columns": column, "rows_log_p": max(row_p, -999.0), "columns_log_p": max(column_p, -999.0),
        "wanda": int(row_p < -3 and column_p < -3),
    }  # fmt: skip


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
        p = poisson_tail(length[i], around.clamp_min(1)) + torch.log10(torch.as_tensor(tries).double())
        chosen = torch.where(p < log_p, i, chosen)
        log_p = torch.minimum(log_p, p)
    hit = (log_p < -3) & ~grid
    hits = int(hit.sum())
    detail = {"rows": hits, "of": count, "grid_rows": int(grid.sum())}
    if not hits:
        return Evidence("repeats", detail=detail)
    shared = float(level[chosen[hit]].unique(return_counts=True)[1].max() / hits)
    detail |= {
        "shared": shared, "at_maximum": float((chosen == last)[hit].double().mean()),
        "entries": float(length[chosen[hit]].double().mean()),
    }  # fmt: skip
    if shared > 0.5 and hits > 2:
        return Evidence("repeats", detail=detail | {"clipped": 1})
    return Evidence("repeats", binomial_tail(hits, count, 1e-3), hits / count, detail)
