"""Fréchet distance of two sets of pictures' features (FID), and a jackknife over groups of them.

FID of few pictures is biased upwards, the more so the fewer (Chong and Forsyth, CVPR 2020): compare
only distances of equal numbers, and with the distance of a model from itself under other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError

Features = Float[Tensor, "pictures dimension"]

#: Groups left out in turn. Pictures i, i + 12, … are one group, so that prompts which return after
#: a multiple of twelve stay together.
GROUPS = 12
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Distances:
    """The distance of all pictures, and of all but one group, for every group in turn.

    Attributes:
        value: of all. without: one per group; empty where there are too few pictures.
    """

    value: float
    without: tuple[float, ...] = ()


def frechet_distance(one: Features, other: Features) -> float:
    """Squared Fréchet distance of two normal distributions fitted to features; by torchmetrics.

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) (Dowson and Landau 1982; Heusel et al., NeurIPS 2017).
    Covariances divide by n − 1.

    Raises ConceptReviveError for fewer than two pictures, unlike dimensions, values not finite.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance  # seconds, wanted here alone

    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ConceptReviveError(
            f"features are {tuple(one.shape)} and {tuple(other.shape)}: give pictures × dimension, "
            "of one dimension"
        )
    if min(len(one), len(other)) < 2:
        raise ConceptReviveError(
            f"{len(one)} and {len(other)} pictures: a covariance needs two or more of each"
        )
    if not (one.isfinite().all() and other.isfinite().all()):
        raise ConceptReviveError("features are not all finite: look at the pictures' weights")
    # Where several processes measure, each has pictures of its own: nothing is to be gathered.
    metric = FrechetInceptionDistance(feature=_Given(one.shape[1]), sync_on_compute=False)
    metric = metric.to(one.device)
    metric.update(one.double(), real=True)
    metric.update(other.double(), real=False)
    return float(metric.compute())


class _Given(torch.nn.Module):
    """Features are given already."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.num_features = dimension

    def forward(self, features: Features) -> Features:
        return features


def distances(one: Features, other: Features) -> Distances:
    """`frechet_distance`, of all and without each group."""
    most = min(len(one), len(other))
    groups = min(GROUPS, most // 2)
    whole = frechet_distance(one, other)
    if groups < 2:
        return Distances(whole)
    without = []
    for group in range(groups):
        kept = [x[torch.arange(len(x), device=x.device) % groups != group] for x in (one, other)]
        without.append(frechet_distance(*kept))
    return Distances(whole, tuple(without))


def mean_distance(each: Sequence[Distances]) -> Distances:
    """The mean of several; they leave out the same groups of prompts together."""
    columns = zip(*(one.without for one in each), strict=True)
    return Distances(mean(one.value for one in each), tuple(mean(x) for x in columns))


def difference(mine: Distances, base: Distances) -> tuple[float, tuple[float, float] | None]:
    """How much further `mine` is than `base`, with its 95 % interval: delete-a-group jackknife.

    Both are of pictures with the same prompts and seeds, from the same reference, so that a group
    leaves all of them at once (Wolter, Introduction to Variance Estimation, 2007, chapter 4);
    Student's t with a degree of freedom less than groups. No interval where no groups were left
    out. Of a model from itself it is exactly 0.

    Raises ConceptReviveError where the groups differ in number.
    """
    if len(mine.without) != len(base.without):
        raise ConceptReviveError(
            f"{len(mine.without)} groups against {len(base.without)}: compare equal numbers of "
            "pictures"
        )
    value = mine.value - base.value
    each = [m - b for m, b in zip(mine.without, base.without, strict=True)]
    if not each:
        return value, None
    from scipy.special import stdtrit  # Student's quantile; half a second that import need not wait

    groups, centre = len(each), mean(each)
    error = math.sqrt((groups - 1) / groups * sum((x - centre) ** 2 for x in each))
    half = float(stdtrit(groups - 1, 0.5 + CONFIDENCE / 2)) * error
    return value, (value - half, value + half)
