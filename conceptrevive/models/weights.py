"""Weights of a model as dictionaries keyed by module name: read, write, swap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.models.layers import candidate_layers, denoiser
from conceptrevive.models.matrices import matrix_layers
from conceptrevive.models.protocol import Model, TextToImage
from conceptrevive.models.wrappers import may_be_linear, named_modules, plain_linear

#: {module name: matrix}, the form in which weights are passed about.
Weights: TypeAlias = dict[str, Float[Tensor, "rows columns"]]


def read_weights(model: Model, names: Iterable[str] | None = None) -> Weights:
    """Copies of weights, {module name: (outputs, inputs)}.

    Args:
        names: of linear and convolutional layers; a convolution's inputs are those of its kernel,
            channels × height × width. None takes the candidates.

    Raises ConceptReviveError as `candidate_layers` does.
    """
    layers = candidate_layers(model) if names is None else matrix_layers(model, names)
    return {n: m.weight.detach().flatten(1).clone() for n, m in layers.items()}


def weight_bytes(model: TextToImage) -> Iterator[bytes]:
    """The weights of every network of a pipeline, in the order of their names."""
    for _, part in sorted(model.components.items()):
        for p in part.parameters() if isinstance(part, nn.Module) else ():
            yield p.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def read_side(model: Model, names: Iterable[str] | None = None) -> Weights:
    """What is intact and belongs to the candidates' columns, see `complete`'s `side`.

    For `….ff.net.2` these are the input weights of its GEGLU units, the value half of
    `….ff.net.0.proj`, transposed.

    Returns: {module name: (d, columns)}.

    Raises ConceptReviveError for a layer that no GEGLU precedes, and as `candidate_layers` does.
    """
    modules, out = named_modules(denoiser(model)), {}
    for name, layer in candidate_layers(model, names).items():
        before = name.removesuffix("2") + "0.proj"
        module = modules.get(before)
        first = plain_linear(before, module) if module and may_be_linear(module) else None
        if first is None or first.out_features != 2 * layer.in_features:
            raise ConceptReviveError(
                f"{name}: no GEGLU layer comes before it: complete it without side information"
            )
        out[name] = first.weight.detach()[: layer.in_features].T.clone()
    return out


@torch.no_grad()
def write_weights(model: Model, weights: Mapping[str, Float[Tensor, "rows columns"]]) -> None:
    """Copy `weights` into the model in place.

    Raises:
        ConceptReviveError: a name, shape or kind does not fit; all are checked before the first is
            written.
    """
    expect(weights, Mapping, "weights", "give {module name: tensor}, as `read_weights` returns")
    layers = matrix_layers(model, weights)
    for name, layer in layers.items():
        weight = weights[name]
        expect(weight, Tensor, f"the weight of {name}", "give a torch tensor, see torch.from_numpy")
        if not weight.is_floating_point() or weight.is_meta:
            raise ConceptReviveError(
                f"{name}: the weight is of {weight.dtype} on {weight.device}: "
                "give floating-point weights in memory"
            )
        matrix = layer.weight.flatten(1)
        if matrix.shape != weight.shape:
            raise ConceptReviveError(
                f"{name}: weight of shape {tuple(weight.shape)} does not fit the layer's "
                f"{tuple(matrix.shape)}"
            )
    for name, layer in layers.items():
        layer.weight.copy_(weights[name].view_as(layer.weight))


@contextmanager
def swapped(model: Model, weights: Mapping[str, Float[Tensor, "rows columns"]]) -> Iterator[None]:
    """Within the block the model runs with `weights`; its own come back, whatever happened."""
    expect(weights, Mapping, "weights", "give {module name: tensor}, as `read_weights` returns")
    before = read_weights(model, weights)
    write_weights(model, weights)
    try:
        yield
    finally:
        write_weights(model, before)
