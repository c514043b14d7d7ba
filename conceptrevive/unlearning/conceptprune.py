"""ConceptPrune: find the weights that matter for a concept (paper §1; Chavhan et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.generation import fastest
from conceptrevive.models.layers import candidate_layers
from conceptrevive.models.seeds import EVALUATION_SEED
from conceptrevive.models.weights import Weights
from conceptrevive.unlearning.activations import column_norms
from conceptrevive.unlearning.masks import MaskSet


def locate(
    model,
    concept: Concept,
    *,
    skill_ratio: float | None = None,
    tau: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    batch_size: int = 16,
    progress=None,
) -> MaskSet:
    """Masks of the weights to prune so that `model` forgets `concept`.

    Target and base prompts run in the same batches from the same noise; per layer and step the Wanda scores of both are compared
    (`wanda_mask`), and the masks of the first `tau` denoising steps are united.

    Args:
        model: a diffusers text-to-image pipeline. concept: see `get_concept`.
        skill_ratio, tau, steps, guidance: None takes the concept's own settings.
        batch_size: pictures denoised at a time, half of them from target and half from base prompts.
        progress: called with the number of prompts finished since the last call.

    Raises:
        ConceptReviveError: a setting out of range.
    """
    s = concept.settings
    k, tau = (
        skill_ratio if skill_ratio is not None else s.skill_ratio,
        tau if tau is not None else s.tau,
    )
    steps, guidance = (
        steps if steps is not None else s.steps,
        guidance if guidance is not None else s.guidance,
    )
    if not 0 <= seed < EVALUATION_SEED:
        raise ConceptReviveError(
            f"seed is {seed}: from {EVALUATION_SEED} on seeds belong to evaluations"
        )
    if batch_size < 1:
        raise ConceptReviveError(f"batch_size is {batch_size}: it must be at least 1")
    if not 0 < k <= 1:
        raise ConceptReviveError(f"skill_ratio is {k}: it is a share of each row, in (0, 1]")
    if not 1 <= tau <= steps:
        raise ConceptReviveError(
            f"tau is {tau}: it counts denoising steps, from 1 to the {steps} taken"
        )
    layers = candidate_layers(model)
    for name, layer in layers.items():
        if int(k * layer.in_features) == 0:
            raise ConceptReviveError(
                f"skill_ratio {k} selects no entry of {name}'s {layer.in_features} columns: raise it"
            )
    run = dict(
        tau=tau, steps=steps, guidance=guidance, seed=seed, batch_size=batch_size, progress=progress
    )
    norms = column_norms(model, (concept.target_prompts, concept.base_prompts), **run)
    masks = concept_masks({n: layer.weight.detach() for n, layer in layers.items()}, norms, k)
    return MaskSet(
        masks, concept=concept.name, skill_ratio=k, tau=tau, seed=seed, sampling=str(fastest(model))
    )


def concept_masks(
    weights: Weights, norms: Mapping[str, torch.Tensor], skill_ratio: float, tau: int | None = None
) -> dict[str, torch.Tensor]:
    """Union over the first `tau` steps of each layer's `wanda_mask` (paper §1).

    Args:
        weights: {module name: (d, columns)}. norms: {module name: (2, steps, columns)}, target's and base's column norms.
        tau: None takes all the steps in `norms`.
    """
    masks = {}
    for name, weight in weights.items():
        masks[name] = torch.zeros_like(weight, dtype=torch.bool)
        for target, base in zip(*norms[name][:, :tau], strict=True):
            masks[name] |= wanda_mask(weight, target, base, skill_ratio)
    return masks


def wanda_mask(
    weight: torch.Tensor, target: torch.Tensor, base: torch.Tensor, skill_ratio: float
) -> torch.Tensor:
    """ConceptPrune's mask of one layer at one denoising step (Chavhan et al. 2025, eq. 3–5).

    Scores are |W_ij| · A[j]. Per row the top ⌊skill_ratio · columns⌋ target scores are taken, of which only those
    stay whose target score exceeds the base score; |W_ij| cancels there, so that test is per column.

    Args:
        weight: (rows, columns). target, base: column norms (columns,) ≥ 0. skill_ratio: in (0, 1].

    Returns:
        bool (rows, columns), True = to be pruned.
    """
    count = int(skill_ratio * weight.shape[1])
    mask = torch.zeros_like(weight, dtype=torch.bool)
    if count == 0:
        return mask
    scores = weight.abs().to(target.dtype) * target
    mask.scatter_(1, scores.topk(count, dim=1, sorted=False).indices, True)
    return mask & (target > base) & (scores > 0)
