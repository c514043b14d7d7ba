"""From two checkpoints to masks: which weights unlearning zeroed, changed or moved, whoever did it.

So a checkpoint that was unlearned elsewhere can be studied like one that was pruned here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from conceptrevive.auditing.suggesting import ENTRIES, FAR, Entries, Tally, entries_between
from conceptrevive.checkpoints.contents import Checkpoint, open_checkpoint
from conceptrevive.checkpoints.layers import Place, all_layers, is_matrix, read_layer
from conceptrevive.checkpoints.naming import layer_kind, layout_remedy
from conceptrevive.checkpoints.selection import selected
from conceptrevive.checkpoints.tensors import read_tensor
from conceptrevive.detectors.grid import on_grid
from conceptrevive.errors import ConceptReviveError, expect_number, nearest
from conceptrevive.models.addresses import match_names, split_columns
from conceptrevive.models.selection import Layers
from conceptrevive.unlearning.masks import MaskSet

QUANTISED = "its values lie on a quantisation grid, which puts many on 0"


@dataclass(frozen=True, eq=False)
class Changes:
    """What an unlearned checkpoint's layers differ in from the original's.

    Attributes:
        masks: the entries asked for; layers of the kinds that have some are all there.
        counts: {"zeroed", "changed", "moved": how many entries, in all layers}.
        layers: {layer: how many of its entries are masked}, of those that have some.
        left_out: {layer or component: why it has no mask}: quantised, unreadable, in one of the two
            only.
        vectors: biases and other vectors that changed; no mask can hold them.
        suggestion: which entries tell better what was done, and why; empty where those asked for
            do.
    """

    masks: MaskSet
    counts: Mapping[str, int]
    layers: Mapping[str, int]
    left_out: Mapping[str, str]
    vectors: tuple[str, ...] = ()
    suggestion: str = ""


def masks_between(
    original: str | os.PathLike[str],
    unlearned: str | os.PathLike[str],
    *,
    entries: Entries = "zeroed",
    far: float = FAR,
    layers: Layers = None,
    revision: str | None = None,
    original_revision: str | None = None,
    variant: str | None = None,
) -> Changes:
    """Masks of what was zeroed, changed or moved from one checkpoint to the other.

    Every matrix and kernel of every component that both have is compared, one at a time in memory.

    Args:
        original, unlearned: a .safetensors file, an index of shards, a component or pipeline
            folder, "pocket" or a hub id. One may be the denoiser alone.
        entries: "zeroed": 0 now and not before; "changed": of another value; "moved": by more than
            `far` standard deviations of the original layer.
        layers: to compare, whole, see `Selection.of`; None takes all.
        revision, original_revision: of hub models. variant: of both, see `open_checkpoint`.

    Raises:
        ConceptReviveError: models of other shapes or names, or nothing found.
    """
    if entries not in ENTRIES:
        raise ConceptReviveError(
            f"entries {entries!r} is unknown{nearest(entries, ENTRIES)}: choose one of "
            f"{', '.join(ENTRIES)}"
        )
    expect_number(far, "far")
    if not 0 < far < float("inf"):
        raise ConceptReviveError(f"far is {far}: it counts standard deviations, above 0")
    new = open_checkpoint(unlearned, revision=revision, variant=variant, components=None)
    old = open_checkpoint(original, revision=original_revision, variant=variant, components=None)
    pairs = _Pairs.of(new, old, _chosen(new, layers))
    found = _Found(dict(pairs.left_out))
    for name, here, before in pairs.read():
        found.add(name, here, before, entries, far)
    if not found.masks:
        raise ConceptReviveError(found.nothing(new, old, len(pairs.places), entries, far))
    kinds = {layer_kind(name) for name in found.masks}
    masks = {
        name: found.masks.get(name, torch.zeros(_matrix(here), dtype=torch.bool))
        for name, (here, _) in pairs.places.items()
        if layer_kind(name) in kinds and name not in found.left_out
    }
    return Changes(
        MaskSet(masks, concept=f"{entries}: {new.source.name}"),
        found.tally.counts,
        {name: int(mask.sum()) for name, mask in found.masks.items()},
        found.left_out,
        _vectors(new, old),
        found.tally.suggestion(entries, far),
    )


def _chosen(checkpoint: Checkpoint, layers: Layers) -> dict[str, Place]:
    if layers is None:
        return all_layers(checkpoint)
    places = selected(checkpoint, layers)
    return {split_columns(n)[0]: replace(place, columns=None) for n, place in places.items()}


@dataclass(frozen=True)
class _Pairs:
    """{layer: its place in the new and in the old checkpoint}, and which have no pair."""

    places: dict[str, tuple[Place, Place]]
    left_out: dict[str, str]

    @classmethod
    def of(cls, new: Checkpoint, old: Checkpoint, chosen: Mapping[str, Place]) -> _Pairs:
        before = all_layers(old)
        names = _same_layers(chosen, before)
        if not names:
            layout = layout_remedy(before) or layout_remedy(chosen) or "give its own original"
            raise ConceptReviveError(
                f"{old.source} shares no layer with {new.source}, whose first is "
                f"{next(iter(chosen), 'none')}: {layout}"
            )
        places, left_out = {}, {n: f"not in {old.source}" for n in chosen if n not in names}
        left_out |= dict.fromkeys((*new.closed, *old.closed), "pickles only")
        for name, called in names.items():
            here, there = chosen[name], before[called]
            if here.entry.shape != there.entry.shape:
                raise ConceptReviveError(
                    f"{name} is {list(here.entry.shape)} in {new.source} and "
                    f"{list(there.entry.shape)} in {old.source}: give the model it was made from"
                )
            if unread := [p for p in (here, there) if not is_matrix(p)]:
                left_out[name] = f"{unread[0].entry.dtype}, no float matrix of 16 bits or more"
            else:
                places[name] = (here, there)
        return cls(places, left_out)

    def read(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(layer, new matrix, old matrix), one after the other."""
        for name, (here, before) in self.places.items():
            yield name, read_layer(here), read_layer(before)


@dataclass
class _Found:
    left_out: dict[str, str]
    tally: Tally = field(default_factory=Tally)
    masks: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, new: Tensor, old: Tensor, entries: Entries, far: float) -> None:
        between = entries_between(new, old, far)
        if between["zeroed"].any() and on_grid(new) and not on_grid(old):
            self.left_out[name] = QUANTISED
            return
        self.tally.add(between, new, old)
        if between[entries].any():
            self.masks[name] = between[entries]

    def nothing(
        self, new: Checkpoint, old: Checkpoint, compared: int, entries: Entries, far: float
    ) -> str:
        """That no entry was found, what there is instead, and what to do."""
        c = self.tally.counts
        start = f"{new.source} and {old.source}: of {compared} layers compared, "
        if c["changed"]:
            return (
                f"{start}no entry is {entries}; {c['changed']} are changed, {c['moved']} of them "
                f"by more than {far:g} standard deviations; {self.tally.suggestion(entries, far)}"
            )
        if self.left_out:
            name, why = next(iter(self.left_out.items()))
            start = f"{start}{len(self.left_out)} left out ({name}: {why}), "
        return f"{start}none differs: give the checkpoint from before and the one from after"


def _vectors(new: Checkpoint, old: Checkpoint) -> tuple[str, ...]:
    """Names of vectors that both have, as biases, and that differ."""
    out = []
    for prefix, headers in new.parts.items():
        before = {n: h for h in old.parts.get(prefix, ()) for n in h.entries}
        for header in headers:
            for name, entry in header.entries.items():
                if len(entry.shape) != 1 or entry.unread or name not in before:
                    continue
                other = before[name]
                if other.entries[name].unread or other.entries[name].shape != entry.shape:
                    continue
                a, b = read_tensor(header, name)[None], read_tensor(other, name)[None]
                if entries_between(a, b)["changed"].any():
                    out.append(f"{prefix}{name}")
    return tuple(out)


def _matrix(place: Place) -> tuple[int, int]:
    """The shape of a layer's weight as a matrix."""
    rows = place.entry.shape[0]
    return rows, place.entry.numel // rows


def _same_layers(new: Iterable[str], old: Mapping[str, Place]) -> dict[str, str]:
    """{layer of the new: of the old}, component by component; prefixes of files may differ."""
    out: dict[str, str] = {}
    by_component: dict[str, list[str]] = {}
    for name in new:
        by_component.setdefault(_component(name), []).append(name)
    for prefix, names in by_component.items():
        there = [n.removeprefix(prefix) for n in old if _component(n) == prefix]
        matched = match_names([n.removeprefix(prefix) for n in names], there)
        out |= {f"{prefix}{n}": f"{prefix}{m}" for n, m in matched.items()}
    return out


def _component(name: str) -> str:
    """What stands before a layer's name: "text_encoder/", or nothing."""
    return "".join(name.rpartition("/")[:2])
