"""That weights and masks are what they should be, and belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError, expect

#: What goes wrong where a state dictionary is given: its keys are those of parameters.
PARAMETER = ".weight"


def check_weights(weights: Any, one_matrix: str = "") -> None:
    """Raise ConceptReviveError unless `weights` maps module names to tensors.

    Args:
        one_matrix: the function that takes a single matrix, if there is one.
    """
    single = f"; for one matrix there is `{one_matrix}`" if one_matrix else ""
    expect(weights, Mapping, "weights", f"give {{module name: matrix}}, see `read_weights`{single}")
    for name, weight in weights.items():
        expect(name, str, f"the key {name!r} of weights", "key weights by module name")
        expect(weight, torch.Tensor, f"{name}: the weight", "give a torch tensor")


def check_fit(weights: Any, masks: Any, one_matrix: str = "") -> None:
    """Raise ConceptReviveError unless every mask is a boolean tensor and has a weight of its shape."""
    check_weights(weights, one_matrix)
    expect(masks, Mapping, "masks", "give {module name: boolean matrix}, see `locate`")
    for name, mask in masks.items():
        expect(mask, torch.Tensor, f"{name}: the mask", "give a torch.bool tensor, True = pruned")
        if mask.dtype != torch.bool:
            raise ConceptReviveError(
                f"{name}: the mask is {mask.dtype}: make it boolean, True where pruned"
            )
        if f"{name}{PARAMETER}" in weights:
            raise ConceptReviveError(
                f"{name}: the weights' key is {name + PARAMETER!r}, a parameter's: key them by "
                f"module name, as `read_weights` does, or take {PARAMETER!r} off the keys"
            )
        if name not in weights:
            raise ConceptReviveError(
                f"{name}: the mask has no such layer in the model: locate on this model first"
            )
        if weights[name].shape != mask.shape:
            raise ConceptReviveError(
                f"{name}: mask {tuple(mask.shape)} does not fit weight "
                f"{tuple(weights[name].shape)}: locate on this model first"
            )
