"""SalUn: the weights by which a concept's loss changes most, and relabelling by them alone.

Fan, Liu, Zhang, Wong, Wei, Liu: SalUn, ICLR 2024, with what its code for Stable Diffusion does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import NoneType

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import expect
from conceptrevive.models.matrices import selection_note
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.selection import Layers
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.denoising import Batch, NoisePredictor, check_guidance
from conceptrevive.unlearning.draws import NOISE, TRAINING, check_draws, generator
from conceptrevive.unlearning.examples import (
    COUNT,
    Examples,
    Pictures,
    concept_examples,
    retained_examples,
    retained_prompts,
)
from conceptrevive.unlearning.gradients import (
    check_ratio,
    gradients,
    summed_gradients,
    top_masks,
)
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.prompts import check_prompts
from conceptrevive.unlearning.training import (
    check_training,
    expect_weight,
    fitting_masks,
    named_layers,
    run_digest,
    trained,
)


def locate_salun(
    model: TextToImage,
    concept: Concept,
    *,
    ratio: float = 0.01,
    layers: Layers = None,
    pictures: Pictures = COUNT,
    guidance: float = 7.5,
    seed: int = 0,
    batch_size: int = 8,
    progress: Callable[[int], object] | None = None,
) -> MaskSet:
    """SalUn's masks: the share `ratio` of all weights with the largest |Σ ∂L/∂W|.

    L is the model's own training loss on pictures of the concept, each once, at a noise level drawn
    uniformly; the gradients keep their signs until all are added up. Released: ratio 0.5, about 900
    pictures, guidance 7.5, batches of 8. The released half is what SalUn trains, see
    `unlearn_salun`; as zeros it destroys any model, hence a smaller default here.

    Args:
        model: a diffusers text-to-image pipeline in float32 or bfloat16; it is left as it is.
        concept: see `get_concept`.
        ratio: share of all weights of the chosen layers, ranked together; exactly ⌊ratio · count⌋
            are found.
        layers: which weights of the denoiser, see `Selection.of` ("feed-forward" gives
            ConceptPrune's, "all" convolutions too); None takes every linear layer. Biases and
            norms cannot be chosen.
        pictures: how many the model draws from the target prompts, or your own, each as (picture,
            prompt).
        guidance: g of (1 + g) · ε(prompt) − g · ε(no prompt), whose error is the loss; 0 takes
            ε(prompt) alone.
        seed: of the pictures, noise levels and noise.
        batch_size: pictures at a time; it changes no more than the last digits.
        progress: called with the number of pictures drawn, and then of those differentiated.

    Raises:
        ConceptReviveError: a setting out of range, a prompt that the model would cut, a layer
            without a gradient, a model that is float16, offloaded, or not of the kind.
    """
    expect(concept, Concept, "concept", "give a Concept, as `get_concept(name)` returns")
    check_ratio(ratio)
    check_guidance(guidance)
    check_draws(seed, batch_size)
    check_prompts(model, concept)
    with applied(model, How()):
        predictor = NoisePredictor(model, layers)
        shown = concept_examples(model, concept, pictures, seed=seed, progress=progress)
        scores = salun_scores(
            predictor,
            shown,
            guidance=guidance,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
    return MaskSet(
        top_masks(scores, ratio),
        concept=concept.name,
        seed=int(seed),
        sampling=str(How()),
        method="salun",
        **selection_note(model, predictor.selection),
    )


def salun_scores(
    predictor: NoisePredictor,
    shown: Examples,
    *,
    guidance: float,
    seed: int,
    batch_size: int = 8,
    progress: Callable[[int], object] | None = None,
) -> Weights:
    """|Σ ∂L/∂W| of every weight: masks of all ratios are cut from it."""
    batches = predictor.batches(shown, batch_size, generator(seed, NOISE))
    losses = predictor.summed_losses(batches, guidance, progress)
    sums = summed_gradients(predictor.weights, losses)
    return {n: s.abs() for n, s in sums.items()}


def unlearn_salun(
    model: TextToImage,
    concept: Concept,
    *,
    masks: Mapping[str, Tensor] | None = None,
    ratio: float = 0.5,
    layers: Layers = None,
    alpha: float = 0.5,
    substitute: str | None = None,
    pictures: Pictures = COUNT,
    retained: Pictures = COUNT,
    as_released: bool = False,
    guidance: float = 7.5,
    steps: int = 600,
    lr: float = 1e-5,
    seed: int = 0,
    batch_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Weights:
    """Weights after SalUn: pictures of the concept are relabelled, and only what is located learns.

    Each step lowers ‖ε(x_t, c) − ε(x_t, c′)‖² + α · the model's own loss on pictures of the rest;
    ε(x_t, c′) is what the model itself, as it is by then, predicts for another prompt c′, and no
    gradient goes through it. Adam without weight decay. Released: ratio 0.5, α 0.5 (0.1 by default
    in its code), learning rate 1e-5, batches of 8, 5 epochs, which are about 600 steps.

    Args:
        model, concept, guidance, seed: see `locate_salun`; the model is left as it is.
        masks: what may learn; None locates it with `ratio`, `layers` and `guidance`.
        alpha: α, weight of the loss on the rest; without it the model forgets everything.
        substitute: c′; None takes the first retained prompt, as the released code the next class.
        pictures, retained: of the concept, and of the rest: how many the model draws, or your own,
            each as (picture, prompt).
        as_released: show the first batch of the concept's pictures at every step, as the released
            code did until 2026; else the next one.
        checkpoint: a file to keep the state in, and to go on from if it is there.
        progress: called with the number of pictures drawn, and then of those learnt from.

    Returns: {module name: matrix} of all chosen layers; what is not located is bit-equal. See
        `swapped` and `write_weights`.

    Raises:
        ConceptReviveError: as `locate_salun` does; masks that do not fit or come with `layers`; a
            checkpoint of another training.
    """
    check_training(steps, lr, checkpoint)
    expect_weight(alpha, "alpha")
    expect(substitute, (str, NoneType), "substitute", "give a prompt")
    expect(concept, Concept, "concept", "give a Concept, as `get_concept(name)` returns")
    check_ratio(ratio)
    check_guidance(guidance)
    check_draws(seed, batch_size)
    check_prompts(model, concept)
    other = substitute or retained_prompts(concept)[0]
    with applied(model, How()):
        predictor = NoisePredictor(model, named_layers(masks, layers))
        shown = concept_examples(model, concept, pictures, seed=seed, progress=progress)
        rest = retained_examples(model, concept, retained, seed=seed, progress=progress)
        if masks is None:
            scores = salun_scores(
                predictor,
                shown,
                guidance=guidance,
                seed=seed,
                batch_size=batch_size,
                progress=progress,
            )
            masks = top_masks(scores, ratio)
        learning = fitting_masks(predictor.weights, masks)

        def gradients_at(step: int, at: Weights) -> Weights:
            source = generator(seed, TRAINING + step)
            first = step * batch_size
            batch = shown.batch(0 if as_released else first, batch_size)
            (forget,) = predictor.batches(batch, batch_size, source)
            (keep,) = predictor.batches(rest.batch(first, batch_size), batch_size, source)
            loss = relabelling_loss(predictor, at, forget, other)
            found = gradients(loss + alpha * predictor.losses(at, keep).mean(), at)
            if progress:
                progress(2 * batch_size)
            return found

        run = run_digest(
            {**predictor.weights, **learning, "shown": shown.latents, "rest": rest.latents},
            method="salun",
            prompts=[shown.prompts, rest.prompts, other],
            settings=[alpha, as_released, lr, seed, batch_size],
        )
        return trained(
            predictor.weights,
            gradients_at,
            steps=steps,
            lr=lr,
            masks=learning,
            checkpoint=checkpoint,
            run=run,
        )


def relabelling_loss(
    predictor: NoisePredictor, weights: Mapping[str, Tensor], batch: Batch, substitute: str
) -> Float[Tensor, ""]:
    """Mean of ‖ε(x_t, c) − ε(x_t, c′)‖², without a gradient through the second."""
    with torch.no_grad():
        wanted = predictor.predict(weights, batch, prompts=[substitute] * len(batch.prompts))
    return (predictor.predict(weights, batch) - wanted).square().mean()
