"""Rates with intervals, and paired differences of rates."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """A share of successes with its 95 % Wilson interval."""

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

    def as_dict(self) -> dict:
        """JSON-ready."""
        return asdict(self)


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval for `hits` of `n` (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding must not push the bound past the estimate at 0 and 1.
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def paired_difference(
    after: Sequence[bool],
    before: Sequence[bool],
    z: float = Z95,
    clusters: Sequence[Hashable] | None = None,
) -> tuple[float, tuple[float, float]]:
    """Mean of after − before over the same trials, with its 95 % interval.

    The interval is Agresti and Min's (2005): Wald's for matched pairs after adding half a pair to each of the four cells. With
    `clusters`, one label per trial, trials of one label count as one draw (Liang and Zeger 1986), half a cluster of average size in each cell.
    """
    if len(after) != len(before):
        raise ValueError(
            f"{len(after)} outcomes against {len(before)}: paired trials come in equal numbers"
        )
    n = len(after)
    if n == 0:
        return math.nan, (-1.0, 1.0)
    if clusters is not None:
        return _clustered(
            [int(bool(a)) - int(bool(b)) for a, b in zip(after, before, strict=True)], clusters, z
        )
    gain = sum(bool(a) and not b for a, b in zip(after, before, strict=True))
    loss = sum(bool(b) and not a for a, b in zip(after, before, strict=True))
    g, l_, m = gain + 0.5, loss + 0.5, n + 2
    centre = (g - l_) / m
    half = z * math.sqrt(max(0.0, g + l_ - (g - l_) ** 2 / m)) / m
    return (gain - loss) / n, (max(-1.0, centre - half), min(1.0, centre + half))


def _clustered(
    each: Sequence[int], clusters: Sequence[Hashable], z: float
) -> tuple[float, tuple[float, float]]:
    n, mean, sums = len(each), sum(each) / len(each), dict.fromkeys(clusters, 0.0)
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
