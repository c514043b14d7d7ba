"""What Scissorhands does with located weights: draw them anew, and repair without relearning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.weights import Weights


def chosen_masks(
    masks: Mapping[str, Bool[Tensor, "rows columns"]], names: Iterable[str] | None
) -> dict[str, Bool[Tensor, "rows columns"]]:
    """The masks of the layers named, of all if `names` is None.

    Raises ConceptReviveError for a name without a mask, and where nothing is located.
    """
    if isinstance(names, str):
        raise ConceptReviveError(f"reinitialise is the string {names!r}: give a list of names")
    chosen = list(masks) if names is None else list(names)
    if unknown := [name for name in chosen if name not in masks]:
        raise ConceptReviveError(f"reinitialise has {unknown[0]!r}, of which there is no mask")
    count = sum(int(mask.sum()) for mask in masks.values())
    again = {name: masks[name] for name in chosen}
    if not any(bool(mask.any()) for mask in again.values()):
        raise ConceptReviveError(
            f"none of the {count} located weights is in the {len(again)} layers to draw "
            "anew: raise ratio, or name other layers in reinitialise"
        )
    return again


def reinitialised(
    weights: Mapping[str, Float[Tensor, "rows columns"]],
    masks: Mapping[str, Bool[Tensor, "rows columns"]],
    source: torch.Generator,
    std: float = 0.02,
) -> Weights:
    """Weights whose masked entries are drawn anew: N(0, std²), cut at ±2, as released."""
    out = {n: w.clone() for n, w in weights.items()}
    for name, mask in masks.items():
        fresh = torch.empty(mask.shape)
        torch.nn.init.trunc_normal_(fresh, std=std, generator=source)
        out[name] = torch.where(mask, fresh.to(out[name].device, out[name].dtype), out[name])
    return out


def projected(
    gradient: Mapping[str, Float[Tensor, "rows columns"]],
    reference: Mapping[str, Float[Tensor, "rows columns"]],
    margin: float = 0.5,
    ridge: float = 1e-3,
) -> Weights:
    """`gradient`, or where it points against `reference` the nearest that does not, and a bit more.

    With g and r as one vector each: g where g·r ≥ 0, else g + v·r with
    v = max(margin, −g·r / (r·r + ridge)), which solves the quadratic programme of Gradient Episodic
    Memory (Lopez-Paz and Ranzato 2017) for a single reference. Released: margin 0.5, ridge 1e-3,
    which is of the size of r·r itself in a small model, so that a part of the conflict stays.
    """
    along = sum(float((g * reference[n]).sum()) for n, g in gradient.items())
    if along >= 0:
        return dict(gradient)
    size = sum(float(r.square().sum()) for r in reference.values())
    v = max(margin, -along / (size + ridge))
    return {n: g + v * reference[n] for n, g in gradient.items()}
