"""SalUn: the weights by which the loss on a concept's pictures changes most (Fan et al. 2024).

Fan, Liu, Zhang, Wong, Wei, Liu: SalUn, ICLR 2024, with what its code for Stable Diffusion does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jaxtyping import Bool
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import expect
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.unlearning.denoising import NoisePredictor, check_guidance
from conceptrevive.unlearning.draws import NOISE, check_draws, generator
from conceptrevive.unlearning.examples import COUNT, Examples, Pictures, concept_examples
from conceptrevive.unlearning.gradients import check_ratio, summed_gradients, top_masks
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.prompts import check_prompts


def locate_salun(
    model: TextToImage,
    concept: Concept,
    *,
    ratio: float = 0.01,
    layers: Iterable[str] | None = None,
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
        layers: module names of linear layers (`candidate_layers(model)` gives ConceptPrune's); None
            takes every linear layer of the denoiser. Convolutions, biases and norms are left out.
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
        found = salun_masks(
            predictor,
            shown,
            ratio=ratio,
            guidance=guidance,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
    return MaskSet(found, concept=concept.name, seed=int(seed), sampling=str(How()), method="salun")


def salun_masks(
    predictor: NoisePredictor,
    shown: Examples,
    *,
    ratio: float,
    guidance: float,
    seed: int,
    batch_size: int,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """`locate_salun`'s masks, from pictures that are there already."""
    batches = predictor.batches(shown, batch_size, generator(seed, NOISE))
    losses = predictor.summed_losses(batches, guidance, progress)
    sums = summed_gradients(predictor.weights, losses)
    return top_masks({n: s.abs() for n, s in sums.items()}, ratio)
