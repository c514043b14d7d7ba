"""`--dry-run`: which layers would be taken, of which shapes, and what is left out and why.

`list layers MODEL`: which there are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from conceptrevive.cli.output import say, show
from conceptrevive.errors import ConceptReviveError, one_line

if TYPE_CHECKING:
    from conceptrevive.checkpoints.contents import Checkpoint
    from conceptrevive.models.presets import Layer
    from conceptrevive.models.selection import Choice, Layers
    from conceptrevive.unlearning.masks import MaskSet


def show_meant(model: str, layers: Layers, as_json: bool, **which: str | None) -> None:
    """Say what `layers` means in a checkpoint; nothing is drawn, and no weight is read.

    Args:
        which: revision, variant, see `open_checkpoint`.
    """
    from conceptrevive.checkpoints.contents import open_checkpoint
    from conceptrevive.checkpoints.selection import choose_layers

    choice = choose_layers(open_checkpoint(model, components=None, **which), layers)
    show_layers(choice, as_json)


def show_inventory(model: str, as_json: bool, **which: str | None) -> None:
    """Say which layers a checkpoint has, of which shapes, and which presets take them.

    Args:
        which: revision, variant, see `open_checkpoint`.
    """
    from conceptrevive.checkpoints.contents import open_checkpoint
    from conceptrevive.checkpoints.selection import inventory
    from conceptrevive.models.presets import PRESETS

    checkpoint = open_checkpoint(model, components=None, **which)
    there = inventory(checkpoint)
    if not there:
        raise ConceptReviveError(
            f"{checkpoint.source} has no layer with a matrix: give a model's weights"
        )
    kinds = list(_kinds(there))
    for kind in kinds:
        of = kind.pop("of")
        kind["presets"] = [n for n, preset in PRESETS.items() if preset.takes(of)]
    result: dict[str, Any] = {"model": str(checkpoint.source), "layers": len(there)}
    if checkpoint.closed:
        result["not_read"] = [f"{name} (pickles only)" for name in checkpoint.closed]
    if as_json:
        show(result | {"kinds": kinds}, True)
        return
    show(result, False)
    lines = [_line(kind) + (f"  {', '.join(kind['presets'])}").rstrip() for kind in kinds]
    say("\n".join(lines), sys.stdout)


def dry_run_masks(checkpoint: Checkpoint, masks: MaskSet, partial: bool, as_json: bool) -> None:
    """The same for masks, which must fit."""
    from conceptrevive.checkpoints.layers import find_layers
    from conceptrevive.checkpoints.selection import expect_whole, inventory
    from conceptrevive.models.selection import Selection
    from conceptrevive.unlearning.fit import check_not_empty

    check_not_empty(masks)
    places = find_layers(checkpoint, masks)
    if not partial:
        expect_whole(checkpoint, places, masks.layers, masks.left_out)
    there = inventory(checkpoint, tables=True)
    choice = Selection.of(list(places)).choose(there, str(checkpoint.source))
    for name, layer in choice.layers.items():
        if layer.matrix != masks[name].shape:
            raise ConceptReviveError(
                f"{name}: mask {tuple(masks[name].shape)} does not fit weight {layer.matrix}: "
                "locate on this model first"
            )
    said = {
        "located_in": masks.layers,
        "located_without": masks.left_out,
        "chosen_by": masks.chosen_by,
    }
    told = {name: text for name, text in said.items() if text is not None}
    show_layers(choice, as_json, **told, pruned=masks.count)


def show_layers(choice: Choice, as_json: bool, **more: object) -> None:
    """Print a choice: a line for each kind of layers taken, and for each left out."""
    taken = list(_kinds(choice.layers.values()))
    why = _why(choice)
    left_out = [kind | {"why": why(kind.pop("of"))} for kind in _kinds(choice.left_out())]
    for kind in taken:
        del kind["of"]
    result: dict[str, Any] = {
        "model": choice.whose,
        "selection": choice.selection.text,
        "layers": len(choice.layers),
        "weights": sum(kind["weights"] for kind in taken),
        **more,
    }
    if as_json:
        show(result | {"taken": taken, "left_out": left_out}, True)
        return
    show(result, False)
    for title, kinds in (("taken", taken), ("left out", left_out)):
        lines = [_line(kind) for kind in kinds]
        say("\n".join([f"{title}:", *(lines or ["  none"])]), sys.stdout)


def _line(kind: dict[str, Any]) -> str:
    shapes = ", ".join(" × ".join(map(str, shape)) or "unknown" for shape in kind["shapes"])
    reason = f": {kind['why']}" if "why" in kind else ""
    return f"  {kind['count']:>4}  {one_line(kind['name'])}  {shapes}{reason}"


def _kinds(layers: Iterable[Layer]) -> Iterable[dict[str, Any]]:
    """Layers together that only differ in numbers within their names."""
    from conceptrevive.models.addresses import kind_pattern

    kinds: dict[str, dict[str, Any]] = {}
    for x in layers:
        pattern = kind_pattern(x.address) + ("" if x.columns is None else str(x.columns))
        kind = kinds.setdefault(
            pattern, {"name": pattern, "count": 0, "shapes": [], "weights": 0, "of": x}
        )
        kind["count"] += 1
        kind["weights"] += x.matrix[0] * x.matrix[1] if x.shape else 0
        shape = list(x.shape if x.columns is None else x.matrix)
        if shape not in kind["shapes"]:
            kind["shapes"].append(shape)
    return kinds.values()


def _why(choice: Choice) -> Callable[[Layer], str]:
    """Why a layer was left out, in words."""
    from conceptrevive.models.presets import PRESETS, is_like_feed_forward

    selection = choice.selection
    components: Collection[str] | None = selection.components

    def why(layer: Layer) -> str:
        others = [n for n, preset in PRESETS.items() if preset.takes(layer)]
        hint = f", it is in {', '.join(others)}" if others else ""
        if not layer.denoises and not layer.component:
            return "goes by the file's own name, and by none of diffusers'"
        if not layer.denoises and components is not None and layer.component not in components:
            return f"of another component{hint}"
        if selection.is_default and is_like_feed_forward(layer):
            return f"looks like a feed-forward output, but of a name that is not known{hint}"
        return f"not in {selection.text}{hint}"

    return why
