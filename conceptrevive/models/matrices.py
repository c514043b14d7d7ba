"""Chosen layers of a model in memory as matrices: a `View` reads, writes and hears one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import unfold

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import component_of, denoiser, inventory
from conceptrevive.models.presets import Layer
from conceptrevive.models.protocol import Model
from conceptrevive.models.selection import Choice, Layers, Selection
from conceptrevive.models.wrappers import (
    Convolution,
    fused_layers,
    plain_convolution,
    plain_linear,
    refuse_disk,
)

#: What a layer is part of, in the order in which it is looked for in its name.
GROUPS = ("ff.net.2", "ff.net.0", "attention", "convolution", "other")


@dataclass(frozen=True, eq=False)
class View:
    """A layer's weight as a matrix with a row for each output.

    A kernel (out, in, height, width) is flattened but for its first axis, so that nothing is lost;
    of some layers only some columns are chosen.
    """

    layer: Layer
    module: nn.Linear | Convolution

    @property
    def columns(self) -> slice:
        """Which columns of the whole matrix these are."""
        return slice(None) if self.layer.columns is None else self.layer.columns.slice

    @property
    def weight(self) -> Float[Tensor, "rows columns"]:
        """The matrix as it is now."""
        return self.module.weight.detach().flatten(1)[:, self.columns]

    def whole(self, matrix: Float[Tensor, "rows columns"]) -> Tensor:
        """The layer's weight, in its own shape, with `matrix` in place of these columns."""
        own = self.module.weight
        if self.layer.columns is None:
            return matrix.reshape(own.shape)
        first, end, _ = self.columns.indices(own.detach().flatten(1).shape[1])
        rest = own.detach().flatten(1).to(matrix)
        return torch.cat([rest[:, :first], matrix, rest[:, end:]], 1).view(own.shape)

    def inputs(self, z: Tensor) -> Float[Tensor, "samples *tokens columns"]:
        """What the matrix is multiplied with, of the layer's input.

        Raises ConceptReviveError for a convolution whose outputs do not see the same inputs.
        """
        module = self.module
        if isinstance(module, nn.Linear):
            return z[..., self.columns]
        plain = isinstance(module, nn.Conv2d) and module.padding_mode == "zeros"
        if not plain or module.groups > 1 or isinstance(module.padding, str):
            raise ConceptReviveError(
                f"{self.layer.address} is a {type(module).__name__} in {module.groups} groups, "
                f"padded with {module.padding_mode!r}: what its columns are multiplied with is not "
                "the same for all rows, or not known; locate it by gradient (salun, scissorhands), "
                "or choose other layers"
            )
        patches = unfold(z, module.kernel_size, module.dilation, module.padding, module.stride)
        return patches.transpose(1, 2)[..., self.columns]


def choose(model: Model, layers: Layers = None) -> Choice:
    """The layers of `model` that are meant, before any is read: shapes, counts, what is left out.

    Raises ConceptReviveError as `Selection.choose` does.
    """
    selection = Selection.of(layers)
    there = [layer for layer, _ in inventory(model, selection.components)]
    return selection.choose(there, _whose(model, selection))


def views(model: Model, layers: Layers = None) -> dict[str, View]:
    """Layers by their names, see `Selection.of`; None takes the feed-forward outputs.

    Feed-forward outputs that the default leaves out are named in a warning.

    Raises:
        ConceptReviveError: as `Selection.choose`, or for a layer whose weight is quantised, adapted
            (LoRA), computed from others, joined with others, or not in memory.
    """
    selection = Selection.of(layers)
    there = inventory(model, selection.components)
    choice = selection.choose([layer for layer, _ in there], _whose(model, selection))
    choice.warn()
    modules = {(layer.component, layer.name): module for layer, module in there}
    fused: dict[str, set[str]] = {}
    for component in dict.fromkeys(layer.component for layer in choice.layers.values()):
        refuse_disk(component, component_of(model, component))
        fused[component] = fused_layers(component_of(model, component))
    out = {}
    for key, layer in choice.layers.items():
        module = modules[layer.component, layer.name]
        try:
            if layer.name in fused[layer.component]:
                raise ConceptReviveError(
                    f"{key} is joined with the layers beside it, and computes no more: call "
                    "pipe.unfuse_qkv_projections() first"
                )
            out[key] = View(layer, _plain(layer.key, module))
        except ConceptReviveError as e:
            kind = type(component_of(model, layer.component)).__name__
            raise ConceptReviveError(f"{kind}: {e}") from e
    return out


def selection_note(model: Model, layers: Layers) -> dict[str, Any]:
    """What a mask file says of a selection in `model`, see `Choice.note`."""
    selection = Selection.of(layers)
    there = [layer for layer, _ in inventory(model)]  # all, so that no other layer is meant too
    return selection.choose(there, _whose(model, selection)).note


def _plain(name: str, module: nn.Module) -> nn.Linear | Convolution:
    # Of an adapter around a convolution its own layer tells what it is.
    inner = getattr(module, "base_layer", module)
    plain = plain_convolution if isinstance(inner, Convolution) else plain_linear
    return plain(name, module)


def candidate_layers(model: Model, layers: Layers = None) -> dict[str, nn.Linear | Convolution]:
    """The modules of `views`, e.g. to hang hooks on: ConceptPrune's candidates (paper §1)."""
    return {key: view.module for key, view in views(model, layers).items()}


def _whose(model: Model, selection: Selection) -> str:
    """What messages call the model: its denoiser's class where no other component matters."""
    return type(denoiser(model) if selection.components == set() else model).__name__


def group_of(name: str, weight: torch.Tensor) -> str:
    """Which of `GROUPS` a layer belongs to.

    Args:
        weight: as the module has it; a kernel has more than two axes.
    """
    if weight.ndim > 2:
        return "convolution"
    parts = f".{name}."
    if ".ff.net." in parts:
        return "ff.net.2" if ".ff.net.2." in parts else "ff.net.0"
    return "attention" if ".attn" in parts else "other"
