"""The size given to a revived weight, from what survived in its own output row (paper §3.4)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.defaults import MAGNITUDE, MAGNITUDES, Magnitude

#: Those that are sizes of their own; "expected" keeps the completed one.
RULES = tuple(rule for rule in MAGNITUDES if rule != "expected")


def neuron_magnitude(
    weight: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"],
    rule: Magnitude = MAGNITUDE,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "rows _"]:
    """Magnitude given to a revived entry, from what survived in its output row (paper §3.4).

    "max": the largest |w|; "average": the mean |w|; "sample": |N(μ, σ²)| of the row's surviving
    weights.

    Returns: (rows, 1), or (rows, columns) for "sample". Rows without survivors give 0.
    """
    if not weight.shape[1]:
        return weight.new_zeros(len(weight), 1)
    alive = torch.where(mask, 0, weight).float()
    if rule == "max":
        low, high = alive.aminmax(dim=1, keepdim=True)
        return torch.maximum(low.abs(), high.abs()).to(weight.dtype)
    count = (~mask).sum(1, keepdim=True).clamp_min(1)
    if rule == "average":
        out = alive.abs().sum(1, keepdim=True) / count
    elif rule == "sample":
        mean = alive.sum(1, keepdim=True) / count
        variance = ((alive - mean).masked_fill(mask, 0) ** 2).sum(1, keepdim=True) / count
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float32).to(
            weight.device
        )
        out = (mean + variance.sqrt() * noise).abs()
    else:
        raise ConceptReviveError(f"magnitude {rule!r} is unknown: choose one of {', '.join(RULES)}")
    return out.to(weight.dtype)
