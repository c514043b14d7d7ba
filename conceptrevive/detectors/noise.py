"""What noise fills leave in one matrix: small entries that crowd into some columns. Values only, like `detectors`."""

from __future__ import annotations

import math

import torch

from conceptrevive.detectors.evidence import Evidence, live, testable
from conceptrevive.detectors.tails import chi2_tail
from conceptrevive.detectors.zeros import fingerprint

NARROW = 32  # rows and columns that the test needs

SMALL = (0.01, 0.05, 0.1, 0.2)  # what "small" means, in units of the entry's own spread


def evened(weight: torch.Tensor) -> torch.Tensor:
    """The live rows and columns, scaled to unit spread a few times in turn; float32."""
    rows, columns = live(weight)
    u = weight[rows][:, columns].float()
    for _ in range(4):
        u = u / u.square().mean(1, keepdim=True).sqrt()
        u = u / u.square().mean(0, keepdim=True).sqrt()
    return u


def small_entries(u: torch.Tensor, small: float) -> torch.Tensor:
    """Entries below `small` that are not zero, bool like `u`."""
    return (u.abs() < small) & (u != 0)


def residuals(weight: torch.Tensor, small: float, axis: int) -> torch.Tensor:
    """Per column (axis 0) or row (axis 1), its count of small entries minus the mean, in binomial standard deviations.

    On clean weights these are about a standard normal sample; filled columns lie far to the right. float64.
    """
    low = small_entries(evened(weight), small)
    size, n = low.shape[axis], low.sum(axis).double()
    p = float(n.mean()) / size
    return (n - n.mean()) / math.sqrt(max(size * p * (1 - p), 1e-12))


def find_noise(weight: torch.Tensor) -> Evidence:
    """Small entries crowding into some columns, as noise fills leave them. Effect: excess variance over p².

    Rows and columns are scaled to unit spread, a few times in turn. Then the share of small entries is about the
    same in every column of a clean matrix; filled columns have more. Compared with binomial counts; both axes and four
    meanings of small, at a factor 8. The test has no answer (detail "outside") with fewer than 32 rows or columns; where
    rows differ too, as pruning takes as many from each; and where the typical row or column is far from a bell or
    a box (its share within half a spread off a Gaussian's by 30 %). Heavy decay does both.
    """
    rows, columns = live(weight)
    if not testable(weight[rows][:, columns]):
        return Evidence("noise")
    u = evened(weight)
    if min(u.shape) < NARROW:
        return Evidence("noise", detail={"outside": 1})
    best, crowd = Evidence("noise"), None
    for small in SMALL:
        low = small_entries(u, small)
        for axis in (0, 1):
            size, n = u.shape[axis], low.sum(axis).double()
            p = float(n.mean()) / size
            expected = size * p * (1 - p)
            if expected < 0.2:
                continue
            ratio = float(n.var()) / expected
            log_p = min(
                0.0,
                (chi2_tail(ratio, len(n) - 1) if ratio > 1 else 0.0) + math.log10(2 * len(SMALL)),
            )
            effect = max(0.0, (float(n.var()) - expected) / (size * p) ** 2)
            if log_p < best.log_p:
                best = Evidence(
                    "noise",
                    max(log_p, -999.0),
                    effect,
                    {"small": small, "axis": axis, "ratio": ratio},
                )
                crowd = low if axis == 0 else low.T
    if crowd is None:
        return best
    even = fingerprint(crowd)["rows"]
    bulk = [
        float((u.abs() < 0.5).double().mean(axis).median()) / math.erf(0.5 / 2**0.5)
        for axis in (0, 1)
    ]
    detail = best.detail | {"even": even, "bulk": bulk[0]}
    if even > 1 + 2 * math.sqrt(2 / (len(crowd) - 1)) or max(abs(b - 1) for b in bulk) > 0.3:
        return Evidence("noise", detail=detail | {"outside": 1})
    return Evidence("noise", best.log_p, best.effect, detail)
