"""ConceptPrune: the weights that matter for a concept (paper §1; Chavhan et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.choosing import drawn_with
from conceptrevive.models.generation import fastest
from conceptrevive.models.matrices import selection_note, views
from conceptrevive.models.precision import How
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.selection import Layers, Selection
from conceptrevive.unlearning.draws import check_draws
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.prompts import check_prompts
from conceptrevive.unlearning.recording import column_norms
from conceptrevive.unlearning.settings import check_rows, chosen_settings


def locate(
    model: TextToImage,
    concept: Concept,
    *,
    skill_ratio: float | None = None,
    tau: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    layers: Layers = None,
    seed: int = 0,
    batch_size: int = 16,
    autocast: bool = False,
    adapter: Adapter | None = None,
    progress: Callable[[int], object] | None = None,
) -> MaskSet:
    """Masks of the weights to prune so that `model` forgets `concept`.

    Target and base prompts run in the same batches from the same noise; per layer and step the
    Wanda scores of both are compared (`wanda_mask`), and the masks of the first `tau` denoising
    steps are united.

    Args:
        model: a diffusers text-to-image pipeline.
        concept: see `get_concept`.
        skill_ratio, tau, steps, guidance: None takes the concept's own settings. tau counts
            predictions of the denoiser, as the released code does: schedulers that make several in
            a step (Heun, PNDM's first) use up as many of them.
        layers: which weights, see `Selection.of`; None takes the feed-forward outputs. Layers of
            text encoders run once, before the first step, which stands for all.
        seed: of the noise that every prompt starts from.
        batch_size: pictures denoised at a time, half of them from target and half from base
            prompts.
        autocast: let a processor draw in the way that a short timing found fastest, as `generate`
            does. By default the model's own precision is kept, as the released code does, so that
            masks do not depend on the machine's fastest way.
        adapter: how the pipeline is called, see `generate`.
        progress: called with the number of prompts finished since the last call.

    Raises:
        ConceptReviveError: a setting out of range, a prompt that the model would cut, a layer that
            was not seen at every step, or nothing found.
    """
    expect(concept, Concept, "concept", "give a Concept, as `get_concept(name)` returns")
    s = chosen_settings(concept, skill_ratio, tau, steps, guidance)
    check_draws(seed, batch_size)
    selection = Selection.of(layers)
    chosen = views(model, selection)
    check_rows(chosen, s.skill_ratio)
    check_prompts(model, concept)
    with drawn_with(model, adapter):
        norms = column_norms(
            model,
            (concept.target_prompts, concept.base_prompts),
            tau=s.tau,
            steps=s.steps,
            guidance=s.guidance,
            seed=seed,
            layers=selection,
            batch_size=batch_size,
            autocast=autocast,
            progress=progress,
        )
        sampling = str(fastest(model) if autocast else How())
    weights = {n: view.weight for n, view in chosen.items()}
    masks = MaskSet(
        concept_masks(weights, norms, s.skill_ratio),
        concept=concept.name,
        skill_ratio=s.skill_ratio,
        tau=s.tau,
        seed=int(seed),
        sampling=sampling,
        method="conceptprune",
        **selection_note(model, selection),
    )
    if masks.count == 0:
        raise ConceptReviveError(
            f"nothing was found for {concept.name!r}: no column is larger for the target prompts "
            "than for the base prompts; name the concept in the target prompts alone"
        )
    return masks


def concept_masks(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    norms: Mapping[str, Float[Tensor, "groups steps columns"]],
    skill_ratio: float,
    tau: int | None = None,
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """Union over the first `tau` steps of each layer's `wanda_mask` (paper §1).

    Args:
        weights: {module name: matrix}.
        norms: {module name: (2, steps, columns)}, target's and base's column norms.
        tau: None takes all the steps in `norms`.
    """
    masks = {}
    for name, weight in weights.items():
        masks[name] = torch.zeros_like(weight, dtype=torch.bool)
        for target, base in zip(*norms[name][:, :tau], strict=True):
            masks[name] |= wanda_mask(weight, target, base, skill_ratio)
    return masks


def wanda_mask(
    weight: Float[Tensor, "rows columns"],
    target: Float[Tensor, " columns"],
    base: Float[Tensor, " columns"],
    skill_ratio: float,
) -> Bool[Tensor, "rows columns"]:
    """ConceptPrune's mask of one layer at one denoising step (Chavhan et al. 2025, eq. 3–5).

    Scores are |W_ij| · A[j]. Per row the top ⌊skill_ratio · columns⌋ target scores are taken, of
    which only those stay whose target score exceeds the base score; |W_ij| cancels there, so that
    test is per column.

    Args:
        target, base: column norms ≥ 0.
        skill_ratio: in (0, 1].

    Returns: True = to be pruned.
    """
    count = int(skill_ratio * weight.shape[1])
    mask = torch.zeros_like(weight, dtype=torch.bool)
    if count == 0:
        return mask
    scores = weight.abs().to(target.dtype) * target
    mask.scatter_(1, scores.topk(count, dim=1, sorted=False).indices, True)
    return mask & (target > base) & (scores > 0)
