"""Concept revival: completion → Top-K sign retention → neuron-max scaling (paper §3). Sees pruned weights only."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from conceptrevive.revival.completion.solvers import Completion, Solver, complete_all
from conceptrevive.revival.magnitude import Magnitude, neuron_magnitude
from conceptrevive.revival.signs import TOP_K, retain_signs
from conceptrevive.unlearning.masks import check_fit


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


def revive_layer(
    completion: Completion,
    top_k: float = TOP_K,
    magnitude: Magnitude = "max",
    generator: torch.Generator | None = None,
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
            {name: weights},
            None if mask is None else {name: mask},
            solver=solver,
            top_k=top_k,
            magnitude=magnitude,
            seed=seed,
            side={name: side} if isinstance(side, torch.Tensor) else side,
        )
        return one[name]
    generator = torch.Generator().manual_seed(seed)
    completions = complete_layers(weights, mask, solver, side)
    return {
        n: revive_layer(completions[n], top_k, magnitude, generator)
        if n in completions
        else w.clone()
        for n, w in weights.items()
    }
