"""Scissorhands: the weights a concept's loss is connected to, by SNIP (Wu and Harandi 2024).

Wu, Harandi: Scissorhands, ECCV 2024, with what its code for Stable Diffusion does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError, expect, expect_whole
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.denoising import NoisePredictor, check_guidance
from conceptrevive.unlearning.draws import NOISE, check_draws, generator
from conceptrevive.unlearning.examples import COUNT, Examples, Pictures, concept_examples
from conceptrevive.unlearning.gradients import check_ratio, summed_gradients, top_masks
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.prompts import check_prompts


def locate_scissorhands(
    model: TextToImage,
    concept: Concept,
    *,
    ratio: float = 0.001,
    layers: Iterable[str] | None = None,
    pictures: Pictures = COUNT,
    draws: int = 10,
    as_released: bool = False,
    guidance: float = 7.5,
    seed: int = 0,
    batch_size: int = 8,
    progress: Callable[[int], object] | None = None,
) -> MaskSet:
    """Scissorhands' masks: the share `ratio` of all weights with the largest |W| · Σ |∂L/∂W|.

    The sum runs over `draws` batches of the concept's pictures, each with new noise; within a batch
    gradients keep their signs. Released: ratio 0.001 for classes and 0.005 for unsafe content, 10
    draws, guidance 7.5 with batches of 8 for classes, guidance 0 with 16 for unsafe content.

    Args:
        model, concept, ratio, layers, pictures, guidance, seed, progress: see `locate_salun`.
        draws: batches to add up.
        as_released: take the first batch every time, as the released code does, which makes its
            loader anew; else the next one, and after the last the first again.
        batch_size: pictures in a batch.

    Raises:
        ConceptReviveError: as `locate_salun` does, and for fewer than one draw.
    """
    expect(concept, Concept, "concept", "give a Concept, as `get_concept(name)` returns")
    check_ratio(ratio)
    check_guidance(guidance)
    check_draws(seed, batch_size)
    expect_whole(draws, "draws")
    if draws < 1:
        raise ConceptReviveError(f"draws is {draws}: add up at least one batch")
    check_prompts(model, concept)
    with applied(model, How()):
        predictor = NoisePredictor(model, layers)
        shown = concept_examples(model, concept, pictures, seed=seed, progress=progress)
        found = scissorhands_masks(
            predictor,
            shown,
            ratio=ratio,
            draws=draws,
            as_released=as_released,
            guidance=guidance,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
    return MaskSet(
        found, concept=concept.name, seed=int(seed), sampling=str(How()), method="scissorhands"
    )


def scissorhands_masks(
    predictor: NoisePredictor,
    shown: Examples,
    *,
    ratio: float,
    draws: int = 10,
    as_released: bool = False,
    guidance: float,
    seed: int,
    batch_size: int,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """`locate_scissorhands`' masks, from pictures that are there already."""
    first = shown.batch(0, batch_size if as_released else batch_size * draws)
    taken = first.batch(0, batch_size * draws)
    batches = predictor.batches(taken, batch_size, generator(seed, NOISE))
    losses = predictor.summed_losses(batches, guidance, progress)
    sums = summed_gradients(predictor.weights, losses, absolute=True)
    return top_masks(snip_scores(predictor.weights, sums), ratio)


def snip_scores(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    gradients: Mapping[str, Float[Tensor, "rows columns"]],
) -> Weights:
    """|W| · Σ |∂L/∂W|, the connection sensitivity of each weight (Lee et al. 2019)."""
    return {n: weights[n].float().abs() * g for n, g in gradients.items()}
