"""The commands that draw with a model: locate, evaluate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from conceptrevive.cli.loading import Loading, load, with_loading
from conceptrevive.cli.options import (
    AsJson,
    BatchSize,
    ConceptName,
    DryRun,
    Guidance,
    LayersOption,
    LocateSeed,
    Model,
    Seed,
    Steps,
    Table,
)
from conceptrevive.cli.output import progress, show
from conceptrevive.cli.places import check_file, holds
from conceptrevive.cli.selecting import show_meant
from conceptrevive.evaluation.defaults import IMAGES
from conceptrevive.unlearning.defaults import BY_GRADIENT, METHOD, METHODS


@with_loading
def run_locate(
    model: Model,
    concept: ConceptName,
    out: Annotated[str, typer.Option(metavar="FILE", help="mask file to write (.safetensors)")],
    preset: Table = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME", help=f"how: {', '.join(METHODS)}, a registered one, module:function"
        ),
    ] = METHOD,
    skill_ratio: Annotated[
        float | None,
        typer.Option(
            help="share of each row (conceptprune, forget-it-all); default: the concept's"
        ),
    ] = None,
    tau: Annotated[
        int | None,
        typer.Option(help="denoising steps to look at (as above); default: the concept's"),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(help="share of all weights (salun, scissorhands); default: the method's"),
    ] = None,
    layers: LayersOption = None,
    dry_run: DryRun = False,
    steps: Steps = None,
    guidance: Guidance = None,
    batch_size: BatchSize = None,
    *,
    options: Loading,
    as_json: AsJson = False,
    seed: LocateSeed = 0,
) -> None:
    """Find the weights of a concept."""
    from conceptrevive.unlearning.locators import locate_by, locator
    from conceptrevive.unlearning.masks import FORMAT

    settings: dict[str, Any] = {
        "skill_ratio": skill_ratio,
        "tau": tau,
        "ratio": ratio,
        "layers": layers,
        "steps": steps,
        "guidance": guidance,
        "batch_size": batch_size,
    }
    locator(method, **settings)  # before anything is loaded
    check_file("--out", out, is_ours=holds(FORMAT.encode()), what="mask file")
    by_gradient = method in BY_GRADIENT
    if dry_run:
        own = layers or ("linear" if by_gradient else None)
        named = {"revision": options.revision, "variant": options.variant}
        show_meant(options.unet or model, own, as_json, **named)
        return
    chosen, pipe = load(model, concept, preset, options, single=by_gradient)
    given: dict[str, Any] = {n: v for n, v in settings.items() if v is not None}
    total = None if by_gradient or method not in METHODS else 2 * len(chosen.target_prompts)
    with progress(f"locate {chosen.name}", total) as update:
        masks = locate_by(
            method, pipe, chosen, seed=seed, progress=lambda n: update(advance=n), **given
        )
    masks.save(out)
    result = {
        "concept": chosen.name,
        "out": out,
        "method": method,
        "skill_ratio": masks.skill_ratio,
        "tau": masks.tau,
        "seed": seed,
        "layers": len(masks),
        "pruned": masks.count,
        "pruned_fraction": masks.fraction,
    }
    said = {"located_in": masks.layers, "located_without": masks.left_out}
    show(result | {name: text for name, text in said.items() if text is not None}, as_json)


@with_loading
def run_evaluate(
    model: Model,
    concept: ConceptName,
    preset: Table = None,
    images: Annotated[int, typer.Option(metavar="N", help="pictures of the concept")] = IMAGES,
    retained: Annotated[
        int | None, typer.Option(metavar="N", help="pictures of other concepts; default: one each")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="of the concept's pictures: a registered judge or module:function; "
            "default: the concept's labels or pair",
        ),
    ] = None,
    steps: Steps = None,
    guidance: Guidance = None,
    batch_size: BatchSize = None,
    *,
    options: Loading,
    as_json: AsJson = False,
    seed: Seed = 0,
) -> None:
    """Draw the concept and judge it."""
    from conceptrevive.evaluation.outcomes import evaluate
    from conceptrevive.evaluation.own_judge import find_judge
    from conceptrevive.experiments.provenance import provenance
    from conceptrevive.models.generation import fastest
    from conceptrevive.models.layers import denoiser

    own = None if judge is None else find_judge(judge)
    chosen, pipe = load(model, concept, preset, options)
    others = len({p.labels for p in chosen.retained}) if retained is None else retained
    with progress(f"evaluate {chosen.name}", images + others) as update:
        outcomes = evaluate(
            pipe,
            chosen,
            n=images,
            retained=retained,
            seed=seed,
            judge=own,
            steps=steps,
            guidance=guidance,
            batch_size=batch_size,
            progress=lambda n: update(advance=n),
        )
    top1, kept = outcomes.erased, outcomes.retained
    result = {
        "concept": chosen.name,
        "model": model,
        "top1": top1.value,
        "interval": top1.interval,
        "n": top1.n,
        "retained_top1": kept.value if kept.n else None,
        "retained_interval": kept.interval,
        "retained_n": kept.n,
        **({} if judge is None else {"judge": judge}),
        "sampling": str(fastest(pipe)),
        **provenance(seed, str(next(denoiser(pipe).parameters()).device)),
    }
    show(result, as_json)
