"""Exact zeros that pruning leaves, and how they lie. Values only: no names, no original, no
calibration here.

Every test gives a p-value (a Chernoff bound, so an upper limit for it, kept as log10) and an effect
size. Both axes of a matrix may be its output rows, so both are tried where that matters, at the
price of a factor 2. The tests suppose that the values lie on no quantisation grid; `grid.on_grid`
decides that before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from conceptrevive.detectors.evidence import Evidence, as_matrix, live, testable
from conceptrevive.detectors.grid import on_grid
from conceptrevive.detectors.tails import chi2_tail, poisson_tail

#: Float formats from coarse to fine, and the relative step between their numbers.
ROUNDINGS = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}

UNDERFLOW = 2.0**-24  # float16's smallest step

SUBNORMAL = 2.0**-14  # below, float16 has no other

QUANTILES = 1 << 22  # entries that quantiles are taken of


def rounding(weight: Tensor) -> float:
    """Relative step of the coarsest float format that holds every entry: arithmetic it may have
    been through.
    """
    for dtype, step in ROUNDINGS.items():
        if torch.equal(weight.to(dtype).to(weight.dtype), weight):
            return step
    return 2.0**-23


def find_zeros(weight: Float[Tensor, "rows columns"]) -> Evidence:
    """Scattered exact zeros beyond rounding, cancellation and underflow. Effect: their share of the
    live entries.

    Dead rows and columns are taken out first. A zero can arise from sums that cancel, as often as
    entries lie within one rounding step of a typical one; and from float16's smallest step, 2⁻²⁴,
    in any dtype, as weights change dtype. Counted are all zeros but those of the twentieth of rows
    and columns that has most. Blocks, triangles and tables of two values do not count.
    """
    rows, columns = live(weight)
    kept = weight[rows][:, columns]
    if not testable(kept):
        return Evidence("zeros")
    zero = kept == 0
    total = int(zero.sum())
    detail: dict[str, float] = {
        "zeros": total,
        "dead_rows": int((~rows).sum()),
        "dead_columns": int((~columns).sum()),
    }
    if not total:
        return Evidence("zeros", detail=detail)
    explained = zeros_by_rounding(kept)
    detail |= {"by_rounding": explained, "beside": _beside(zero)}
    if _structured(kept, zero):
        return Evidence("zeros", detail=detail | {"structured": 1})
    there = kept.abs().double()[~zero][:QUANTILES]
    detail["gap"] = float(_quantiles(there, [0.001])[0] / there.median())
    trimmed = zero[_usual(zero.sum(1))][:, _usual(zero.sum(0))].sum()
    log_p = float(poisson_tail(trimmed, torch.tensor(explained)))
    return Evidence("zeros", log_p, total / kept.numel(), detail)


def zeros_by_rounding(weight: Float[Tensor, "rows columns"]) -> float:
    """How many exact zeros cancelling sums and underflow explain in a matrix with other entries; an
    expectation.
    """
    there = weight.abs().double()
    there = there[there != 0][:QUANTILES]
    near, middle = _quantiles(there, [0.01, 0.5])
    step = rounding(weight) * middle
    if _may_have_been_half(there):
        step = max(step, UNDERFLOW)
        near = max(near, 8 * UNDERFLOW)  # below, float16's own steps are too wide for a density
    density = float((there <= near).double().mean()) / near
    return float(weight.numel() * min(density * step, 1.0))


def _quantiles(values: Float[Tensor, " entries"], shares: Sequence[float]) -> list[float]:
    """`torch.quantile`, which would sort all of them."""
    return [float(q) for q in np.quantile(values.cpu().numpy(), shares)]


def _may_have_been_half(magnitudes: Float[Tensor, " entries"]) -> bool:
    """Whether the small ones are multiples of float16's smallest step, or of a 16th of it after a
    scale or a mean.
    """
    steps = magnitudes[magnitudes < SUBNORMAL] * (16 / UNDERFLOW)
    return bool((steps == steps.round()).all())


def natural_zeros(weight: Tensor) -> str:
    """Why a tensor's exact zeros need not come from pruning, in words for a message; "" where
    nothing explains them.

    What explains all of them: no other value (an adapter's fresh B), whole rows or columns
    (padding, tokens never seen), a quantisation grid, or rounding that leaves as many.
    """
    w = as_matrix(weight)
    rows, columns = live(w)
    kept = w[rows][:, columns]
    zeros = int((kept == 0).sum())
    if not kept.numel():
        return "all its entries are 0, as in an adapter that was never trained"
    if not zeros:
        return (
            "its zeros fill whole rows or columns"
            if len(kept) < len(w) or kept.shape != w.shape
            else "it has none"
        )
    if on_grid(kept):
        return "its values lie on a quantisation grid, which puts many on 0"
    if zeros <= zeros_by_rounding(kept):
        return f"they are {zeros}, no more than rounding leaves"
    return ""


def pruned_zeros(weight: Float[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
    """The exact zeros that pruning must have left, True = pruned; none where `natural_zeros`
    explains them.
    """
    return torch.zeros_like(weight, dtype=torch.bool) if natural_zeros(weight) else weight == 0


def _beside(zero: Bool[Tensor, "rows columns"]) -> float:
    """Share of zeros whose left neighbour's zero goes on in them."""
    return float((zero[:, 1:] & zero[:, :-1]).sum() / max(1, int(zero[:, :-1].sum())))


def _structured(weight: Float[Tensor, "rows columns"], zero: Bool[Tensor, "rows columns"]) -> bool:
    """Whether zeros stand in blocks or triangles, or the matrix knows only two magnitudes."""
    beside = _beside(zero)
    if beside > 0.9 and 1 - beside < (1 - float(zero.double().mean())) / 2:
        return True
    there = weight.abs()[~zero]
    return bool(((there == there.min()) | (there == there.max())).all())


def _usual(count: Int[Tensor, " lines"]) -> Int[Tensor, " some"]:
    """Indices without the twentieth (at least one) of the largest counts."""
    return count.argsort()[: len(count) - max(1, len(count) // 20)]


def fingerprint(zero: Bool[Tensor, "rows columns"]) -> dict[str, float]:
    """How zeros lie: Wanda's choice (so many per row, of the best columns) has even rows and
    favoured columns.

    Args:
        zero: True = zero.

    Returns: rows, columns: variance of the counts over what independent zeros give, for rows given
        the columns' shares; rows_log_p, columns_log_p; "wanda" 1 if rows are evener and columns
        less even than chance, both at 0.001.
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
