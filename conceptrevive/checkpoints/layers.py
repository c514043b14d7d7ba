"""Layers of a checkpoint by module name: in which file each is, found without reading a tensor.

Names are those that `locate` writes into masks, see `conceptrevive.models.addresses`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.checkpoints.contents import Checkpoint
from conceptrevive.checkpoints.dtypes import BITS
from conceptrevive.checkpoints.formats import AGAIN, CONVERT
from conceptrevive.checkpoints.headers import Entry, Header, quoted
from conceptrevive.checkpoints.naming import layout_remedy
from conceptrevive.checkpoints.originals import Apart, Names, names_of
from conceptrevive.checkpoints.tensors import read_tensor
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.addresses import (
    DENOISERS,
    WEIGHT,
    Columns,
    match_names,
    split_columns,
    split_component,
)
from conceptrevive.models.variants import is_shard
from conceptrevive.models.weights import Weights

#: What is in the names of weights of any form: `….weight`, `….qweight`, `….weight_packed`, `….W_q`.
PACKED = ("weight", "W_q")


@dataclass(frozen=True)
class Place:
    """Where a layer's weight is; of some layers only some columns are meant, None is all."""

    header: Header
    entry: Entry
    columns: Columns | None = None

    @property
    def identity(self) -> tuple[Path, str]:
        """Which tensor of which file it is."""
        return self.header.path, self.entry.name


def find_layers(checkpoint: Checkpoint, names: Iterable[str]) -> dict[str, Place]:
    """{name: where its weight is}, of every name, in the order of the files.

    A name may also be the weight's own (`….weight`), and what wrappers and versions of transformers
    make of it, see `match_names`.

    Raises:
        ConceptReviveError: a name that is not there, in two files, or given in both forms.
    """
    out: dict[str, Place] = {}
    for part, given in by_part(checkpoint, names):
        there = part.modules
        split = {n: split_columns(own) for n, own in given.items()}
        called = {n: name.removesuffix(WEIGHT) for n, (name, _) in split.items()}
        times = Counter((called[n], split[n][1]) for n in given)
        if twice := [n for (n, _), count in times.items() if count > 1]:
            raise ConceptReviveError(
                f"{part.prefix}{twice[0]} is named twice, with {WEIGHT!r} at its end and without: "
                "name each layer once"
            )
        match = match_names(called.values(), [*there, *part.apart])
        for name, own in called.items():
            if (meant := match.get(own, "")) in part.apart:
                raise ConceptReviveError(part.apart[meant].refusal(name, checkpoint.source))
        if absent := sorted(n for n in given if called[n] not in match):
            raise ConceptReviveError(_absent(checkpoint, absent[0], there))
        order = {module: i for i, module in enumerate(there)}
        for name in sorted(given, key=lambda n: order[match[called[n]]]):
            place = only(checkpoint, there[match[called[name]]])
            out[name] = replace(place, columns=split[name][1])
    return out


def all_layers(checkpoint: Checkpoint) -> dict[str, Place]:
    """{name: where it is} of every tensor of two or more axes, of every part opened."""
    return {
        f"{part.prefix}{name}": only(checkpoint, places)
        for part in parts_of(checkpoint)
        for name, places in part.modules.items()
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
    whole = read_tensor(place.header, place.entry.name).reshape(place.entry.shape[0], -1)
    return whole if place.columns is None else whole[:, place.columns.slice].clone()


def read_layers(places: Mapping[str, Place]) -> Weights:
    """{name: its weight as a matrix}; raises as `read_layer`."""
    return {name: read_layer(place) for name, place in places.items()}


@dataclass(frozen=True)
class Part:
    """Layers that are of one component, or of none.

    Attributes:
        prefix: what stands before their names, as "text_encoder/"; empty for the denoiser's.
        component: its name, the denoiser's too; empty in a file of one network.
        denoises: whether the component is the denoiser, or all there is.
        modules: {module: where its weight stands}, in the order of the files; twice is an error if
            it is wanted.
        apart: layers of which no tensor of their own stands in the files.
    """

    prefix: str
    component: str
    denoises: bool
    modules: dict[str, list[Place]]
    apart: Mapping[str, Apart]


def parts_of(checkpoint: Checkpoint) -> list[Part]:
    """What a checkpoint's files hold, under the names that diffusers gives it."""
    out: dict[tuple[str, bool], dict[str, list[Place]]] = {}
    main, known = checkpoint.denoiser, Names()
    for prefix, headers in checkpoint.parts.items():
        out.setdefault((prefix, not prefix), {})
        if not prefix:
            known = names_of({e.name: e.shape for h in headers for e in h.entries.values()})
            main = main or known.component
        renamed = {} if prefix else known.moved
        for header in headers:
            for key, entry in header.entries.items():
                component, name = split_component(renamed[key]) if key in renamed else ("", key)
                part = (f"{component}/" if component else prefix), not prefix and not component
                denoises = part[1] and (not renamed or key in renamed)
                there = out.setdefault((part[0], denoises), {})
                there.setdefault(name.removesuffix(WEIGHT), []).append(Place(header, entry))
    return [
        Part(prefix, main, True, modules, known.apart)
        if denoises
        else Part(prefix, prefix.removesuffix("/"), False, modules, {})
        for (prefix, denoises), modules in out.items()
    ]


def by_part(checkpoint: Checkpoint, names: Iterable[str]) -> list[tuple[Part, dict[str, str]]]:
    """(part, {name: the same within it}) of every part of which there are names.

    The denoiser's names may have its component before them. In what is no pipeline any other "/" is
    part of a layer's own name.
    """
    parts: dict[str, Part] = {}
    for part in parts_of(checkpoint):
        before = parts.get(part.prefix, part)
        modules, apart = before.modules | part.modules, {**before.apart, **part.apart}
        parts[part.prefix] = replace(before, modules=modules, apart=apart)
    out: dict[str, dict[str, str]] = {}
    for name in names:
        component, slash, layer = name.partition("/")
        prefix = f"{component}/"
        is_main = component in DENOISERS
        if slash and (is_main or checkpoint.is_pipeline or prefix in parts):
            out.setdefault("" if is_main else prefix, {})[name] = layer
        else:
            out.setdefault("", {})[name] = name
    nothing = Part("", "", False, {}, {})
    return [(parts.get(p, replace(nothing, prefix=p)), own) for p, own in out.items()]


def only(checkpoint: Checkpoint, places: list[Place]) -> Place:
    """The one place of a tensor. Raises ConceptReviveError if two files of a checkpoint have it."""
    if len(places) > 1:
        raise ConceptReviveError(
            f"{places[1].header.path}: tensor {quoted(places[1].entry.name)} stands in another "
            f"file of {checkpoint.source} too: give the file you mean"
        )
    return places[0]


def _absent(checkpoint: Checkpoint, name: str, there: Collection[str]) -> str:
    component, slash, _ = name.partition("/")
    is_other = slash and checkpoint.is_pipeline and component not in DENOISERS
    if is_other and component in checkpoint.closed:
        return f"{name}: {checkpoint.source} has {component!r} as pickles, not read: {CONVERT}"
    if is_other and f"{component}/" not in checkpoint.parts:
        return f"{name}: {checkpoint.source} has no weights of a component {component!r}"
    if is_shard(checkpoint.source):
        return f"{name}: {checkpoint.source} is one shard of several: give their index or folder"
    layout = layout_remedy(there) or "locate on this model first"
    return f"{name}: {checkpoint.source} has no such layer: {layout}"
