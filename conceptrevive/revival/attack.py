"""Concept revival: completion → Top-K sign retention → neuron-max scaling (paper §3).

It sees pruned weights and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect_seed
from conceptrevive.models.selection import Layers, chosen_of
from conceptrevive.models.weights import Weights
from conceptrevive.revival.completion.occupancy import places_of
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.completion.solvers import complete
from conceptrevive.revival.completion.threads import side_by_side
from conceptrevive.revival.defaults import MAGNITUDE, SOLVER, TOP_K, Magnitude, Solver
from conceptrevive.revival.magnitude import (
    Rule,
    magnitude_rule,
    own_magnitude,
    survivors_magnitude,
)
from conceptrevive.revival.signs import check_top_k, kept_signs
from conceptrevive.unlearning.fit import check_weights


def revive(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]] | None = None,
    *,
    solver: Solver = SOLVER,
    top_k: float = TOP_K,
    magnitude: Magnitude | str | Rule = MAGNITUDE,
    seed: int = 0,
    side: Mapping[str, Float[Tensor, "any_rows columns"]] | None = None,
    layers: Layers = None,
) -> Weights:
    """Bring a pruned concept back from the zeros alone (paper §3).

    No data, no training, no original.

    Args:
        weights: {module name: pruned matrix}.
        masks: which entries were pruned (True), keyed alike; None reads them off the exact zeros.
            Values at masked positions are never used.
        solver, top_k, magnitude: see `complete`, `retain_signs`, `revive_layer`. A magnitude is a
            rule's name or a function, see `own_magnitude`.
        seed: for magnitude="sample", and for functions.
        side: per layer, what else shares its columns (see `read_side`).
        layers: which of the weights are attacked, see `Selection.of`; None takes all.

    Returns:
        New weights, {module name: matrix}. Layers without a mask, or not chosen, are copied.

    Raises:
        ConceptReviveError: see `complete` and `retain_signs`; an unknown magnitude rule, or a seed
            that is none.
    """
    check_weights(weights, "revive_matrix")
    check_top_k(top_k)
    rule = magnitude_rule(magnitude)
    expect_seed(seed)
    generator = torch.Generator().manual_seed(int(seed))
    attacked = {name: weights[name] for name in chosen_of(weights, layers)}
    if masks is not None and layers is not None:
        masks = {name: mask for name, mask in masks.items() if name in attacked}
    completions = complete(attacked, masks, solver=solver, side=side)

    def one(name: str) -> Tensor:
        if name not in completions:
            return weights[name].clone()
        try:
            return _revived(completions.pop(name), top_k, rule, generator)
        except ConceptReviveError as e:
            raise ConceptReviveError(f"{name}: {e}") from e

    draws = callable(rule) or rule == "sample"  # from one stream, layer by layer
    here = all(w.device.type == "cpu" for w in weights.values())
    turns = side_by_side if here and not draws else map
    return dict(zip(weights, turns(one, list(weights)), strict=True))


def revive_matrix(
    weight: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    *,
    solver: Solver = SOLVER,
    top_k: float = TOP_K,
    magnitude: Magnitude | str | Rule = MAGNITUDE,
    seed: int = 0,
    side: Float[Tensor, "any_rows columns"] | None = None,
    name: str = "weight",
) -> Float[Tensor, "rows columns"]:
    """`revive` for one matrix; `name` is what messages call it."""
    revived = revive(
        {name: weight},
        None if mask is None else {name: mask},
        solver=solver,
        top_k=top_k,
        magnitude=magnitude,
        seed=seed,
        side=None if side is None else {name: side},
    )
    return revived[name]


def revive_layer(
    completion: Completion,
    top_k: float = TOP_K,
    magnitude: Magnitude | str | Rule = MAGNITUDE,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "rows columns"]:
    """The revived weight of one completed layer; surviving entries bitwise unchanged.

    Besides `neuron_magnitude`'s rules, "expected" leaves every kept entry at its completed value:
    with the solver "prior" that is E[w | survivors, pruned]. For a rule of one's own see
    `own_magnitude`.
    """
    check_top_k(top_k)
    own = replace(completion, weight=completion.weight.clone())
    return _revived(own, top_k, magnitude_rule(magnitude), generator)


def _revived(
    completion: Completion, top_k: float, rule: Magnitude | Rule, generator: torch.Generator | None
) -> Float[Tensor, "rows columns"]:
    """`revive_layer`, where the completion's weight may be written over.

    Few entries are pruned: they are written one by one, and the matrix is not gone through.
    """
    weight, mask = completion.weight.contiguous(), completion.mask
    places = places_of(mask)
    kept, signs = kept_signs(completion, places, top_k)
    flat = weight.view(-1)
    if rule == "expected":
        expected = flat[kept]
        flat[places] = 0
        flat[kept] = expected
        return weight
    if callable(rule):
        size = own_magnitude(rule, weight, mask, generator)
        flat[places] = 0
    else:
        flat[places] = 0
        size = survivors_magnitude(weight, mask, rule, generator)
    columns = weight.shape[1]
    flat[kept] = signs * size.expand(weight.shape)[kept // columns, kept % columns]
    return weight
