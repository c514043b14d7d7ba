"""The size given to a revived weight, from what survived in its own output row (paper §3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.extensions import find, of_others
from conceptrevive.revival.defaults import MAGNITUDE, MAGNITUDES, Magnitude

#: A rule of one's own: (completed weight, mask, generator) → sizes ≥ 0, one a row or one an entry.
Rule: TypeAlias = Callable[[Tensor, Tensor, torch.Generator | None], Tensor]

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
    return survivors_magnitude(torch.where(mask, 0, weight), mask, rule, generator)


def survivors_magnitude(
    weight: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"],
    rule: Magnitude,
    generator: torch.Generator | None,
) -> Float[Tensor, "rows _"]:
    """`neuron_magnitude` of a weight that is 0 wherever the mask is True."""
    if not weight.shape[1]:
        return weight.new_zeros(len(weight), 1)
    alive = weight.float()
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


def magnitude_rule(magnitude: Magnitude | str | Rule) -> Magnitude | Rule:
    """A shipped rule's name as it is, else the function: registered, `module:function` or given.

    Raises ConceptReviveError where there is none.
    """
    if isinstance(magnitude, str):
        for name in MAGNITUDES:
            if magnitude == name:
                return name
    rule: Rule = find("magnitudes", magnitude, dict.fromkeys(MAGNITUDES, neuron_magnitude))
    return rule


def own_magnitude(
    rule: Rule,
    weight: Float[Tensor, "rows columns"],
    mask: Bool[Tensor, "rows columns"],
    generator: torch.Generator | None,
) -> Float[Tensor, "rows _"]:
    """The sizes that a rule of one's own gives, in the weight's dtype.

    Raises ConceptReviveError unless they are finite, not negative, and one a row or one an entry.
    """
    with of_others("magnitudes", rule):
        size = rule(weight, mask, generator)
    expect(size, Tensor, "what the magnitude rule returned", "return a torch tensor of sizes")
    shapes = ((len(weight), 1), tuple(weight.shape))
    if tuple(size.shape) not in shapes:
        raise ConceptReviveError(
            f"the magnitude rule returned sizes of shape {tuple(size.shape)}: return one a row, "
            f"{shapes[0]}, or one an entry, {shapes[1]}"
        )
    size = size.to(weight.device, weight.dtype)
    wrong = ~torch.isfinite(size) | (size < 0)
    if wrong.any():
        raise ConceptReviveError(
            f"the magnitude rule returned {float(size[wrong][0])}: sizes are finite and ≥ 0, the "
            "sign is the completion's"
        )
    return size
