"""The size given to a revived weight, from the surviving weights of its own output row (paper §3.4)."""

from __future__ import annotations

import torch

from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.defaults import MAGNITUDES, Magnitude


def neuron_magnitude(
    weight: torch.Tensor,
    mask: torch.Tensor,
    rule: Magnitude = "max",
    generator: torch.Generator | None = None,
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
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float32).to(
            weight.device
        )
        out = (mean + variance.sqrt() * noise).abs()
    else:
        raise ConceptReviveError(
            f"magnitude {rule!r} is unknown: choose one of {', '.join(MAGNITUDES)}"
        )
    return out.to(weight.dtype)
