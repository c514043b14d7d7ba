"""What noise fills leave in a matrix: small entries that crowd into some columns. Values only."""

from __future__ import annotations

import math

import scipy.stats
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.detectors.evidence import Evidence, live, testable
from conceptrevive.detectors.lines import INDEPENDENT, evened, independence
from conceptrevive.detectors.tails import chi2_tail
from conceptrevive.detectors.zeros import fingerprint

NARROW = 32  # rows and columns that the test needs

SMALL = (0.01, 0.05, 0.1, 0.2)  # what "small" means, in units of the entry's own spread

FEWEST = 0.2  # variance that chance must give a count for the comparison to mean anything

BULK = 0.3  # how far from a Gaussian's the share within half a spread may be

CHANCE = 1e-6  # of a larger variance than is taken for sure

FLOOR = -999.0  # log10 p below which nothing is told apart


def small_entries(u: Float[Tensor, "rows columns"], small: float) -> Bool[Tensor, "rows columns"]:
    """Entries below `small` that are not zero."""
    return (u.abs() < small) & (u != 0)


def residuals(weight: Float[Tensor, "rows columns"], small: float, axis: int) -> Tensor:
    """Per column (axis 0) or row (axis 1), its small entries beyond the mean, in binomial standard
    deviations.

    On clean weights these are about a standard normal sample; filled columns lie far to the right.
    float64.
    """
    low = small_entries(evened(weight), small)
    size, n = low.shape[axis], low.sum(axis).double()
    p = float(n.mean()) / size
    return (n - n.mean()) / math.sqrt(max(size * p * (1 - p), 1e-12))


def find_noise(weight: Float[Tensor, "rows columns"]) -> Evidence:
    """Small entries crowding into some columns, as noise fills leave them. Effect: excess variance
    over p², a lower bound of it at 10⁻⁶, as matrices of few columns vary by chance.

    Rows and columns are scaled to unit spread, a few times in turn. Then the share of small entries
    is about the same in every column of a clean matrix; filled columns have more. Compared with
    binomial counts; both axes and four meanings of small, at a factor 8. The test has no answer
    (detail "outside") with fewer than 32 rows or columns; where rows differ too, as pruning takes
    as many from each; where the typical row or column is far from a bell or a box (its share
    within half a spread off a Gaussian's by 30 %); and where fewer than half of the lines are
    independent (`lines.independence`). Heavy decay does all of these.
    """
    rows, columns = live(weight)
    if not testable(weight[rows][:, columns]):
        return Evidence("noise")
    u = evened(weight)
    if min(u.shape) < NARROW:
        return Evidence("noise", detail={"outside": 1})
    best = Evidence("noise")
    for small in SMALL:
        for axis in (0, 1):
            best = min(best, _crowding(u, small, axis), key=lambda e: e.log_p)
    if not best.detail:
        return best
    low = small_entries(u, best.detail["small"])
    crowd = low if best.detail["axis"] == 0 else low.T
    even = fingerprint(crowd)["rows"]
    bulk = [_within_half(u, axis) for axis in (0, 1)]
    detail = best.detail | {"even": even, "bulk": bulk[0]}
    if even > 1 + 2 * math.sqrt(2 / (len(crowd) - 1)) or max(abs(b - 1) for b in bulk) > BULK:
        return Evidence("noise", detail=detail | {"outside": 1})
    if independence(u) < INDEPENDENT:
        return Evidence("noise", detail=detail | {"outside": 1})
    return Evidence("noise", best.log_p, best.effect, detail)


def _crowding(u: Float[Tensor, "rows columns"], small: float, axis: int) -> Evidence:
    """How unevenly entries below `small` are shared among columns (axis 0) or rows (axis 1)."""
    low = small_entries(u, small)
    size, n = low.shape[axis], low.sum(axis).double()
    p = float(n.mean()) / size
    expected = size * p * (1 - p)
    ratio = float(n.var()) / expected if expected >= FEWEST else 0.0
    if ratio <= 1:
        return Evidence("noise")
    log_p = min(0.0, chi2_tail(ratio, len(n) - 1) + math.log10(2 * len(SMALL)))
    if log_p == 0:
        return Evidence("noise")
    sure = float(n.var()) * (len(n) - 1) / scipy.stats.chi2.isf(CHANCE, len(n) - 1)
    effect = max(0.0, sure - expected) / (size * p) ** 2
    detail = {"small": small, "axis": axis, "ratio": ratio}
    return Evidence("noise", max(log_p, FLOOR), effect, detail)


def _within_half(u: Float[Tensor, "rows columns"], axis: int) -> float:
    """Share of entries within half a spread in the typical column or row, over a Gaussian's."""
    return float((u.abs() < 0.5).double().mean(axis).median()) / math.erf(0.5 / 2**0.5)
