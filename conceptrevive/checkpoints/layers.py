"""Layers of a checkpoint by module name: in which file each is, found without reading a tensor.

Module names are those of the denoiser, as `locate` writes them into masks; layers of a pipeline's
other components are named with the component's folder: `text_encoder/encoder.layers.0.mlp.fc1`.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.checkpoints.contents import Checkpoint, open_checkpoint
from conceptrevive.checkpoints.dtypes import BITS
from conceptrevive.checkpoints.folders import DENOISERS
from conceptrevive.checkpoints.formats import AGAIN, CONVERT
from conceptrevive.checkpoints.headers import Entry, Header, quoted
from conceptrevive.checkpoints.naming import (
    WEIGHT,
    components_of,
    layer_kind,
    layout_remedy,
    match_names,
)
from conceptrevive.checkpoints.tensors import read_tensor
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.layers import CANDIDATES, outputs_left_out
from conceptrevive.models.variants import is_shard
from conceptrevive.models.weights import Weights

#: What is in the names of weights of any form: `….weight`, `….qweight`, `….weight_packed`, `….W_q`.
PACKED = ("weight", "W_q")


@dataclass(frozen=True)
class Place:
    """Where a layer's weight is."""

    header: Header
    entry: Entry


def find_layers(checkpoint: Checkpoint, names: Iterable[str]) -> dict[str, Place]:
    """{name: where its weight is}, of every name, in the order of the files.

    A name may also be the weight's own (`….weight`), and may lack a prefix that all names of its
    file have, or have one that they lack: transformers 5 calls `encoder.layers.0` what hub files
    call `text_model.encoder.layers.0`.

    Raises:
        ConceptReviveError: a name that is not there, in two files, or given in both forms.
    """
    out: dict[str, Place] = {}
    for prefix, given in _by_part(checkpoint, names).items():
        there = _modules(checkpoint.parts.get(prefix, []))
        called = {n: n.removeprefix(prefix).removesuffix(WEIGHT) for n in given}
        if twice := [n for n, times in Counter(called.values()).items() if times > 1]:
            raise ConceptReviveError(
                f"{prefix}{twice[0]} is named twice, with {WEIGHT!r} at its end and without: "
                "name each layer once"
            )
        match = match_names(called.values(), there)
        if absent := sorted(n for n in given if called[n] not in match):
            raise ConceptReviveError(_absent(checkpoint, absent[0], there))
        order = {module: i for i, module in enumerate(there)}
        for name in sorted(given, key=lambda n: order[match[called[n]]]):
            out[name] = _only(checkpoint, there[match[called[name]]])
    return out


def expect_whole(checkpoint: Checkpoint, names: Iterable[str]) -> None:
    """Raise ConceptReviveError if the checkpoint has more layers of the kinds that `names` are.

    Masks of a smaller model may fit the layers that have the same names; whoever prunes only those
    has pruned a part of the concept. Of the candidates of ConceptPrune all are expected.
    """
    for prefix, given in _by_part(checkpoint, names).items():
        there = _modules(checkpoint.parts[prefix])
        called = [n.removeprefix(prefix).removesuffix(WEIGHT) for n in given]
        named = set(match_names(called, there).values())
        kinds = {layer_kind(n) for n in named}
        has_candidates = any(n.endswith(CANDIDATES) for n in named)
        expected = [
            n
            for n, (place, *_) in there.items()
            if len(place.entry.shape) > 1
            and (layer_kind(n) in kinds or (has_candidates and n.endswith(CANDIDATES)))
        ]
        if left_out := [n for n in expected if n not in named]:
            raise ConceptReviveError(
                f"{checkpoint.source}: the masks cover {len(expected) - len(left_out)} of its "
                f"{len(expected)} such layers and leave out {prefix}{left_out[0]}: locate on this "
                "model, or insist with --partial"
            )


def candidate_names(checkpoint: Checkpoint) -> list[str]:
    """ConceptPrune's candidates in the denoiser (or the only part), in the order of the files.

    Feed-forward output layers that they leave out are named in a warning.
    """
    there = _modules(checkpoint.parts[""])
    found = [n for n in there if n.endswith(CANDIDATES)]
    if not found:
        layout = layout_remedy(there)
        raise ConceptReviveError(
            f"{checkpoint.source} has no feed-forward layer {' or '.join(CANDIDATES)}: "
            f"{layout or 'is it a diffusion transformer or UNet?'}"
        )
    shapes = {n: place.entry.shape for n, (place, *_) in there.items()}
    if left_out := outputs_left_out(shapes, found):
        warnings.warn(
            f"candidates of {checkpoint.source} are the {len(found)} layers that end with "
            f"{' or '.join(CANDIDATES)}; left out: {left_out}",
            stacklevel=2,
        )
    return found


def all_layers(checkpoint: Checkpoint) -> dict[str, Place]:
    """{name: where it is} of every tensor of two or more axes, of every part opened."""
    return {
        f"{prefix}{name}": _only(checkpoint, places)
        for prefix, headers in checkpoint.parts.items()
        for name, places in _modules(headers).items()
        if len(places[0].entry.shape) > 1 and places[0].entry.numel
    }


def is_matrix(place: Place) -> bool:
    """Whether a tensor's values can be completed: a float matrix of 16 bits or more."""
    entry = place.entry
    return entry.is_float and BITS[entry.dtype] >= 16 and len(entry.shape) > 1 and entry.numel > 0


def unreadable(place: Place) -> bool:
    """Whether a tensor is a layer's weight, by its name, but none that `read_layer` reads."""
    return any(word in place.entry.name for word in PACKED) and not is_matrix(place)


def matrix_remedy(places: Iterable[Place]) -> str:
    """What to do about a checkpoint of which these tensors are no matrices."""
    dtypes = {p.entry.dtype for p in places}
    if "BOOL" in dtypes:
        return "these are masks, give the model that they are for"
    if dtypes:
        return "give the model as it was before it was quantised"
    return "give a model's weights"


def each_matrix(layers: Mapping[str, Place]) -> Iterator[tuple[str, Tensor]]:
    """(name, matrix) of the layers that are matrices, one in memory at a time.

    Buffers that hold Inf, as masks of attention do, are passed over; in a weight it is an error.
    """
    for name, place in layers.items():
        if not is_matrix(place):
            continue
        if place.entry.name.endswith(WEIGHT):
            yield name, read_layer(place)
        elif torch.isfinite((weight := _read(place)).float()).all():
            yield name, weight


def read_layer(place: Place) -> Float[Tensor, "rows columns"]:
    """A layer's weight as a matrix; convolutions are flattened but for their first axis.

    Raises:
        ConceptReviveError: no float matrix of 16 bits or more, or one that holds NaN or Inf.
    """
    path, entry = place.header.path, place.entry
    if not is_matrix(place):
        raise ConceptReviveError(
            f"{path}: tensor {quoted(entry.name)} is {entry.dtype} {list(entry.shape)}, not a "
            f"float matrix: {matrix_remedy([place])}"
        )
    weight = _read(place)
    if not torch.isfinite(weight.float()).all():
        raise ConceptReviveError(f"{path}: tensor {quoted(entry.name)} holds NaN or Inf: {AGAIN}")
    return weight


def _read(place: Place) -> Float[Tensor, "rows columns"]:
    return read_tensor(place.header, place.entry.name).reshape(place.entry.shape[0], -1)


def read_layers(places: Mapping[str, Place]) -> Weights:
    """{name: its weight as a matrix}; raises as `read_layer`."""
    return {name: read_layer(place) for name, place in places.items()}


def read_candidates(
    model: str | os.PathLike[str], names: Iterable[str] | None = None, **which: str | None
) -> Weights:
    """{module name: weight} of the feed-forward layers (or of `names`) of a checkpoint.

    Args:
        which: revision, variant, see `open_checkpoint`.
    """
    chosen = None if names is None else list(names)
    checkpoint = open_checkpoint(model, components=components_of(chosen or ()), **which)
    return read_layers(find_layers(checkpoint, chosen or candidate_names(checkpoint)))


def _by_part(checkpoint: Checkpoint, names: Iterable[str]) -> dict[str, list[str]]:
    """Names by the prefix of their component; in what is no pipeline a "/" is part of a name."""
    has_parts = checkpoint.is_pipeline
    out: dict[str, list[str]] = {}
    for name in names:
        component, slash, _ = name.partition("/")
        out.setdefault(f"{component}/" if slash and has_parts else "", []).append(name)
    return out


def _modules(headers: Iterable[Header]) -> dict[str, list[Place]]:
    """{module: where its weight stands}, in the order of the files; twice is an error if wanted."""
    out: dict[str, list[Place]] = {}
    for header in headers:
        for key, entry in header.entries.items():
            out.setdefault(key.removesuffix(WEIGHT), []).append(Place(header, entry))
    return out


def _only(checkpoint: Checkpoint, places: list[Place]) -> Place:
    if len(places) > 1:
        raise ConceptReviveError(
            f"{places[1].header.path}: tensor {quoted(places[1].entry.name)} stands in another "
            f"file of {checkpoint.source} too: give the file you mean"
        )
    return places[0]


def _absent(checkpoint: Checkpoint, name: str, there: Collection[str]) -> str:
    component, slash, layer = name.partition("/")
    if slash and component in DENOISERS:
        return f"{name}: layers of the denoiser go by their own names: call it {layer}"
    if slash and component in checkpoint.closed:
        return f"{name}: {checkpoint.source} has {component!r} as pickles, not read: {CONVERT}"
    if slash and f"{component}/" not in checkpoint.parts:
        return f"{name}: {checkpoint.source} has no weights of a component {component!r}"
    if is_shard(checkpoint.source):
        return f"{name}: {checkpoint.source} is one shard of several: give their index or folder"
    layout = layout_remedy(there) or "locate on this model first"
    return f"{name}: {checkpoint.source} has no such layer: {layout}"
