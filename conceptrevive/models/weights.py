"""Weights of a model as dictionaries keyed by module name: read, write, swap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import candidate_layers, denoiser

Weights = dict[str, torch.Tensor]


def read_weights(model, names: Iterable[str] | None = None) -> Weights:
    """Copies of the candidate weights, {module name: (out_features, in_features)}."""
    return {n: m.weight.detach().clone() for n, m in candidate_layers(model, names).items()}


def weight_bytes(model) -> Iterator[bytes]:
    """The weights of every network of a pipeline, in the order of their names."""
    for _, part in sorted(model.components.items()):
        for p in part.parameters() if isinstance(part, nn.Module) else ():
            yield p.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def read_side(model, names: Iterable[str] | None = None) -> Weights:
    """What is intact and belongs to the candidates' columns: {module name: (d, columns)}, see `complete`'s `side`.

    For `….ff.net.2` these are the input weights of its GEGLU units, the value half of `….ff.net.0.proj`, transposed.

    Raises ConceptReviveError for a layer that no GEGLU precedes.
    """
    modules, out = dict(denoiser(model).named_modules()), {}
    for name, layer in candidate_layers(model, names).items():
        first = modules.get(name.removesuffix("2") + "0.proj")
        if not isinstance(first, nn.Linear) or first.out_features != 2 * layer.in_features:
            raise ConceptReviveError(
                f"{name}: no GEGLU layer comes before it: complete it without side information"
            )
        out[name] = first.weight.detach()[: layer.in_features].T.clone()
    return out


@torch.no_grad()
def write_weights(model, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy `weights` into the model in place. All names and shapes are checked before the first is written."""
    layers = candidate_layers(model, weights)
    for name, layer in layers.items():
        if layer.weight.shape != weights[name].shape:
            raise ConceptReviveError(
                f"{name}: weight of shape {tuple(weights[name].shape)} does not fit the layer's {tuple(layer.weight.shape)}"
            )
    for name, layer in layers.items():
        layer.weight.copy_(weights[name])


@contextmanager
def swapped(model, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Within the block the model runs with `weights`; afterwards its own are back, whatever happened."""
    before = read_weights(model, weights)
    write_weights(model, weights)
    try:
        yield
    finally:
        write_weights(model, before)
