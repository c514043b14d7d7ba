"""What a selection means in a checkpoint, by its headers alone; whether masks are whole in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from conceptrevive.checkpoints.contents import Checkpoint, open_checkpoint
from conceptrevive.checkpoints.layers import (
    PACKED,
    Place,
    by_part,
    find_layers,
    parts_of,
    read_layers,
)
from conceptrevive.checkpoints.naming import layer_kind, layout_remedy
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.addresses import WEIGHT, match_names, split_columns
from conceptrevive.models.feedforward import DENOISING, second_of
from conceptrevive.models.presets import Kind, Layer
from conceptrevive.models.selection import Choice, Layers, Selection
from conceptrevive.models.weights import Weights

#: Tables that are looked up, not multiplied with, as libraries name them.
_TABLES = re.compile(
    r"(^|\.)((token|position|positional|word|token_type|class)_embeddings?|embedding|embed_tokens"
    r"|embedding_table|style_embedder|shared|relative_attention_bias)$"
)


def inventory(checkpoint: Checkpoint, tables: bool = False) -> list[Layer]:
    """The layers that have a matrix, of every part opened, in the order of the files; last those
    that files of another layout keep within other tensors.

    Args:
        tables: also what is no layer's weight: embeddings, buffers.
    """
    out = []
    for part in parts_of(checkpoint):
        for name, places in part.modules.items():
            entry = places[0].entry
            if len(entry.shape) < 2 or not entry.numel:
                continue
            is_weight = any(word in entry.name for word in PACKED) and not _TABLES.search(name)
            if tables or is_weight:
                kind: Kind = "linear" if len(entry.shape) == 2 else "convolution"
                out.append(Layer(part.component, name, kind, entry.shape, part.denoises))
        out += [
            Layer(part.component, name, "opaque", apart.shape, part.denoises)
            for name, apart in part.apart.items()
        ]
    return out


def choose_layers(
    checkpoint: Checkpoint, layers: Layers = None, everywhere: bool = False
) -> Choice:
    """The layers of a checkpoint that are meant, see `Selection.choose`; none of them is read.

    Feed-forward outputs that the default leaves out are named in a warning.
    """
    selection = Selection.of(layers)
    there = inventory(checkpoint)
    try:
        choice = selection.choose(there, str(checkpoint.source), everywhere)
    except ConceptReviveError as e:
        layout = layout_remedy([x.name for x in there])
        raise ConceptReviveError(f"{checkpoint.source}: {layout}") if layout else e from e
    choice.warn()
    return choice


def selected(checkpoint: Checkpoint, layers: Layers = None) -> dict[str, Place]:
    """Where the layers are that `layers` means, of any component."""
    return find_layers(checkpoint, choose_layers(checkpoint, layers, everywhere=True).layers)


def expect_whole(
    checkpoint: Checkpoint,
    names: Iterable[str],
    layers: str | None = None,
    but: str | None = None,
) -> None:
    """Raise ConceptReviveError if masks of `names` leave out layers that they should cover.

    Masks of a smaller model may fit the layers that have the same names; whoever prunes only those
    has pruned a part of the concept.

    Args:
        layers: the selection that the masks were located with, whose layers are expected; None
            expects all of the kinds that `names` are, and all feed-forward outputs if one is.
        but: layers that a locator left out on purpose, see `MaskSet.left_out`.
    """
    names = list(names)
    excused = _excused(checkpoint, but)
    if layers is not None:
        given = {place.identity for place in find_layers(checkpoint, names).values()}
        places = find_layers(checkpoint, choose_layers(checkpoint, layers).layers)
        expected = {n: p for n, p in places.items() if p.identity not in excused}
        left_out = [n for n, place in expected.items() if place.identity not in given]
        _refuse_partial(checkpoint, left_out, len(expected))
        return
    for part, given_names in by_part(checkpoint, names):
        called = [split_columns(n)[0].removesuffix(WEIGHT) for n in given_names.values()]
        named = set(match_names(called, part.modules).values())
        kinds = {layer_kind(n) for n in named}
        has_outputs = any(second_of(n, DENOISING) for n in named)
        whole = [
            n
            for n, (place, *_) in part.modules.items()
            if len(place.entry.shape) > 1
            and place.identity not in excused
            and (layer_kind(n) in kinds or (has_outputs and second_of(n, DENOISING)))
        ]
        left_out = [f"{part.prefix}{n}" for n in whole if n not in named]
        _refuse_partial(checkpoint, left_out, len(whole))


def _excused(checkpoint: Checkpoint, but: str | None) -> set[tuple[Path, str]]:
    """Which tensors `but` names; what this checkpoint does not have is none of its lack."""
    out: set[tuple[Path, str]] = set()
    for part in Selection.of(but).parts if but else ():
        with suppress(ConceptReviveError):
            out |= {
                p.identity
                for p in find_layers(checkpoint, choose_layers(checkpoint, part).layers).values()
            }
    return out


def _refuse_partial(checkpoint: Checkpoint, left_out: list[str], expected: int) -> None:
    if left_out:
        raise ConceptReviveError(
            f"{checkpoint.source}: the masks cover {expected - len(left_out)} of its {expected} "
            f"such layers and leave out {left_out[0]}: locate on this model, or insist with "
            "--partial"
        )


def read_candidates(
    model: str | os.PathLike[str], layers: Layers = None, **which: str | None
) -> Weights:
    """{name: weight} of a checkpoint's feed-forward outputs, or of other layers.

    Args:
        layers: see `Selection.of`.
        which: revision, variant, see `open_checkpoint`.
    """
    selection = Selection.of(layers)
    checkpoint = open_checkpoint(model, components=selection.components, **which)
    names = selection.names or choose_layers(checkpoint, selection).layers
    return read_layers(find_layers(checkpoint, names))
