"""SNIP: how much a loss depends on each weight (Lee et al. 2019), as Scissorhands takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor

from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.denoising import NoisePredictor
from conceptrevive.unlearning.draws import NOISE, generator
from conceptrevive.unlearning.examples import Examples
from conceptrevive.unlearning.gradients import summed_gradients


def scissorhands_scores(
    predictor: NoisePredictor,
    shown: Examples,
    *,
    draws: int = 10,
    as_released: bool = False,
    guidance: float,
    seed: int,
    batch_size: int = 8,
    progress: Callable[[int], object] | None = None,
) -> Weights:
    """|W| · Σ |∂L/∂W| of every weight: masks of all ratios are cut from it."""
    first = shown.batch(0, batch_size if as_released else batch_size * draws)
    taken = first.batch(0, batch_size * draws)
    batches = predictor.batches(taken, batch_size, generator(seed, NOISE))
    losses = predictor.summed_losses(batches, guidance, progress)
    sums = summed_gradients(predictor.weights, losses, absolute=True)
    return snip_scores(predictor.weights, sums)


def snip_scores(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    gradients: Mapping[str, Float[Tensor, "rows columns"]],
) -> Weights:
    """|W| · Σ |∂L/∂W|, the connection sensitivity of each weight (Lee et al. 2019)."""
    return {n: weights[n].float().abs() * g for n, g in gradients.items()}
