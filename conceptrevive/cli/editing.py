"""The commands from checkpoint to checkpoint: prune, revive, obfuscate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from conceptrevive.cli.options import (
    AsJson,
    Device,
    DryRun,
    LayersOption,
    Masks,
    Model,
    OutCheckpoint,
    Partial,
    Revision,
    SecretSeed,
    Seed,
    Variant,
)
from conceptrevive.cli.output import complain, show
from conceptrevive.cli.places import check_new
from conceptrevive.cli.selecting import dry_run_masks
from conceptrevive.cli.writing import opened, written
from conceptrevive.defence.defaults import DEFENCE, SIGMA
from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.defaults import MAGNITUDE, MAGNITUDES, SOLVER, TOP_K, Solver

if TYPE_CHECKING:
    from conceptrevive.models.weights import Weights


def run_prune(
    model: Model,
    masks: Masks,
    out: OutCheckpoint,
    partial: Partial = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    device: Device = None,
    revision: Revision = None,
    variant: Variant = None,
    seed: Seed = 0,
) -> None:
    """Zero the located weights."""
    from conceptrevive.unlearning.masks import MaskSet, prune

    check_new("--out", out)
    located = MaskSet.load(masks)
    note = {
        "operation": "prune",
        "concept": located.concept,
        "pruned": located.count,
        "pruned_fraction": located.fraction,
    }
    checkpoint = opened(model, revision, variant, None if located.layers else located)
    if dry_run:
        dry_run_masks(checkpoint, located, partial, as_json)
        return
    show(written(checkpoint, out, lambda w: prune(w, located), note, located, partial), as_json)


def run_revive(
    model: Model,
    out: OutCheckpoint,
    masks: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="pruned positions; default: the zeros that pruning left"),
    ] = None,
    guess: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="no zeros: take each row's share F of smallest |w|, untouched weights too",
        ),
    ] = None,
    layers: LayersOption = None,
    solver: Annotated[Solver, typer.Option(help="how signs are found")] = SOLVER,
    top_k: Annotated[
        float, typer.Option(metavar="F", help="share of the signs kept, the surest")
    ] = TOP_K,
    magnitude: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"size given to a revived weight, of its row: {', '.join(MAGNITUDES)}, a "
            "registered one, module:function",
        ),
    ] = MAGNITUDE,
    partial: Partial = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    device: Device = None,
    revision: Revision = None,
    variant: Variant = None,
    seed: Seed = 0,
) -> None:
    """Bring back what was pruned, from the zeros alone; by default in every matrix there is."""
    from conceptrevive.cli.positions import guessed, left_zeros, with_survivors
    from conceptrevive.revival.attack import revive
    from conceptrevive.revival.magnitude import magnitude_rule
    from conceptrevive.unlearning.fit import check_not_empty
    from conceptrevive.unlearning.masks import MaskSet

    if masks is not None and (guess is not None or layers is not None):
        other = "--guess" if guess is not None else "--layers"
        raise ConceptReviveError(f"--masks and {other} exclude each other: give one")
    rule = magnitude_rule(magnitude)
    check_new("--out", out)
    note: dict[str, Any] = {
        "operation": "revive",
        "solver": solver,
        "top_k": top_k,
        "magnitude": magnitude,
        "seed": seed,
    }
    if masks is not None:
        where = MaskSet.load(masks)
        check_not_empty(where)
        checkpoint = opened(model, revision, variant, None if where.layers else where)
    elif guess is not None:
        checkpoint = opened(model, revision, variant, () if layers is None else None)
        where = guessed(checkpoint, guess, layers)
    else:
        checkpoint = opened(model, revision, variant, None)
        where = left_zeros(checkpoint, layers)
    if dry_run:
        dry_run_masks(checkpoint, where, partial or masks is None, as_json)
        return
    per_layer: dict[str, int] = {}

    def edit(weights: Weights) -> Weights:
        known = with_survivors(weights, where)
        per_layer.update({n: int(m.sum()) for n, m in known.items()})
        note["revived"] = sum(per_layer.values())
        kept = {n: weights[n] for n in known}
        return revive(kept, known, solver=solver, top_k=top_k, magnitude=rule, seed=seed)

    result = written(checkpoint, out, edit, note, where, partial or masks is None)
    show(result | {"per_layer": per_layer}, as_json)


def run_obfuscate(
    model: Model,
    masks: Masks,
    out: OutCheckpoint,
    sigma: Annotated[
        float, typer.Option(metavar="F", help="σ_M in units of each layer's σ_U")
    ] = SIGMA,
    absolute: Annotated[bool, typer.Option("--absolute", help="--sigma is σ_M itself")] = False,
    defence: Annotated[
        str,
        typer.Option(
            metavar="NAME", help=f"how: {DEFENCE}, a registered one, module:function (no --sigma)"
        ),
    ] = DEFENCE,
    partial: Partial = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    device: Device = None,
    revision: Revision = None,
    variant: Variant = None,
    seed: SecretSeed = None,
) -> None:
    """Fill the located weights with noise instead of zeros."""
    from conceptrevive.defence.defences import defend, find_defence
    from conceptrevive.detectors.grid import on_grid
    from conceptrevive.unlearning.masks import MaskSet

    given = {
        "sigma": None if sigma == SIGMA else sigma,
        "relative": False if absolute else None,
        "seed": seed,
    }
    find_defence(defence, **given)
    check_new("--out", out)
    located = MaskSet.load(masks)
    note: dict[str, Any] = {"operation": "obfuscate", "concept": located.concept}
    if defence == DEFENCE:
        note |= {"sigma": sigma, "relative": not absolute}
    else:
        note |= {"defence": defence} | {n: v for n, v in given.items() if v is not None}
    if seed is not None:
        note["seed"] = seed
        complain(
            "conceptrevive",
            "who tries this seed finds the noise: leave --seed out for what is given away",
        )

    def edit(weights: Weights) -> Weights:
        grids = [n for n, w in weights.items() if n in located and on_grid(w)]
        if grids:
            complain(
                "conceptrevive obfuscate",
                f"layers on a quantisation grid: {len(grids)} of {len(weights)}, {grids[0]} first; "
                "noise beside them stands out: hide the model as it was before it was quantised",
            )
        hidden = defend(defence, weights, located, **given)
        beside = sum(int((hidden[n] != w)[~located[n]].sum()) for n, w in weights.items())
        if beside:
            complain("conceptrevive obfuscate", f"{beside} weights that are not masked changed too")
        return hidden

    # A file whose header says what was hidden hides nothing.
    checkpoint = opened(model, revision, variant, None if located.layers else located)
    if dry_run:
        dry_run_masks(checkpoint, located, partial, as_json)
        return
    show(written(checkpoint, out, edit, note, located, partial, silent=True), as_json)
