"""What two sets of masks together say of the layers that were chosen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from conceptrevive.models.addresses import bare, split_columns
from conceptrevive.models.matching import alone
from conceptrevive.models.presets import DEFAULT
from conceptrevive.models.selection import Selection
from conceptrevive.unlearning.defaults import METHODS

if TYPE_CHECKING:
    from conceptrevive.unlearning.masks import MaskSet


def combined_note(a: MaskSet, b: MaskSet) -> dict[str, str | None]:
    """`layers` and `left_out` of masks that hold the layers of both.

    Selections that differ are united: the default by its name, and one that is not known as the
    names of the layers that it has masks of.
    """
    layers = a.layers
    if a.layers != b.layers:
        layers = ",".join(dict.fromkeys((*_parts(a), *_parts(b))))
    out = dict.fromkeys(p for x in (a, b) if x.left_out for p in Selection.of(x.left_out).parts)
    rest = [part for part in out if not _is_one_of(part, (*a, *b))]
    return {"layers": layers, "left_out": ",".join(rest) or None}


def _parts(masks: MaskSet) -> Iterable[str]:
    if masks.layers is not None:
        return Selection.of(masks.layers).parts
    return (DEFAULT,) if masks.method in METHODS else (alone(bare(n)) for n in masks)


def _is_one_of(part: str, names: Collection[str]) -> bool:
    """Whether a part that means one layer means one of these."""
    pattern, columns = split_columns(part)
    for name in names:
        own, chosen = split_columns(name)
        if chosen == columns and (bare(own) == pattern or fnmatchcase(bare(own), pattern)):
            return True
    return False
