"""Which signs are kept, and how many of them are right (paper §3.3, Tables 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.completion.problems import Completion
from conceptrevive.revival.defaults import TOP_K


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


def sign_accuracy(
    original: Mapping[str, torch.Tensor],
    completions: Mapping[str, Completion],
    top_k: float = TOP_K,
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
