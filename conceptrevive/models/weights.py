"""Weights of a model as dictionaries keyed by module name: read, write, swap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from conceptrevive.errors import ConceptReviveError, expect
from conceptrevive.models.feedforward import value_layers
from conceptrevive.models.layers import inventory
from conceptrevive.models.matrices import views
from conceptrevive.models.presets import Layer
from conceptrevive.models.protocol import Model, TextToImage
from conceptrevive.models.selection import Layers

#: {module name: matrix}, the form in which weights are passed about.
Weights: TypeAlias = dict[str, Float[Tensor, "rows columns"]]


def read_weights(model: Model, layers: Layers = None) -> Weights:
    """Copies of weights, {module name: (outputs, inputs)}.

    Args:
        layers: which, see `Selection.of`; None takes the feed-forward outputs. A convolution's
            inputs are those of its kernel, channels × height × width.

    Raises ConceptReviveError as `views` does.
    """
    return {n: view.weight.clone() for n, view in views(model, layers).items()}


def weight_bytes(model: TextToImage) -> Iterator[bytes]:
    """The weights of every network of a pipeline, in the order of their names."""
    for _, part in sorted(model.components.items()):
        for p in part.parameters() if isinstance(part, nn.Module) else ():
            yield p.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def read_side(model: Model, layers: Layers = None) -> Weights:
    """What is intact and belongs to the columns of feed-forward outputs, see `complete`'s `side`.

    These are the weights with which the block's first layer makes the inputs of those columns,
    transposed; of a gated block (GEGLU, SwiGLU) those of the values, not of the gates.

    Returns: {module name: (d, columns)}.

    Raises ConceptReviveError for a layer that is no such output, and as `views` does.
    """
    chosen = views(model, layers)
    there = {
        _place(x): x for x, _ in inventory(model, {v.layer.component for v in chosen.values()})
    }
    before = {name: _before(view.layer, there) for name, view in chosen.items()}
    keys = sorted({x.key for x in before.values() if x is not None})
    firsts = views(model, keys) if keys else {}
    out = {}
    for name, view in chosen.items():
        layer, columns = before[name], view.layer.matrix[1]
        first = None if layer is None else firsts[layer.key].weight
        if first is None or first.shape[0] not in (columns, 2 * columns):
            raise ConceptReviveError(
                f"{name}: no layer before it makes its inputs one by one: complete it without side "
                "information"
            )
        out[name] = first[:columns].T.clone()
    return out


def _place(layer: Layer) -> tuple[str, str]:
    return layer.component, layer.name


def _before(layer: Layer, there: Mapping[tuple[str, str], Layer]) -> Layer | None:
    """The layer that makes the inputs of a feed-forward output."""
    places = [(layer.component, name) for name in value_layers(layer.name)]
    return next((there[place] for place in places if place in there), None)


@torch.no_grad()
def write_weights(model: Model, weights: Mapping[str, Float[Tensor, "rows columns"]]) -> None:
    """Copy `weights` into the model in place.

    Raises:
        ConceptReviveError: a name, shape or kind does not fit; all are checked before the first is
            written.
    """
    expect(weights, Mapping, "weights", "give {module name: tensor}, as `read_weights` returns")
    chosen = views(model, list(weights)) if weights else {}
    for name, view in chosen.items():
        weight = weights[name]
        expect(weight, Tensor, f"the weight of {name}", "give a torch tensor, see torch.from_numpy")
        if not weight.is_floating_point() or weight.is_meta:
            raise ConceptReviveError(
                f"{name}: the weight is of {weight.dtype} on {weight.device}: "
                "give floating-point weights in memory"
            )
        if view.weight.shape != weight.shape:
            raise ConceptReviveError(
                f"{name}: weight of shape {tuple(weight.shape)} does not fit the layer's "
                f"{tuple(view.weight.shape)}"
            )
    for name, view in chosen.items():
        view.module.weight.copy_(view.whole(weights[name]))


@contextmanager
def swapped(model: Model, weights: Mapping[str, Float[Tensor, "rows columns"]]) -> Iterator[None]:
    """Within the block the model runs with `weights`; its own come back, whatever happened."""
    expect(weights, Mapping, "weights", "give {module name: tensor}, as `read_weights` returns")
    before = read_weights(model, list(weights)) if weights else {}
    write_weights(model, weights)
    try:
        yield
    finally:
        write_weights(model, before)
