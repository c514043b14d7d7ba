"""Scissorhands: weights by SNIP, drawn anew, and a repair that does not relearn the concept.

Wu, Harandi: Scissorhands, ECCV 2024, with what its code for Stable Diffusion does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError, expect, expect_whole
from conceptrevive.models.matrices import selection_note
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.selection import Layers
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.denoising import NoisePredictor, check_guidance
from conceptrevive.unlearning.draws import REINITIALISATION, TRAINING, check_draws, generator
from conceptrevive.unlearning.examples import COUNT, Pictures, concept_examples, retained_examples
from conceptrevive.unlearning.gradients import check_ratio, gradients, top_masks
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.prompts import check_prompts
from conceptrevive.unlearning.repair import chosen_masks, projected, reinitialised
from conceptrevive.unlearning.snip import scissorhands_scores
from conceptrevive.unlearning.training import (
    check_training,
    expect_weight,
    fitting_masks,
    named_layers,
    run_digest,
    trained,
)


def locate_scissorhands(
    model: TextToImage,
    concept: Concept,
    *,
    ratio: float = 0.001,
    layers: Layers = None,
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
        scores = scissorhands_scores(
            predictor,
            shown,
            draws=draws,
            as_released=as_released,
            guidance=guidance,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
    found = top_masks(scores, ratio)
    return MaskSet(
        found,
        concept=concept.name,
        seed=int(seed),
        sampling=str(How()),
        method="scissorhands",
        **selection_note(model, predictor.selection),
    )


def unlearn_scissorhands(
    model: TextToImage,
    concept: Concept,
    *,
    masks: Mapping[str, Tensor] | None = None,
    ratio: float = 0.001,
    layers: Layers = None,
    reinitialise: Iterable[str] | None = None,
    forget: float = 0.1,
    cap: float = 1.0,
    project: bool = True,
    pictures: Pictures = COUNT,
    retained: Pictures = COUNT,
    as_released: bool = False,
    guidance: float = 7.5,
    steps: int = 300,
    lr: float = 2e-5,
    seed: int = 0,
    batch_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Weights:
    """Weights after Scissorhands: what is located is drawn anew, then the model is repaired.

    The repair lowers L_retained − λ · L_concept over all chosen layers, both the model's own loss,
    by Adam without weight decay. With `project` a step whose gradient would undo the forgetting is
    turned aside (`projected`), measured on the model as it was at the epoch's begin. Released for
    classes: ratio 0.001, λ 0.1, learning rate 2e-5, 3 epochs in batches of 8, which are about 300
    steps; no cap and no projection in its code for Stable Diffusion, though in its paper and its
    code for classifiers.

    Args:
        model, concept, ratio, layers, guidance, seed: see `locate_salun`; the model is left as it
            is.
        masks: what is drawn anew; None locates it with `ratio`, `layers` and `guidance`.
        reinitialise: names of layers in which located weights are drawn anew, in the others they
            stay; None takes all layers. Released: self-attention of two blocks, those of SD-1.5
            that begin with up_blocks.1.attentions.1 and up_blocks.2.attentions.1.
        forget: λ, weight of the loss on the concept.
        cap: a picture of the concept whose loss is larger than this is not worsened further; 1 is
            the loss of a model that predicts nothing. math.inf as released.
        pictures, retained, checkpoint, progress: see `unlearn_salun`.
        as_released: show the first batch of both kinds of pictures at every step, as the released
            code does; else the next one.

    Returns: {module name: matrix} of all chosen layers. See `swapped` and `write_weights`.

    Raises:
        ConceptReviveError: as `locate_scissorhands` does; masks that do not fit, come with
            `layers`, or hold no weight of `reinitialise`; a checkpoint of another training.
    """
    check_training(steps, lr, checkpoint)
    expect_weight(forget, "forget")
    expect_weight(cap, "cap")
    expect(project, bool, "project", "give True or False")
    expect(concept, Concept, "concept", "give a Concept, as `get_concept(name)` returns")
    check_ratio(ratio)
    check_guidance(guidance)
    check_draws(seed, batch_size)
    check_prompts(model, concept)
    with applied(model, How()):
        predictor = NoisePredictor(model, named_layers(masks, layers))
        shown = concept_examples(model, concept, pictures, seed=seed, progress=progress)
        rest = retained_examples(model, concept, retained, seed=seed, progress=progress)
        if masks is None:
            scores = scissorhands_scores(
                predictor,
                shown,
                as_released=as_released,
                guidance=guidance,
                seed=seed,
                batch_size=batch_size,
                progress=progress,
            )
            masks = top_masks(scores, ratio)
        again = chosen_masks(fitting_masks(predictor.weights, masks), reinitialise)
        start = reinitialised(predictor.weights, again, generator(seed, REINITIALISATION))
        epoch = max(1, math.ceil(len(shown.prompts) / batch_size))
        reference: Weights = {}

        def gradients_at(step: int, at: Weights) -> Weights:
            source = generator(seed, TRAINING + step)
            first = 0 if as_released else step * batch_size
            (bad,) = predictor.batches(shown.batch(first, batch_size), batch_size, source)
            (good,) = predictor.batches(rest.batch(first, batch_size), batch_size, source)
            if project and (step % epoch == 0 or not reference):
                (own,) = predictor.batches(shown.batch(first, batch_size), batch_size, source)
                reference.update(gradients(-predictor.losses(at, own).mean(), at))
            forgetting = predictor.losses(at, bad).clamp(max=cap).mean()
            found = gradients(predictor.losses(at, good).mean() - forget * forgetting, at)
            if progress:
                progress(2 * batch_size)
            return projected(found, reference) if project else found

        run = run_digest(
            {**start, "shown": shown.latents, "rest": rest.latents},
            method="scissorhands",
            prompts=[shown.prompts, rest.prompts],
            settings=[forget, cap, project, as_released, lr, seed, batch_size],
        )
        return trained(
            start,
            gradients_at,
            steps=steps,
            lr=lr,
            checkpoint=checkpoint,
            run=run,
            every=epoch,  # so that the reference is taken again where it is gone on
        )
