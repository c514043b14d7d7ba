"""From a checkpoint to an edited one, and what is said of it: how prune, revive, obfuscate end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from conceptrevive.cli.output import complain

if TYPE_CHECKING:
    from conceptrevive.checkpoints.contents import Checkpoint
    from conceptrevive.models.weights import Weights
    from conceptrevive.unlearning.masks import MaskSet


def opened(
    model: str, revision: str | None, variant: str | None, names: Iterable[str] | None
) -> Checkpoint:
    """The checkpoint, with the components that hold the layers named; None opens all."""
    from conceptrevive.checkpoints.contents import open_checkpoint
    from conceptrevive.checkpoints.naming import components_of

    return open_checkpoint(
        model,
        revision=revision,
        variant=variant,
        components=None if names is None else components_of(names),
    )


def written(
    checkpoint: Checkpoint,
    out: str,
    edit: Callable[[Weights], Weights],
    note: dict[str, Any],
    masks: MaskSet,
    partial: bool,
    silent: bool = False,
) -> dict[str, Any]:
    """Write the edited checkpoint; what was done, as the command shows it."""
    from conceptrevive.checkpoints.editing import edit_checkpoint

    edited = edit_checkpoint(
        checkpoint,
        out,
        edit,
        note=None if silent else note,
        names=masks,
        partial=partial,
        located_in=masks.layers,
        located_without=masks.left_out,
    )
    result = note | {
        "out": out,
        "layers": len(edited.weights),
        "zeros": sum(int((w == 0).sum()) for w in edited.weights.values()),
    }
    if checkpoint.variant:
        result["variant"] = checkpoint.variant
    if edited.left_out:
        result["left_out"] = list(edited.left_out)
        complain(
            f"conceptrevive {note['operation']}",
            f"left out of {out}, as pickles or other copies of the weights: "
            f"{', '.join(edited.left_out)}",
        )
    return result
