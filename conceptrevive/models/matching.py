"""Which layers of a model a name, a preset or a pattern means; errors show what there is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from conceptrevive.errors import ConceptReviveError, nearest
from conceptrevive.models.addresses import (
    Columns,
    bare,
    kind_pattern,
    match_names,
    split_columns,
    split_component,
    unwrapped_name,
)
from conceptrevive.models.presets import PRESETS, Layer

GIVE = f"give a preset ({', '.join(PRESETS)}), the end of a name, or a pattern with * and ?"

#: What means more than itself in a selection.
_SPECIAL = re.compile(r"[][*?,]")


def grouped(layers: Iterable[Layer], most: int | None = None) -> str:
    """Layers by what their blocks have in common: `transformer_blocks.*.ff.net.2 (24)`."""
    counts = Counter(kind_pattern(x.key) for x in layers)
    told = [f"{name} ({n})" for name, n in list(counts.items())[:most]]
    more = len(counts) - len(told)
    return ", ".join(told) + (f" and {more} more kinds" if more else "")


def what_there_is(inventory: Sequence[Layer], whose: str) -> str:
    """What a model has, for a message that nothing was found in it."""
    if not inventory:
        return f"the layers of {whose}, which has none with a matrix"
    return f"the {len(inventory)} layers of {whose}: {grouped(inventory, 8)}"


def by_part(
    part: str, inventory: Sequence[Layer], whose: str, everywhere: bool
) -> dict[str, Layer]:
    """What one preset or pattern takes."""
    if part in PRESETS:
        taken = [t for x in inventory if (t := PRESETS[part].takes(x))]
        if not taken:
            raise ConceptReviveError(_no_preset(part, inventory, whose))
    else:
        pattern, columns = split_columns(unwrapped_name(part.removesuffix(".weight")))
        taken = [
            _cut(x, columns, part)
            for x in inventory
            if (everywhere or "/" in pattern or x.denoises or x.encodes_text)
            and _matches(x, pattern)
        ] or [_cut(x, columns, part) for x in _prefixed(pattern, inventory)]
        if not taken:
            raise ConceptReviveError(
                f"layers {part!r} matches none of {len(inventory)} layers of {whose}, "
                f"{_instead(part, inventory)}: {GIVE}"
            )
    return {x.key: x for x in taken}


def _instead(part: str, inventory: Sequence[Layer]) -> str:
    """What there is instead: components, if it is for its own that a pattern takes nothing."""
    component, _ = split_component(part)
    there = dict.fromkeys(x.component for x in inventory if x.component)
    if component and there and not any(fnmatchcase(x, component) for x in there):
        return f"which are of {', '.join(there)}{nearest(component, there)}"
    first = inventory[0].key if inventory else "none"
    return f"of which the first is {first}{nearest(part, PRESETS)}"


def _cut(layer: Layer, columns: Columns | None, given: str) -> Layer:
    """The layer, of some columns alone. Raises ConceptReviveError where it has none of them."""
    out = replace(layer, columns=columns)
    if layer.shape and not out.matrix[1]:
        raise ConceptReviveError(
            f"layers {given!r} takes no column of {layer.address}, which has "
            f"{replace(layer, columns=None).matrix[1]}: give some of these"
        )
    return out


def _matches(layer: Layer, pattern: str) -> bool:
    names = {layer.key, layer.address}
    return any(n.endswith(pattern) or fnmatchcase(n, pattern) for n in names)


def exact(layer: Layer, inventory: Sequence[Layer]) -> str:
    """A part that takes this layer alone: its name, or a pattern where that ends other names."""
    name = replace(layer, columns=None).key
    others = (x for x in inventory if (x.component, x.name) != (layer.component, layer.name))
    ends = any(n.endswith(name) for x in others for n in (x.key, x.address))
    columns = f"{layer.columns or ''}"
    if ends or name in PRESETS or _SPECIAL.search(name):
        return alone(name + columns)
    return name + columns


def alone(name: str) -> str:
    """A pattern that takes this layer alone, whatever other layers there are."""
    name, columns = split_columns(name)
    return f"[{name[:1]}]{_SPECIAL.sub('?', name[1:])}{columns or ''}"


def _prefixed(name: str, inventory: Sequence[Layer]) -> list[Layer]:
    """The layer of this name where what is before it differs, as of text encoders in files."""
    component, name = split_component(name)
    there = {x.name: x for x in inventory if component and x.component == component}
    return [there[meant] for meant in match_names([name], there).values()]


def _no_preset(part: str, inventory: Sequence[Layer], whose: str) -> str:
    fits = [
        name
        for name, preset in PRESETS.items()
        if name != part and any(preset.takes(x) for x in inventory)
    ]
    instead = f"choose {', '.join(fits)}, or " if fits else ""
    return (
        f"the preset {part} ({PRESETS[part].description}) fits no layer of {whose}; it has "
        f"{len(inventory)}: {grouped(inventory, 8) or 'none'}; {instead}name layers by a pattern"
    )


def by_names(names: Sequence[str], inventory: Sequence[Layer], whose: str) -> dict[str, Layer]:
    """{name as it was given: layer}."""
    if not names:
        raise ConceptReviveError("layers has no names: give some, or None for the default")
    there: dict[str, dict[str, Layer]] = {}
    for x in inventory:
        there.setdefault("" if x.denoises else x.component, {})[x.name] = x
    by_component: dict[str, list[str]] = {}
    parts = {}
    for given in names:
        whole, columns = split_columns(given)
        component, name = split_component(bare(whole))
        parts[given] = component, name, columns
        by_component.setdefault(component, []).append(name)
    meant = {c: match_names(n, there.get(c, {})) for c, n in by_component.items()}
    out = {}
    for given, (component, name, columns) in parts.items():
        if name not in meant[component]:
            raise ConceptReviveError(
                f"{whose} has no linear layer or convolution named {given!r}: "
                "were these masks located on another architecture?"
            )
        out[given] = _cut(there[component][meant[component][name]], columns, given)
    return out
