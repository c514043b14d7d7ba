"""Forget-It-All: pruning of one or several concepts that spares what all of them use.

arXiv:2601.06163, with what its released code does; nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.concepts.concept import Concept, Settings
from conceptrevive.errors import ConceptReviveError, expect, expect_number
from conceptrevive.models.matrices import selection_note, views
from conceptrevive.models.precision import How
from conceptrevive.models.protocol import TextToImage
from conceptrevive.models.selection import Layers, Selection
from conceptrevive.unlearning.draws import check_draws
from conceptrevive.unlearning.masks import MaskSet
from conceptrevive.unlearning.prompts import check_prompts
from conceptrevive.unlearning.recording import column_norms
from conceptrevive.unlearning.settings import check_rows, chosen_settings


def locate_forget_it_all(
    model: TextToImage,
    concept: Concept | Sequence[Concept],
    *,
    skill_ratio: float = 0.007,
    persistent: float = 0.05,
    agnostic: float = 0.6,
    tau: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    layers: Layers = None,
    seed: int = 0,
    batch_size: int = 16,
    progress: Callable[[int], object] | None = None,
) -> MaskSet:
    """Forget-It-All's masks, for one concept or for several at once.

    Per concept, layer and step S = |W| · max(0, μ_concept − μ_base − σ_base), of the column norms
    of each prompt by itself (`contrast`). Over the steps half its mean and half the share of steps
    in which it is among the layer's highest are added (`integrated`); the highest of each row that
    are among the layer's highest too are the concept's (`sparse_mask`). Of several concepts the
    weights that most share are spared (`fused`). Released: skill ratio 0.007 for objects (0.03 for
    parachute, golf ball and gas pump), 0.02 for styles, 0.01 for unsafe content; persistent 0.05;
    agnostic 0.6 (0.8 for styles); tau 10 of 50 steps, guidance 7.5.

    With one concept the released code spares every weight that it found; here the concept's own
    mask is taken.

    Args:
        model: a diffusers text-to-image pipeline.
        concept: see `get_concept`; or several.
        skill_ratio: r₂, the share of each row and of each layer that is taken.
        persistent: r₁, the share of a layer that counts as high at one step.
        agnostic: α: weights that ⌈α · concepts⌉ concepts or more share are spared.
        tau, steps, guidance: None takes each concept's own settings.
        layers: which weights, see `locate`.
        seed: of the noise that every prompt starts from.
        batch_size: pictures denoised at a time.
        progress: called with the number of prompts finished since the last call.

    Raises:
        ConceptReviveError: as `locate` does.
    """
    several = [concept] if isinstance(concept, Concept) else concept
    expect(several, (list, tuple), "concept", "give a Concept, or a list of them")
    if not several:
        raise ConceptReviveError("concept is an empty list: give at least one")
    for one in several:
        expect(one, Concept, "concept", "give a Concept, as `get_concept(name)` returns")
    check_draws(seed, batch_size)
    for name, share in (("persistent", persistent), ("agnostic", agnostic)):
        expect_number(share, name)
        if not 0 < share <= 1:
            raise ConceptReviveError(f"{name} is {share}: it is a share, in (0, 1]")
    selection = Selection.of(layers)
    chosen = views(model, selection)
    settings = [chosen_settings(one, skill_ratio, tau, steps, guidance) for one in several]
    for one, own in zip(several, settings, strict=True):
        check_rows(chosen, own.skill_ratio)
        check_prompts(model, one)
    found = []
    for one, own in zip(several, settings, strict=True):
        target, base = (
            prompt_norms(model, prompts, selection, own, seed, batch_size, progress)
            for prompts in (one.target_prompts, one.base_prompts)
        )
        own_masks = {}
        for name, view in chosen.items():
            weight, lifted = view.weight, contrast(target[name], base[name])
            scores = integrated(weight, lifted, persistent)
            own_masks[name] = sparse_mask(scores, own.skill_ratio)
        found.append(own_masks)
    masks = MaskSet(
        fused(found, agnostic),
        concept=", ".join(one.name for one in several),
        skill_ratio=float(skill_ratio),
        tau=settings[0].tau if len({own.tau for own in settings}) == 1 else None,
        seed=int(seed),
        sampling=str(How()),
        method="forget-it-all",
        **selection_note(model, selection),
    )
    if masks.count == 0:
        raise ConceptReviveError(_nothing(masks.concept, found))
    return masks


def _nothing(concept: str, found: Sequence[Mapping[str, Tensor]]) -> str:
    if any(bool(mask.any()) for masks in found for mask in masks.values()):
        return (
            f"every weight that was found for {concept} is shared by too many of them: "
            "raise agnostic"
        )
    return (
        f"nothing was found for {concept!r}: no column is larger for the target prompts than for "
        "the base prompts and their spread; name the concept in the target prompts alone"
    )


def prompt_norms(
    model: TextToImage,
    prompts: Sequence[str],
    layers: Layers,
    settings: Settings,
    seed: int,
    batch_size: int = 16,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Float[Tensor, "prompts steps columns"]]:
    """Column norms of each prompt by itself, {module name: (prompts, tau, columns)}."""
    parts: dict[str, list[Tensor]] = {}
    for first in range(0, len(prompts), batch_size):
        norms = column_norms(
            model,
            [[prompt] for prompt in prompts[first : first + batch_size]],
            tau=settings.tau,
            steps=settings.steps,
            guidance=settings.guidance,
            seed=seed,
            layers=layers,
            batch_size=batch_size,
            progress=progress,
        )
        for name, norm in norms.items():
            parts.setdefault(name, []).append(norm)
    return {name: torch.cat(part) for name, part in parts.items()}


def contrast(
    target: Float[Tensor, "prompts steps columns"], base: Float[Tensor, "prompts steps columns"]
) -> Float[Tensor, "steps columns"]:
    """max(0, μ_target − μ_base − σ_base), over prompts; σ is that of the prompts themselves."""
    spread = base.std(0, correction=0)
    return (target.mean(0) - base.mean(0) - spread).clamp_min(0)


def integrated(
    weight: Float[Tensor, "rows columns"],
    contrast: Float[Tensor, "steps columns"],
    persistent: float,
) -> Float[Tensor, "rows columns"]:
    """Strength and persistence of S_t = |W| · contrast_t, each in [0, 1], half and half (eq. 3).

    Strength is the mean over the steps, divided by its maximum; persistence the share of steps in
    which S_t exceeds the lowest of the layer's share `persistent` of highest scores.
    """
    size = weight.abs().to(contrast.dtype)
    mean, high = torch.zeros_like(size), torch.zeros_like(size)
    count = max(1, int(persistent * weight.numel()))
    for column in contrast:
        score = size * column
        least = score.flatten().kthvalue(score.numel() - count + 1).values
        mean += score / len(contrast)
        high += (score > least).to(high.dtype) / len(contrast)
    return (mean / mean.max().clamp_min(1e-12) + high) / 2


def sparse_mask(
    scores: Float[Tensor, "rows columns"], skill_ratio: float
) -> Bool[Tensor, "rows columns"]:
    """Among the highest of their row and of the whole layer (eq. 4 to 6); a score of 0 never is."""
    in_row, in_layer = (torch.zeros_like(scores, dtype=torch.bool) for _ in range(2))
    rows = scores.topk(int(skill_ratio * scores.shape[1]), dim=1, sorted=False).indices
    in_row.scatter_(1, rows, True)
    layer = scores.flatten().topk(int(skill_ratio * scores.numel()), sorted=False).indices
    in_layer.view(-1)[layer] = True
    return in_row & in_layer & (scores > 0)


def fused(
    masks: Sequence[Mapping[str, Bool[Tensor, "rows columns"]]], agnostic: float
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """Found for some of the concepts, and for fewer than ⌈agnostic · concepts⌉ (eq. 7 and 8).

    One concept's own mask stays as it is.
    """
    if len(masks) == 1:
        return dict(masks[0])
    most = math.ceil(agnostic * len(masks))
    votes = {name: torch.stack([m[name] for m in masks]).sum(0) for name in masks[0]}
    return {name: (0 < v) & (v < most) for name, v in votes.items()}
