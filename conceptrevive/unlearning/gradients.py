"""Gradients of a loss with respect to chosen weights, and the weights that score highest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect_number
from conceptrevive.models.weights import Weights

#: From weights to a number: what a batch of pictures costs.
Loss: TypeAlias = Callable[[Mapping[str, Tensor]], Tensor]

NO_GRADIENT = (
    "it takes no part in the prediction, or cannot change it (a layer after it is all zeros, "
    "attention looks at one token): leave it out of `layers`"
)


def leaves(weights: Mapping[str, Tensor]) -> Weights:
    """Copies in float32 that gradients are taken with respect to."""
    return {n: w.detach().float().clone().requires_grad_() for n, w in weights.items()}


def gradients(loss: Tensor, weights: Mapping[str, Tensor]) -> Weights:
    """∂loss/∂W of every weight, in float32.

    Raises ConceptReviveError naming a layer without a gradient, or with one that is not finite.
    """
    # A loss that none of them changes has no graph to go back through.
    nothing = [None] * len(weights)
    found = (
        torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        if loss.requires_grad
        else nothing
    )
    out = {}
    for name, gradient in zip(weights, found, strict=True):
        if gradient is None:
            raise ConceptReviveError(f"{name}: the loss has no gradient there: {NO_GRADIENT}")
        out[name] = gradient.detach()
    finite = torch.stack([torch.isfinite(g).all() for g in out.values()]).tolist()
    for name, ok in zip(out, finite, strict=True):
        if not ok:
            raise ConceptReviveError(
                f"{name}: the gradient is not finite: load the model in float32, "
                "or train with a smaller lr"
            )
    return out


def summed_gradients(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    losses: Iterable[Loss],
    *,
    absolute: bool = False,
) -> Weights:
    """Σ ∂L/∂W over `losses`, or with `absolute` Σ |∂L/∂W|, in float32.

    Raises ConceptReviveError as `gradients` does, and naming a layer whose gradients are all 0.
    """
    at = leaves(weights)
    total = {n: torch.zeros_like(w, requires_grad=False) for n, w in at.items()}
    seen = dict.fromkeys(at, False)
    for loss in losses:
        for name, gradient in gradients(loss(at), at).items():
            seen[name] |= bool(gradient.any())
            total[name] += gradient.abs() if absolute else gradient
    if flat := next((name for name, some in seen.items() if not some), None):
        raise ConceptReviveError(f"{flat}: the gradient of the loss is 0 everywhere: {NO_GRADIENT}")
    return total


def check_ratio(ratio: float) -> None:
    """Raise ConceptReviveError unless `ratio` is a share of all weights that are chosen from."""
    expect_number(ratio, "ratio")
    if not (math.isfinite(ratio) and 0 < ratio <= 1):
        raise ConceptReviveError(
            f"ratio is {ratio}: it is a share of all weights of the chosen layers, in (0, 1]"
        )


def top_masks(
    scores: Mapping[str, Float[Tensor, "rows columns"]], ratio: float
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """The ⌊ratio · count⌋ highest scores of all layers together; of equal ones the first.

    A score of 0 is never among them.

    Raises:
        ConceptReviveError: `ratio` is no share, or selects nothing.
    """
    check_ratio(ratio)
    every = sum(s.numel() for s in scores.values())
    count = int(ratio * every)
    if count == 0:
        raise ConceptReviveError(f"ratio {ratio} selects none of {every} weights: raise it")
    return highest(scores, count)


def highest(
    scores: Mapping[str, Float[Tensor, "rows columns"]], count: int
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """The `count` highest scores of all layers together, as `top_masks`; none of `count` 0."""
    every = torch.cat([s.flatten() for s in scores.values()])
    mask = torch.zeros_like(every, dtype=torch.bool)
    if count:
        least = every.kthvalue(every.numel() - count + 1).values
        mask = every > least
        equal = (every == least).nonzero().flatten()
        mask[equal[: count - int(mask.sum())]] = True
        mask &= every > 0
    parts = torch.split(mask, [s.numel() for s in scores.values()])
    return {n: p.view(s.shape).clone() for (n, s), p in zip(scores.items(), parts, strict=True)}
