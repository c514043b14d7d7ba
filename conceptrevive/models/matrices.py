"""Every layer whose weight is a matrix, or a convolution's kernel that can be read as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import candidate_layers, denoiser, linear_layers
from conceptrevive.models.protocol import Model
from conceptrevive.models.wrappers import named_modules, plain_convolution

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d

#: A row for each output. A convolution's kernel (out, in, height, width) is flattened but for its
#: first axis, so that nothing is lost: see `read_weights` and `write_weights`.
Matrix: TypeAlias = nn.Linear | Convolution

#: What a layer is part of, in the order in which it is looked for in its name.
GROUPS = ("ff.net.2", "ff.net.0", "attention", "convolution", "other")


def matrix_layers(model: Model, names: Iterable[str]) -> dict[str, Matrix]:
    """The linear and convolutional layers in `names`, keyed by module name.

    Raises ConceptReviveError as `candidate_layers` does.
    """
    if isinstance(names, str):
        raise ConceptReviveError(f"names is the string {names!r}: give a list of module names")
    modules = named_modules(denoiser(model))
    out: dict[str, Matrix] = {}
    for name in names:
        module = modules.get(name)
        # Of an adapter around a convolution its own layer tells what it is.
        inner = getattr(module, "base_layer", module)
        if module is not None and isinstance(inner, Convolution):
            out[name] = plain_convolution(name, module)
        else:
            out[name] = candidate_layers(model, [name])[name]
    return out


def all_matrices(model: Model) -> dict[str, Matrix]:
    """Every linear and convolutional layer of the denoiser, in the model's order.

    These hold all of its weights but those with one axis: norms and biases.
    """
    modules = named_modules(denoiser(model))
    kernels = [name for name, module in modules.items() if isinstance(module, Convolution)]
    linear = linear_layers(model)  # adapters, around convolutions too, are refused there
    found: dict[str, Matrix] = {**linear, **matrix_layers(model, kernels)}
    return {name: found[name] for name in modules if name in found}


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
