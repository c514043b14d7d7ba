"""What a mask file says of the layers that somebody's own locator has masks of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from conceptrevive.models.addresses import Columns, kind_pattern
from conceptrevive.models.layers import inventory
from conceptrevive.models.matching import exact
from conceptrevive.models.presets import DEFAULT, PRESETS, Layer
from conceptrevive.models.protocol import Model
from conceptrevive.models.selection import Layers, Selection, qualified

#: What tells one layer, or some of its columns, from all others.
Identity: TypeAlias = tuple[str, str, Columns | None]


def located_note(
    model: Model, layers: Layers, names: Iterable[str], function: Callable[..., Any]
) -> dict[str, Any]:
    """`layers`, `chosen_by` and `left_out` of a `MaskSet` that `function` returned.

    Layers that the locator was given are said as they were given, and those of them that it has no
    mask of are `left_out`. Of its own choice the preset is said that takes the same, or else the
    kinds that there are masks of; the others of these kinds are left out.

    Args:
        layers: what the locator was given; None for its own choice.
        names: of the layers that it returned masks of.

    Raises:
        ConceptReviveError: a layer that `model` does not have.
    """
    there = [layer for layer, _ in inventory(model)]
    whose = type(model).__name__
    taken = list(Selection.of(list(names)).choose(there, whose).layers.values())
    if layers is not None:
        choice = Selection.of(layers).choose(there, whose)
        if _all(taken) <= _all(choice.layers.values()):
            return choice.note | _left_out(choice.layers.values(), taken, there)
    while isinstance(function, partial):
        function = function.func
    by = {"chosen_by": qualified(function)}
    for name, preset in PRESETS.items():
        if _all(x for each in there if (x := preset.takes(each))) == _all(taken):
            return {} if name == DEFAULT else {"layers": name} | by
    kinds = ",".join(dict.fromkeys(_kind(x, there) for x in taken))
    meant = Selection.of(kinds).choose(there, whose).layers.values()
    return {"layers": kinds} | by | _left_out(meant, taken, there)


def _all(layers: Iterable[Layer]) -> set[Identity]:
    return {(x.component, x.name, x.columns) for x in layers}


def _left_out(
    meant: Iterable[Layer], taken: Iterable[Layer], there: Sequence[Layer]
) -> dict[str, Any]:
    had = _all(taken)
    rest = [exact(x, there) for x in meant if not _all([x]) <= had]
    return {"left_out": ",".join(rest)} if rest else {}


def _kind(layer: Layer, there: Sequence[Layer]) -> str:
    """A pattern for all layers of this kind, or a part that takes it alone if it has no block."""
    name = replace(layer, columns=None).key
    pattern = kind_pattern(name)
    if pattern == name or set(pattern) & set("[]?,"):
        return exact(layer, there)
    return f"{pattern}{layer.columns or ''}"
