"""Rates with intervals, and paired differences of rates."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from conceptrevive.errors import ConceptReviveError


@dataclass(frozen=True)
class Rate:
    """A share of successes with its 95 % Wilson interval, of `n` trials."""

    value: float
    interval: tuple[float, float]
    n: int

    @classmethod
    def of(cls, outcomes: Sequence[bool]) -> Rate:
        """From one outcome per trial. No trials give NaN and the interval (0, 1)."""
        n, hits = len(outcomes), sum(map(bool, outcomes))
        return cls(hits / n if n else math.nan, wilson(hits, n), n)

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.interval[0]:.2f}, {self.interval[1]:.2f}], n = {self.n}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval for `hits` of `n` (Wilson 1927). No trials give (0, 1).

    Raises ConceptReviveError for more hits than trials and for a confidence outside 0 to 1.
    """
    from scipy.stats import binomtest  # half a second, which `import conceptrevive` need not wait

    if not 0 <= hits <= n:
        raise ConceptReviveError(f"{hits} hits of {n} trials: give 0 to {n} hits")
    if n == 0:
        return 0.0, 1.0
    _quantile(confidence)
    low, high = binomtest(int(hits), int(n)).proportion_ci(confidence, method="wilson")
    # Rounding must not push the bound past the estimate at 0 and 1.
    return max(0.0, min(float(low), hits / n)), min(1.0, max(float(high), hits / n))


def _quantile(confidence: float) -> float:
    """The normal quantile of a two-sided interval: 1.96 for 0.95."""
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ConceptReviveError(f"confidence is {confidence}: give a share between 0 and 1")
    return float(ndtri(0.5 + confidence / 2))


def paired_difference(
    after: Sequence[bool],
    before: Sequence[bool],
    confidence: float = 0.95,
    clusters: Sequence[Hashable] | None = None,
) -> tuple[float, tuple[float, float]]:
    """Mean of after − before over the same trials, with its interval. No trials give NaN, (−1, 1).

    The interval is Agresti and Min's (2005): Wald's for matched pairs after adding half a pair to
    each of the four cells. With `clusters`, one label per trial, trials of one label count as one
    draw (Liang and Zeger 1986), half a cluster of average size in each cell. Neither SciPy nor
    statsmodels has it: their paired tests give p-values, their intervals are of independent
    samples.

    Raises ConceptReviveError where the lengths differ and for a confidence outside 0 to 1.
    """
    if len(after) != len(before):
        raise ConceptReviveError(
            f"{len(after)} outcomes against {len(before)}: paired trials come in equal numbers"
        )
    if clusters is not None and len(clusters) != len(after):
        raise ConceptReviveError(
            f"{len(clusters)} cluster labels for {len(after)} trials: give one label per trial"
        )
    n = len(after)
    if n == 0:
        return math.nan, (-1.0, 1.0)
    z = _quantile(confidence)
    pairs = [(bool(a), bool(b)) for a, b in zip(after, before, strict=True)]
    if clusters is not None:
        return _clustered([a - b for a, b in pairs], clusters, z)
    gain = sum(a and not b for a, b in pairs)
    loss = sum(b and not a for a, b in pairs)
    difference, total, m = gain - loss, gain + loss + 1, n + 2
    half = z * math.sqrt(max(0.0, total - difference**2 / m)) / m
    return difference / n, (max(-1.0, difference / m - half), min(1.0, difference / m + half))


def _clustered(
    each: Sequence[int], clusters: Sequence[Hashable], z: float
) -> tuple[float, tuple[float, float]]:
    n, mean = len(each), sum(each) / len(each)
    sums = dict.fromkeys(clusters, 0.0)
    if len(sums) < 2:
        return mean, (-1.0, 1.0)
    # The four halves are clusters of average size: two of them, with mean 0.
    size = n / len(sums)
    centre = sum(each) / (n + 2 * size)
    for value, label in zip(each, clusters, strict=True):
        sums[label] += value - centre
    added = size**2 * (((1 - centre) ** 2 + (1 + centre) ** 2) / 2 + centre**2)
    half = z * math.sqrt(sum(s * s for s in sums.values()) + added) / (n + 2 * size)
    return mean, (max(-1.0, centre - half), min(1.0, centre + half))
