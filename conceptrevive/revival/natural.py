"""Which layers of a checkpoint were pruned: their zeros told from natural ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.detectors.evidence import testable
from conceptrevive.detectors.tails import poisson_tail
from conceptrevive.detectors.zeros import find_zeros, natural_zeros, zeros_by_rounding
from conceptrevive.unlearning.masks import MaskSet

CERTAIN = -6.0  # log10 of the chance that rounding leaves as many zeros: one matrix in 10⁶

TOO_FEW = "they are too few to tell pruning from rounding"

LIKELY = -2.0  # the same, in a layer of a kind of which another is pruned for certain


@dataclass(frozen=True)
class ZeroReport:
    """What the exact zeros of a checkpoint's layers say.

    Attributes:
        masks: the zeros of layers that were pruned.
        natural: {layer: why its zeros are taken for natural ones}.
        looked_at: layers, with and without zeros.
    """

    masks: MaskSet
    natural: dict[str, str]
    looked_at: int


def tell_zeros(
    layers: Iterable[tuple[str, Float[Tensor, "rows columns"]]],
    kind: Callable[[str], Any] = lambda name: None,
) -> ZeroReport:
    """Tell pruned from natural zeros, layer by layer.

    A layer is pruned where its scattered zeros are beyond what rounding leaves: by far (1 in 10⁶),
    or, where another layer of its kind is, clearly (1 in 100). Zeros of layers that are 0
    throughout, of whole rows, blocks and triangles, and of quantisation grids are natural.

    Args:
        layers: (name, matrix), looked at one at a time and not kept.
        kind: what layers have in common that are pruned together.
    """
    pruned: dict[str, Bool[Tensor, "rows columns"]] = {}
    likely: set[str] = set()
    natural: dict[str, str] = {}
    looked_at = 0
    for name, weight in layers:
        looked_at += 1
        zero = weight == 0
        if not zero.any():
            continue
        natural[name] = _why_natural(weight)
        is_likely = natural[name] == TOO_FEW and _log_p(weight) <= LIKELY
        if is_likely or not natural[name]:
            pruned[name] = zero
        if is_likely:
            likely.add(name)
    kinds = {kind(name) for name in pruned if name not in likely}
    masks = {n: zero for n, zero in pruned.items() if kind(n) in kinds}
    natural = {n: why for n, why in natural.items() if n not in masks}
    return ZeroReport(MaskSet(masks, concept="exact zeros"), natural, looked_at)


def _why_natural(weight: Float[Tensor, "rows columns"]) -> str:
    """Why the zeros of a matrix are no pruning's; empty where they are."""
    if reason := natural_zeros(weight):
        return reason
    evidence = find_zeros(weight)
    if "structured" in evidence.detail:
        return "they fill blocks or a triangle"
    return "" if evidence.log_p <= CERTAIN else TOO_FEW


def _log_p(weight: Float[Tensor, "rows columns"]) -> float:
    """log10 of the chance that rounding leaves as many zeros; 0 for matrices that say nothing."""
    if not testable(weight):
        return 0.0
    explained = torch.tensor(zeros_by_rounding(weight))
    return float(poisson_tail((weight == 0).sum(), explained))
