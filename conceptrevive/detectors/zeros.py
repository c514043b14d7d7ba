"""Exact zeros that pruning leaves, and how they lie. Values only: no names, no original, no calibration here.

Every test gives a p-value (a Chernoff bound, so an upper limit for it, kept as log10) and an effect size. Both axes of a
matrix may be its output rows, so both are tried where that matters, at the price of a factor 2.
"""

from __future__ import annotations

import math

import torch

from conceptrevive.detectors.evidence import Evidence, live, testable
from conceptrevive.detectors.tails import binomial_tail, chi2_tail, poisson_tail

BLOCKS = (32, 64, 128)  # entries that share a scale where quantisation has one per block

#: Float formats from coarse to fine, and the relative step between their numbers.
ROUNDINGS = {
    torch.float8_e5m2: 2.0**-2,
    torch.float8_e4m3fn: 2.0**-3,
    torch.bfloat16: 2.0**-7,
    torch.float16: 2.0**-10,
}


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
    detail = {
        "zeros": total,
        "dead_rows": int((~rows).sum()),
        "dead_columns": int((~columns).sum()),
    }
    if not spread:
        return Evidence("zeros", detail=detail)
    there = w[~zero]
    level = _first_level(weight)
    near, middle = torch.quantile(
        there[: 1 << 22], torch.tensor([0.01, 0.5], dtype=w.dtype)
    ).tolist()
    step = max(2.0**-24, rounding(kept) * middle)
    by_rounding = w.numel() * min(0.01 / near * step, 1.0)  # 1 % of the entries lie within ± near
    beside = float((zero[:, 1:] & zero[:, :-1]).sum() / max(1, int(zero[:, :-1].sum())))
    detail |= {"first_level": level, "by_rounding": by_rounding, "beside": beside}
    blocks = 1 - beside < (1 - total / w.numel()) / 2 and beside > 0.9
    if blocks or level + int((there == there.max()).sum()) >= len(there):
        return Evidence("zeros", detail=detail | {"structured": 1})
    trimmed = zero[_usual(zero.sum(1))][:, _usual(zero.sum(0))].sum()
    log_p = max(
        binomial_tail(spread, spread + level, 1 / 3),
        float(poisson_tail(trimmed, torch.tensor(by_rounding))),
    )
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
        "rows": row,
        "columns": column,
        "rows_log_p": max(row_p, -999.0),
        "columns_log_p": max(column_p, -999.0),
        "wanda": int(row_p < -3 and column_p < -3),
    }
