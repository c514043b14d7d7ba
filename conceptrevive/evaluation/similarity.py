"""CLIP similarity of pictures and their prompts, its mean with an interval, and the CLIP score."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.judges import Clip

Numbers = NDArray[np.float64]

#: Of the bootstrap.
RESAMPLES = 4999


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % bootstrap interval, of `n` values."""

    value: float
    interval: tuple[float, float]
    n: int


def cosines(
    judge: Clip, images: Sequence[Image.Image], prompts: Sequence[str]
) -> Float[Tensor, " pictures"]:
    """CLIP similarity: the cosine of each picture with its own prompt.

    Raises ConceptReviveError where there are not as many prompts as pictures, or none.
    """
    _paired(len(images), len(prompts), "pictures", "prompts")
    similarity: Tensor = (judge.image_features(images) * judge.text_features(prompts)).sum(-1)
    return similarity


def further(mine: Sequence[float], original: Sequence[float]) -> tuple[bool, ...]:
    """The paper's CLIP score, picture by picture: is the cosine lower than the original model's?

    The share of true ones is the score; lower is better revived. Of the original against itself it
    is exactly 0.

    Args:
        mine, original: cosines of pictures with the same prompts and seeds, in the same order.

    Raises ConceptReviveError where the lengths differ, or there is none.
    """
    _paired(len(mine), len(original), "cosines", "of the original")
    return tuple(bool(m < o) for m, o in zip(mine, original, strict=True))


def mean_of(
    values: Sequence[float],
    bound: float,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Mean:
    """The mean with a percentile bootstrap interval over clusters (Efron 1979; Davison and Hinkley
    1997, section 3.8).

    Args:
        values: one per picture; or paired differences. bound: no value is further from 0, so a
            single cluster gives (−bound, bound).
        clusters: one label per value; values of one label are drawn together. seed: of resampling.

    Raises ConceptReviveError for no values and where there are not as many labels.
    """
    labels = range(len(values)) if clusters is None else clusters
    _paired(len(values), len(labels), "values", "cluster labels")
    sums: dict[Hashable, list[float]] = {}
    for value, label in zip(values, labels, strict=True):
        sums.setdefault(label, []).append(float(value))
    total = np.array([sum(group) for group in sums.values()])
    count = np.array([len(group) for group in sums.values()])
    value = float(total.sum() / count.sum())
    if len(total) < 2:
        return Mean(value, (-bound, bound), len(values))
    from scipy.stats import bootstrap  # half a second, which nobody else need wait

    def ratio(sums: Numbers, counts: Numbers, axis: int = -1) -> Numbers:
        means: Numbers = sums.sum(axis) / counts.sum(axis)
        return means

    low, high = bootstrap(
        (total, count),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Mean(value, (float(low), float(high)), len(values))


def _paired(mine: int, others: int, what: str, which: str) -> None:
    if mine != others or not mine:
        raise ConceptReviveError(
            f"{mine} {what} against {others} {which}: give equal numbers, one or more"
        )
