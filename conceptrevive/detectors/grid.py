"""Do a matrix's values lie on a quantisation grid? Decided from them alone, before any test.

Weights that were rounded to few levels and back are full of natural zeros and repeated magnitudes,
so that tests for pruning have nothing to say about them. What all grids have in common, whatever
their levels and wherever their scales stand, is ties: entries that share a scale repeat each
other's values *exactly*, and seldom land next to them. A smooth distribution rounded to a float
format hits a number as often as its neighbours. So pairs of equal entries are counted against pairs
one to three representable numbers apart, which needs no model of the weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from conceptrevive.detectors.evidence import as_matrix
from conceptrevive.detectors.tails import poisson_tail

WINDOWS = (16, 64)  # entries side by side; a scale's reach is seldom shorter than 16

#: Shares of a window's largest magnitude up to which entries count: floats are finer near 0.
STRATA = (1.0, 0.25, 0.0625)

LOOKED = 1 << 15  # entries looked at per kind of window

NEIGHBOURS = 3  # representable numbers away that count as near

EXCESS = 1.5  # ties over what near pairs predict; binades make densities uneven

FINEST = 2.0**-18  # share of pairs; a finer grid puts fewer than one entry in 10⁵ on 0

LOG_P = -6.0  # one clean matrix in 10⁶ for each kind of window

FORMATS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


def on_grid(weight: Tensor) -> bool:
    """Whether entries that lie together repeat each other's values as only rounding to few levels
    makes them.

    Windows of 16 and 64 entries, rows, and the same down the columns: scales per tensor, row,
    column or block, with or without zero points, and grids of any kind of levels, all show in one
    of them. Zeros, powers of two (where training in bfloat16 stalls) and each window's most
    frequent magnitude (which revival and clipping leave) are not counted. Every float format that
    holds all entries is tried, and its own rounding is no grid.
    """
    values = _distinct(as_matrix(weight).float())
    formats = [d for d in FORMATS if torch.equal(values.to(d).float(), values)]
    return all(_ties(values, d) for d in formats)


def _ties(values: Float[Tensor, "rows columns"], dtype: torch.dtype) -> bool:
    for side in (values, values.T):
        flat = side.reshape(-1)
        for size in (*WINDOWS, side.shape[1]):
            windows = flat[: len(flat) // size * size].reshape(-1, size) if size else flat[None]
            if size < 2 or not len(windows):
                continue
            windows = windows[:: -(-len(windows) * size // LOOKED)]
            if _two_valued(windows) or _tied(windows, dtype):
                return True
    return False


def _tied(windows: Float[Tensor, "windows size"], dtype: torch.dtype) -> bool:
    """Whether equal pairs within windows outnumber near ones beyond chance, in some stratum of
    magnitudes.
    """
    bits = windows.to(dtype).view(FORMATS[dtype])
    magnitude = (bits & torch.iinfo(bits.dtype).max).long()
    level = torch.where(bits < 0, -magnitude, magnitude)
    mantissa = round(-torch.log2(torch.tensor(torch.finfo(dtype).eps)).item())
    counted = (magnitude & ((1 << mantissa) - 1)) != 0
    counted &= magnitude != _most_frequent(magnitude, windows != 0)
    window = torch.arange(len(level))[:, None]
    key = window * (1 << 34) + level  # levels are below 2³¹
    place, inverse, count = torch.unique(key, return_inverse=True, return_counts=True)
    limit = windows.abs().amax(1, keepdim=True)
    for stratum in STRATA:
        low = counted & (windows.abs() <= stratum * limit)
        own = torch.zeros_like(count).index_put((inverse[low],), torch.tensor(1)) * count
        each = low.sum(1).double()
        all_pairs = float((each * (each - 1)).sum()) / 2
        expected = EXCESS * _near(place, count, own) + FINEST * all_pairs
        equal = (own * (own - 1)).sum() / 2
        if poisson_tail(equal, torch.tensor(expected)) < LOG_P:
            return True
    return False


def _most_frequent(
    magnitude: Int[Tensor, "windows size"], there: Bool[Tensor, "windows size"]
) -> Int[Tensor, "windows 1"]:
    """Each window's most frequent magnitude among the entries that are `there`."""
    alone = -1 - torch.arange(magnitude.shape[1])
    return torch.where(there, magnitude, alone).mode(1, keepdim=True).values


def _near(
    place: Int[Tensor, " levels"], count: Int[Tensor, " levels"], own: Int[Tensor, " levels"]
) -> float:
    """Equal pairs that near ones predict, from the levels in order, each with its entries and how
    many of them are compared (all or none). The others are near some nevertheless, so that no level
    lacks a neighbour on one side.
    """
    near = 0.0
    for step in range(1, NEIGHBOURS + 1):
        close = place[step:] - place[:-step] <= NEIGHBOURS
        near += float((own[step:] * count[:-step] + own[:-step] * count[step:])[close].sum())
    return near / (4 * NEIGHBOURS)  # that many distances, on two sides, and every pair twice


def _two_valued(windows: Float[Tensor, "windows size"]) -> bool:
    """Whether most windows with 8 or more entries that are not 0 know one or two magnitudes only,
    as ternary weights do.
    """
    ordered = windows.abs().sort(1).values
    there = ordered != 0
    fresh = there.clone()
    fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    full = there.sum(1) >= 8
    return bool(full.any()) and float((fresh.sum(1) <= 2)[full].double().mean()) > 0.5


def _distinct(values: Float[Tensor, "rows columns"]) -> Float[Tensor, "some columns"]:
    """Rows that repeat no row above: copies (tokens added to a vocabulary) tie without a grid."""
    g = torch.Generator().manual_seed(0)
    factor = torch.randint(1 << 62, (values.shape[1],), generator=g)
    digest = (values.contiguous().view(torch.int32).long() * factor).sum(1)
    _, inverse = torch.unique(digest, return_inverse=True)
    first = torch.full((len(values),), len(values)).scatter_reduce(
        0, inverse, torch.arange(len(values)), "amin"
    )
    return values[first[inverse] == torch.arange(len(values))]
