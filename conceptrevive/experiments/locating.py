"""Where locators look: scores by gradient of all weights, controls of equal size, and densities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.models.layers import denoiser
from conceptrevive.models.matrices import GROUPS, candidate_layers, group_of
from conceptrevive.models.precision import How, applied
from conceptrevive.models.protocol import TextToImage
from conceptrevive.unlearning.denoising import NoisePredictor
from conceptrevive.unlearning.examples import COUNT, Pictures, concept_examples
from conceptrevive.unlearning.gradients import highest
from conceptrevive.unlearning.salun import salun_scores
from conceptrevive.unlearning.snip import scissorhands_scores

Scores = dict[str, Float[Tensor, "rows columns"]]
Masks = dict[str, Bool[Tensor, "rows columns"]]

#: g of the guided loss, as released.
GUIDANCE = 7.5
#: Batches that Scissorhands adds up, as released.
DRAWS = 10


def gradient_scores(
    pipe: TextToImage,
    concept: Concept,
    pictures: Pictures = COUNT,
    *,
    layers: Iterable[str] | None = None,
    seed: int,
) -> dict[str, Scores]:
    """The scores of SalUn and of Scissorhands, by method, of every weight with two axes or more.

    Args:
        layers: whose weights; None takes every layer's.
        pictures: of the concept, see `locate_salun`. Scissorhands draws as many batches of them as
            released, and of fewer pictures than that as many as there are.
    """
    draws = min(DRAWS, len(pictures) if isinstance(pictures, Sequence) else pictures)
    told: dict[str, Any] = {"guidance": GUIDANCE, "seed": seed}
    with differentiable(pipe), applied(pipe, How()):
        predictor = NoisePredictor(pipe, "all" if layers is None else layers)
        shown = concept_examples(pipe, concept, pictures, seed=seed)
        return {
            "salun": salun_scores(predictor, shown, **told),
            "scissorhands": scissorhands_scores(predictor, shown, draws=draws, **told),
        }


def selected(pipe: TextToImage, scores: Scores, layers: str) -> Scores:
    """Of the scores of all layers, or of some, those of a `Selection`."""
    linear = candidate_layers(pipe, "linear")
    return {n: s for n, s in scores.items() if layers == "all" or n in linear}


def spread(pipe: TextToImage, most: int | None) -> list[str]:
    """`most` linear layers and as many convolutions, evenly from the first to the last of each.

    In the model's order; all of a kind that has fewer, and all where `most` is None.
    """
    every, linear = list(candidate_layers(pipe, "all")), candidate_layers(pipe, "linear")
    kinds = ([n for n in every if n in linear], [n for n in every if n not in linear])
    if most is None:
        return every
    chosen = {kind[i * len(kind) // most] for kind in kinds if kind for i in range(most)}
    return [n for n in every if n in chosen]


@contextmanager
def differentiable(pipe: TextToImage) -> Iterator[None]:
    """Within the block a pipeline in float16, in which gradients vanish, is in float32.

    There and back changes no weight.
    """
    moved: Any = pipe
    half = next(denoiser(pipe).parameters()).dtype == torch.float16
    if half:
        moved.to(dtype=torch.float32)
    try:
        yield
    finally:
        if half:
            moved.to(dtype=torch.float16)


def random_everywhere(weights: Mapping[str, Tensor], count: int, seed: int) -> Masks:
    """`count` weights anywhere, each as likely as any other."""
    return highest(_drawn(weights, seed), count)


def random_in_layers(masks: Mapping[str, Tensor], seed: int) -> Masks:
    """As many weights of every layer as `masks` has there, anywhere in it."""
    drawn = _drawn(masks, seed)
    return {n: highest({n: drawn[n]}, int(mask.sum()))[n] for n, mask in masks.items()}


def largest_magnitudes(weights: Mapping[str, Tensor], count: int) -> Masks:
    """The `count` largest |w| of all layers together."""
    return highest({n: w.abs().float() for n, w in weights.items()}, count)


def _drawn(like: Mapping[str, Tensor], seed: int) -> Scores:
    """A number in (0, 1] for every weight, whatever the device."""
    generator = torch.Generator().manual_seed(seed)
    return {n: 1 - torch.rand(t.shape, generator=generator).to(t.device) for n, t in like.items()}


def densities(pipe: TextToImage, masks: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """By group of layers: which share of what is located lies there (`share`, together 1), and
    which share of the group's weights is located (`density`).

    Layers without a mask count: nothing is located there.
    """
    located: Counter[str] = Counter(dict.fromkeys(GROUPS, 0))
    there: Counter[str] = Counter(dict.fromkeys(GROUPS, 0))
    for name, layer in candidate_layers(pipe, "all").items():
        group = group_of(name, layer.weight)
        there[group] += layer.weight.numel()
        located[group] += int(masks[name].sum()) if name in masks else 0
    whole = max(1, located.total())
    return {
        "share": {g: round(located[g] / whole, 6) for g in GROUPS},
        "density": {g: round(located[g] / max(1, there[g]), 6) for g in GROUPS},
    }
