"""Checks of `notebooks/03_skilled_neurons.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from conceptrevive.teaching.exercises import (
    Verdict,
    as_function,
    as_number,
    exercise,
    right,
    wrong,
)


@exercise("skilled_neurons.1", mistaken=((0.1, 0.1), (0.01, 0.1), (0.005, 0.1), ("few", 0.1)))
def masks_by_chance(answer: Any, share: float) -> Verdict:
    """Exercise 1: the Jaccard index of independent masks."""
    given = as_number(answer, 0, 1)
    if abs(given - share / (2 - share)) < 1e-3:
        return right("a Jaccard index far above this one is not chance.")
    if abs(given - share**2) < 1e-3:
        return wrong("that is the share of all places that is in both masks.")
    return wrong("divide what is in both masks by what is in either.")


_WEIGHT = torch.ones(2, 20)
_NORMS = torch.stack([torch.arange(20.0, 0, -1), torch.full((20,), 19.5)])


@exercise(
    "skilled_neurons.2",
    mistaken=((0.25, _WEIGHT, _NORMS), (1.0, _WEIGHT, _NORMS), (50, _WEIGHT, _NORMS)),
)
def spared_by_the_base(answer: Any, weight: Tensor, norms: Tensor, k: float = 0.1) -> Verdict:
    """Exercise 2: the share of the top-k that the comparison with the base prompts removes."""
    given, (target, base) = as_number(answer, 0, 1), norms
    scores = weight.abs() * target
    top = scores.topk(int(k * weight.shape[1]), dim=1).indices
    truth = 1 - float((target > base)[top].float().mean())
    if abs(given - truth) < 2e-3:
        return right("so much of the top is at least as busy when there is no bus.")
    if abs(given - (1 - truth)) < 2e-3:
        return wrong("that is the share that stays in the mask.")
    return wrong("count the mask with the test and without it, in the same layer and step.")


def _small_rows(weight: Tensor, target: Tensor, base: Tensor, k: float) -> Tensor:
    """By rows, as ConceptPrune ranks: mistaken here."""
    scores = weight.abs() * target
    top = scores.topk(int(k * weight.shape[1]), dim=1).indices
    mask = torch.zeros_like(weight, dtype=torch.bool).scatter(1, top, True)
    return mask & (target > base)


def _untested(weight: Tensor, target: Tensor, base: Tensor, k: float) -> Tensor:
    """Without the comparison: mistaken."""
    scores = (weight.abs() * target).flatten()
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter(0, scores.topk(int(k * len(scores))).indices, True).view_as(weight)


@exercise(
    "skilled_neurons.3",
    mistaken=(0.1, _small_rows, _untested, lambda weight, target, base, k: weight > 0),
)
def ranked_in_the_layer(answer: Any) -> Verdict:
    """Exercise 3: top-k over the whole matrix, with the test per column."""
    function, source = as_function(answer), torch.Generator().manual_seed(0)
    weight = torch.randn(8, 40, generator=source) * torch.logspace(-2, 0, 8)[:, None]
    target, base = torch.rand(2, 40, generator=source)
    mask = function(weight, target, base, 0.2)
    if not isinstance(mask, Tensor) or mask.shape != weight.shape or mask.dtype != torch.bool:
        return wrong("return a tensor of true and false in the shape of the weight.")
    wanted = _untested(weight, target, base, 0.2)
    if torch.equal(mask, wanted):
        return wrong("the ranking is right; now spare columns that the base prompts use as much.")
    if torch.equal(mask, _small_rows(weight, target, base, 0.2)):
        return wrong("this ranks each row by itself, as ConceptPrune does.")
    if torch.equal(mask, wanted & (target > base)):
        return right("rows of small weights are left alone now, and others lose most.")
    return wrong("rank all scores of the matrix together, then apply the same test per column.")
