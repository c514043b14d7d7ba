"""The command that shows all of it on the pocket model: demo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from conceptrevive.cli.options import AsJson, Device, LocateSeed
from conceptrevive.cli.output import progress, show
from conceptrevive.cli.places import check_folder, holds_keys


def run_demo(
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="folder for demo.png and demo.json")
    ] = "demo",
    concept: Annotated[
        str | None, typer.Option(help="a preset of the pocket model or a .yaml file")
    ] = None,
    images: Annotated[
        int | None, typer.Option(metavar="N", help="pictures of the concept per row")
    ] = None,
    retained: Annotated[
        int | None, typer.Option(metavar="N", help="pictures of other concepts per row")
    ] = None,
    as_json: AsJson = False,
    device: Device = None,
    seed: LocateSeed = 0,
) -> None:
    """Erase, revive, hide and attack again on the pocket model."""
    from conceptrevive.experiments.demo import demo
    from conceptrevive.experiments.runner import is_first

    made_here = holds_keys("erased_top1", "retained_top1")
    check_folder(
        "--out",
        out,
        files={
            "demo.json": made_here,
            "demo.png": lambda png: made_here(png.with_name("demo.json")),
        },
        what="demo.png and demo.json",
    )
    options = {"concept": concept, "images": images, "retained": retained}
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    with progress("demo") as update:

        def tick(row: str, done: int, total: int) -> None:
            update(description=row.replace("_", " "), completed=done, total=total)

        result = demo(out, seed=seed, device=device, progress=tick, **given)
    if is_first(device):  # of several processes one tells
        show(result | {"out": out}, as_json)
