"""The command from two checkpoints to masks: masks."""

from __future__ import annotations

from typing import Annotated

import typer

from conceptrevive.cli.options import AsJson, LayersOption, Revision, Variant
from conceptrevive.cli.output import complain, show, some
from conceptrevive.cli.places import check_file, holds
from conceptrevive.errors import ConceptReviveError

WHERE = "conceptrevive masks"


def run_masks(
    original: Annotated[
        str,
        typer.Argument(
            metavar="ORIGINAL", help="the model before: file, index of shards, folder, hub id"
        ),
    ],
    unlearned: Annotated[
        str, typer.Argument(metavar="UNLEARNED", help="the same after unlearning, by any method")
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="mask file to write (.safetensors)")],
    entries: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="zeroed; changed; or moved: changed by more than --far",
        ),
    ] = "zeroed",
    far: Annotated[
        float | None,
        typer.Option(
            metavar="F", help="standard deviations of the original layer; default: 0.1 (moved)"
        ),
    ] = None,
    layers: LayersOption = None,
    as_json: AsJson = False,
    revision: Revision = None,
    original_revision: Annotated[str | None, typer.Option(help="the same, of ORIGINAL")] = None,
    variant: Variant = None,
) -> None:
    """Write which weights unlearning zeroed, changed or moved."""
    from conceptrevive.auditing.changes import masks_between
    from conceptrevive.auditing.suggesting import FAR
    from conceptrevive.unlearning.masks import FORMAT

    if far is not None and entries != "moved":
        raise ConceptReviveError(f"--far {far} is for --entries moved, not for {entries}")
    check_file("--out", out, is_ours=holds(FORMAT.encode()), what="mask file")
    changes = masks_between(
        original,
        unlearned,
        entries=entries,  # type: ignore[arg-type]  # checked there
        far=FAR if far is None else far,
        layers=layers,
        revision=revision,
        original_revision=original_revision,
        variant=variant,
    )
    changes.masks.save(out)
    if changes.left_out:
        told = [f"{name} ({why})" for name, why in changes.left_out.items()]
        complain(WHERE, f"left out: {some(told)}")
    if changes.suggestion:
        c = changes.counts
        complain(
            WHERE,
            f"{c['changed']} weights changed, {c[entries]} are {entries}; {changes.suggestion}",
        )
    if changes.vectors:
        complain(
            WHERE,
            f"changed too, and in no mask, which holds matrices: {some(list(changes.vectors))}",
        )
    show(
        {
            "out": out,
            "entries": entries,
            **changes.counts,
            "layers": len(changes.masks),
            "masked": changes.masks.count,
            "masked_fraction": changes.masks.fraction,
            "per_layer": dict(changes.layers),
        },
        as_json,
    )
