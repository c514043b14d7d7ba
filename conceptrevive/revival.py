"""Concept revival: completion → Top-K sign retention → neuron-max scaling (paper §3). Sees pruned weights only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch

from conceptrevive.completion import Completion, Solver, complete_all
from conceptrevive.errors import ConceptReviveError
from conceptrevive.masks import MaskSet, check_fit

Magnitude = Literal["max", "average", "sample", "expected"]
MAGNITUDES = get_args(Magnitude)
TOP_K = 0.6  # the paper's K


def complete_layers(
    weights: Mapping[str, torch.Tensor],
    masks: Mapping[str, torch.Tensor] | None = None,
    solver: Solver = "conditional",
    side: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, Completion]:
    """`complete` for every masked layer; without masks, exact zeros are the mask."""
    if masks is not None:
        check_fit(weights, masks)
    return complete_all(weights, masks, solver=solver, side=side)


def retain_signs(completion: Completion, top_k: float = TOP_K) -> torch.Tensor:
    """Signs of the `top_k` share of pruned entries with the largest completed magnitude; 0 elsewhere (paper §3.3).

    Returns: (rows, columns) in {−1, 0, 1}, the weight's dtype.
    """
    if not 0 < top_k <= 1:
        raise ConceptReviveError(f"top_k is {top_k}: it is the share of signs kept, in (0, 1]")
    estimate = completion.weight.where(completion.mask, completion.weight.new_zeros(()))
    kept = torch.zeros_like(estimate, memory_format=torch.contiguous_format)
    positions = completion.mask.flatten().nonzero().squeeze(1)
    count = round(top_k * len(positions))
    if count:
        values = estimate.flatten()[positions]
        chosen = positions[values.abs().float().topk(count).indices]
        kept.view(-1)[chosen] = estimate.flatten()[chosen].sign()
    return kept


def neuron_magnitude(
    weight: torch.Tensor, mask: torch.Tensor, rule: Magnitude = "max", generator: torch.Generator | None = None
) -> torch.Tensor:
    """Magnitude given to a revived entry, from the surviving weights of its own output row (paper §3.4).

    "max": the largest |w|; "average": the mean |w|; "sample": |N(μ, σ²)| of the row's surviving weights.

    Returns: (rows, 1), or (rows, columns) for "sample". Rows without survivors give 0.
    """
    if not weight.shape[1]:
        return weight.new_zeros(len(weight), 1)
    alive = weight.masked_fill(mask, 0).float()
    count = (~mask).sum(1, keepdim=True).clamp_min(1)
    if rule == "max":
        out = alive.abs().amax(1, keepdim=True)
    elif rule == "average":
        out = alive.abs().sum(1, keepdim=True) / count
    elif rule == "sample":
        mean = alive.sum(1, keepdim=True) / count
        variance = ((alive - mean).masked_fill(mask, 0) ** 2).sum(1, keepdim=True) / count
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float32).to(weight.device)
        out = (mean + variance.sqrt() * noise).abs()
    else:
        raise ConceptReviveError(f"magnitude {rule!r} is unknown: choose one of {', '.join(MAGNITUDES)}")
    return out.to(weight.dtype)


def revive_layer(
    completion: Completion, top_k: float = TOP_K, magnitude: Magnitude = "max", generator: torch.Generator | None = None
) -> torch.Tensor:
    """The revived weight of one completed layer; surviving entries bitwise unchanged.

    Besides `neuron_magnitude`'s rules, "expected" leaves every kept entry at its completed value: with the solver "prior"
    that is E[w | survivors, pruned].
    """
    signs = retain_signs(completion, top_k)
    if magnitude == "expected":
        return torch.where(completion.mask & (signs == 0), 0, completion.weight)
    size = neuron_magnitude(completion.weight, completion.mask, magnitude, generator)
    return torch.where(completion.mask, signs * size, completion.weight)


def revive(
    weights: Mapping[str, torch.Tensor] | torch.Tensor,
    mask: Mapping[str, torch.Tensor] | torch.Tensor | None = None,
    *,
    solver: Solver = "conditional",
    top_k: float = TOP_K,
    magnitude: Magnitude = "max",
    seed: int = 0,
    side: Mapping[str, torch.Tensor] | torch.Tensor | None = None,
):
    """Bring a pruned concept back from the zeros alone: no data, no training, no original (paper §3).

    Args:
        weights: {module name: (rows, columns)}, or one matrix.
        mask: which entries were pruned (True), in the same form; None reads them off the exact zeros. Values at
            masked positions are never used.
        solver, top_k, magnitude: see `complete`, `retain_signs`, `revive_layer`.
        seed: for magnitude="sample". side: per layer, what else shares its columns (see `read_side`).

    Returns:
        New weights in the form given. Layers without a mask are copied.
    """
    if isinstance(weights, torch.Tensor):
        name = "weight"
        one = revive(
            {name: weights}, None if mask is None else {name: mask}, solver=solver, top_k=top_k, magnitude=magnitude, seed=seed,
            side={name: side} if isinstance(side, torch.Tensor) else side
        )  # fmt: skip
        return one[name]
    generator = torch.Generator().manual_seed(seed)
    completions = complete_layers(weights, mask, solver, side)
    return {
        n: revive_layer(completions[n], top_k, magnitude, generator) if n in completions else w.clone()
        for n, w in weights.items()
    }


def guess_masks(weights: Mapping[str, torch.Tensor], fraction: float | Mapping[str, float]) -> MaskSet:
    """What an attacker who finds no zeros may try: per row, the `fraction` of entries with the smallest |w|.

    Args:
        fraction: the pruning rate the attacker knows or assumes, one for all or one per layer.
    """
    out = {}
    for name, w in weights.items():
        share = fraction[name] if isinstance(fraction, Mapping) else fraction
        if not 0 <= share <= 1:
            raise ConceptReviveError(f"{name}: fraction is {share}; it is a share of the entries, in [0, 1]")
        count = round(share * w.shape[1])
        mask = torch.zeros_like(w, dtype=torch.bool)
        if count:
            mask.scatter_(1, w.abs().float().topk(count, dim=1, largest=False).indices, True)
        out[name] = mask
    return MaskSet(out, concept="guess: smallest magnitudes")


def sign_accuracy(
    original: Mapping[str, torch.Tensor], completions: Mapping[str, Completion], top_k: float = TOP_K
) -> tuple[float, float]:
    """Share of pruned signs the completion got right: over all pruned entries, and over the kept `top_k` (Tables 5, 6).

    For understanding only: it needs the original. Pruned entries that were 0 before are not counted.
    """
    right = total = right_kept = kept_total = 0
    for name, c in completions.items():
        truth = original[name].sign()
        there = c.mask & (truth != 0)
        right += int(((c.weight.sign() == truth) & there).sum())
        total += int(there.sum())
        kept = retain_signs(c, top_k)
        there = (kept != 0) & (truth != 0)
        right_kept += int(((kept == truth) & there).sum())
        kept_total += int(there.sum())
    return right / max(1, total), right_kept / max(1, kept_total)
