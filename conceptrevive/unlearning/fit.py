"""That weights and masks are what they should be, and belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError, expect

#: How the keys of a state dictionary end, which are those of parameters.
PARAMETER = ".weight"


def check_weights(weights: Any, one_matrix: str = "", name: str = "weights") -> None:
    """Raise ConceptReviveError unless `weights` maps module names to tensors.

    Args:
        one_matrix: the function that takes a single matrix, if there is one.
    """
    single = f"; for one matrix there is `{one_matrix}`" if one_matrix else ""
    expect(weights, Mapping, name, f"give {{module name: matrix}}, see `read_weights`{single}")
    for key, weight in weights.items():
        expect(key, str, f"the key {key!r} of {name}", "give the module's name")
        expect(weight, torch.Tensor, f"{key}: the weight", "give a torch tensor")
        if weight.is_meta:
            raise ConceptReviveError(
                f"{key}: the weight is on the meta device and has no values: "
                "load the model without offloading"
            )


def check_matrices(weights: Any) -> None:
    """Raise ConceptReviveError unless `weights` maps module names to floating-point matrices."""
    check_weights(weights)
    for key, weight in weights.items():
        if weight.ndim != 2 or not weight.is_floating_point():
            raise ConceptReviveError(
                f"{key}: a {weight.dtype} of shape {tuple(weight.shape)} is no matrix of weights: "
                "give two-dimensional floats, see `read_weights`"
            )


def check_masks(masks: Any) -> None:
    """Raise ConceptReviveError unless `masks` maps module names to boolean tensors."""
    expect(masks, Mapping, "masks", "give {module name: boolean matrix}, see `locate`")
    for key, mask in masks.items():
        expect(key, str, f"the key {key!r} of masks", "give the module's name")
        expect(mask, torch.Tensor, f"{key}: the mask", "give a torch.bool tensor, True = pruned")
        if mask.dtype != torch.bool:
            raise ConceptReviveError(
                f"{key}: the mask is {mask.dtype}: make it boolean, True where pruned"
            )


def check_fit(weights: Any, masks: Any, one_matrix: str = "") -> None:
    """Raise ConceptReviveError unless every mask is boolean and has a weight of its shape."""
    check_weights(weights, one_matrix)
    check_masks(masks)
    for name, mask in masks.items():
        if name not in weights:
            raise ConceptReviveError(f"{name}: {_why_absent(name, weights)}")
        weight = weights[name]
        if weight.shape != mask.shape:
            raise ConceptReviveError(
                f"{name}: mask {tuple(mask.shape)} does not fit weight "
                f"{tuple(weight.shape)}: locate on this model first"
            )
        if not weight.is_floating_point():
            raise ConceptReviveError(
                f"{name}: the weight is {weight.dtype}, not floating-point: dequantise it first"
            )


def _why_absent(name: str, weights: Mapping[str, torch.Tensor]) -> str:
    if f"{name}{PARAMETER}" in weights:
        return (
            f"the weights' key is {name + PARAMETER!r}, a parameter's name: key weights by module "
            f"name, as `read_weights` does, or take {PARAMETER!r} off the keys"
        )
    return "the mask has no such layer in the model: locate on this model first"


def check_not_empty(masks: Mapping[str, torch.Tensor]) -> None:
    """Raise ConceptReviveError if the masks hold no entry: nothing done is no success."""
    if not masks:
        raise ConceptReviveError("the masks have no layers: locate a concept first")
    if not any(bool(m.any()) for m in masks.values()):
        raise ConceptReviveError(
            f"the masks of {len(masks)} layers are all empty, which changes nothing: "
            "locate a concept first, or raise the skill ratio"
        )
