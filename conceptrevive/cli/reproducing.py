"""The command that measures the paper's tables and figures: reproduce."""

from __future__ import annotations

from typing import Annotated

import typer

from conceptrevive.cli.options import AsJson, Device, LocateSeed
from conceptrevive.cli.output import show
from conceptrevive.experiments.reproduction.catalogue import ALL, EXPERIMENTS


def run_reproduce(
    experiment: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help=", ".join((*EXPERIMENTS, ALL)))
    ],
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="how much is measured: smoke, laptop or paper")
    ] = "smoke",
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="pocket, a folder, a hub id")
    ] = "pocket",
    concept: Annotated[
        list[str] | None,
        typer.Option(help="a preset or a .yaml file; once or more; default: the profile's"),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="folder; default: results/PROFILE")
    ] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET=FILE",
            help="prompts for `unsafe`; once or more, or a folder of files named by their set",
        ),
    ] = None,
    coco: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="COCO's pictures and captions, which the FID of full-size models compares with",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="JUDGE",
            help="of objects, a folder or a hub id; default: each concept's own",
        ),
    ] = None,
    as_json: AsJson = False,
    device: Device = None,
    seed: LocateSeed = 0,
) -> None:
    """Measure a table or figure of the paper, or all of them."""
    from conceptrevive.experiments.reproduction.driver import reproduce
    from conceptrevive.experiments.runner import is_first

    found = reproduce(
        experiment,
        profile=profile,
        model=model,
        concepts=concept,
        out=out,
        seed=seed,
        device=device,
        prompts=prompts or (),
        coco=coco,
        judge=judge,
    )
    if is_first(device):  # of several processes one tells
        show(dict(found), as_json)
