"""Which signs are kept, and how many of them are right (paper §3.3, Tables 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect, expect_number
from conceptrevive.revival.completion.occupancy import places_of
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.defaults import TOP_K
from conceptrevive.unlearning.fit import check_weights


def check_top_k(top_k: float) -> None:
    """Raise ConceptReviveError unless `top_k` is a share of the signs that keeps some."""
    expect_number(top_k, "top_k")
    if not 0 < top_k <= 1:
        raise ConceptReviveError(f"top_k is {top_k}: it is the share of signs kept, in (0, 1]")


def retain_signs(completion: Completion, top_k: float = TOP_K) -> Float[Tensor, "rows columns"]:
    """Signs of the `top_k` share of pruned entries completed to the largest |w| (paper §3.3).

    They are ranked, and their signs taken, before the estimates are rounded to half precision.

    Returns: values in {−1, 0, 1}, 0 where nothing is kept, in the weight's dtype.

    Raises:
        ConceptReviveError: no Completion, or `top_k` out of range.
    """
    expect(completion, Completion, "completion", "give what `complete_matrix` returns")
    check_top_k(top_k)
    kept = torch.zeros_like(completion.weight, memory_format=torch.contiguous_format)
    chosen, signs = kept_signs(completion, places_of(completion.mask), top_k)
    kept.view(-1)[chosen] = signs
    return kept


def kept_signs(
    completion: Completion, places: Int[Tensor, " pruned"], top_k: float
) -> tuple[Int[Tensor, " kept"], Float[Tensor, " kept"]]:
    """`retain_signs` as places and their signs, for a mask that is small beside its matrix.

    Args:
        places: of the pruned entries, see `places_of`.
    """
    values = completion.unrounded.flatten()[places]
    chosen = values.abs().float().topk(round(top_k * len(places))).indices
    return places[chosen], values[chosen].sign().to(completion.weight.dtype)


def sign_accuracy(
    original: Mapping[str, Float[Tensor, "rows columns"]],
    completions: Mapping[str, Completion],
    top_k: float = TOP_K,
) -> tuple[float, float]:
    """Share of pruned signs the completion got right (Tables 5, 6).

    For understanding only: it needs the original. Pruned entries that were 0 before are not
    counted.

    Returns: over all pruned entries, and over the kept `top_k`.

    Raises:
        ConceptReviveError: a completed layer that the original lacks, or has in another shape.
    """
    check_weights(original, name="original")
    expect(completions, Mapping, "completions", "give {module name: Completion}, see `complete`")
    right = total = right_kept = kept_total = 0
    for name, c in completions.items():
        kept = retain_signs(c, top_k)
        if name not in original or original[name].shape != c.mask.shape:
            raise ConceptReviveError(
                f"{name}: the original has no such layer of shape {tuple(c.mask.shape)}: "
                "give the weights of the model before it was pruned"
            )
        truth = original[name].sign().to(c.mask.device)
        there = c.mask & (truth != 0)
        right += int(((c.unrounded.sign() == truth) & there).sum())
        total += int(there.sum())
        there = (kept != 0) & (truth != 0)
        right_kept += int(((kept == truth) & there).sum())
        kept_total += int(there.sum())
    return right / max(1, total), right_kept / max(1, kept_total)
