"""The commands from checkpoint to checkpoint: prune, revive, obfuscate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conceptrevive.cli.options import (
    AsJson,
    Device,
    Masks,
    Model,
    OutCheckpoint,
    Revision,
    SecretSeed,
    Seed,
)
from conceptrevive.cli.output import complain, show
from conceptrevive.defence.defaults import SIGMA
from conceptrevive.errors import ConceptReviveError
from conceptrevive.revival.defaults import MAGNITUDE, SOLVER, TOP_K, Magnitude, Solver

if TYPE_CHECKING:
    from conceptrevive.models.weights import Weights
    from conceptrevive.unlearning.masks import MaskSet


def run_prune(
    model: Model,
    masks: Masks,
    out: OutCheckpoint,
    as_json: AsJson = False,
    device: Device = None,
    revision: Revision = None,
    seed: Seed = 0,
) -> None:
    """Zero the located weights."""
    from conceptrevive.unlearning.masks import MaskSet, prune

    located = MaskSet.load(masks)
    note = {
        "operation": "prune",
        "concept": located.concept,
        "pruned": located.count,
        "pruned_fraction": located.fraction,
    }
    result = _edit(model, out, lambda w: prune(w, located), note, revision, names=located)
    show(result, as_json)


def run_revive(
    model: Model,
    out: OutCheckpoint,
    masks: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="pruned positions; default: the exact zeros"),
    ] = None,
    guess: Annotated[
        float | None,
        typer.Option(metavar="F", help="no zeros: take each row's share F of smallest |w|"),
    ] = None,
    solver: Annotated[Solver, typer.Option(help="how signs are found")] = SOLVER,
    top_k: Annotated[
        float, typer.Option(metavar="F", help="share of the signs kept, the surest")
    ] = TOP_K,
    magnitude: Annotated[
        Magnitude, typer.Option(help="size given to a revived weight, of its row")
    ] = MAGNITUDE,
    as_json: AsJson = False,
    device: Device = None,
    revision: Revision = None,
    seed: Seed = 0,
) -> None:
    """Bring back what was pruned, from the zeros alone."""
    from conceptrevive.revival.attack import revive
    from conceptrevive.unlearning.masks import MaskSet

    if masks is not None and guess is not None:
        raise ConceptReviveError("--masks and --guess exclude each other: give one")
    given = None if masks is None else MaskSet.load(masks)
    note: dict[str, Any] = {
        "operation": "revive",
        "solver": solver,
        "top_k": top_k,
        "magnitude": magnitude,
        "seed": seed,
    }

    def edit(weights: Weights) -> Weights:
        where = given if given is not None else _positions(model, weights, guess)
        if full := next((n for n, m in where.items() if m.all()), None):
            raise ConceptReviveError(
                f"{full}: every weight is 0 or masked, nothing is left to go by: "
                "leave it out with --masks"
            )
        note["revived"] = where.count
        return revive(weights, where, solver=solver, top_k=top_k, magnitude=magnitude, seed=seed)

    show(_edit(model, out, edit, note, revision, names=given), as_json)


def _positions(model: str, weights: Weights, guess: float | None) -> MaskSet:
    """Where an attacker without masks takes the weights to be pruned."""
    from conceptrevive.revival.positions import guess_masks, zero_masks

    masks = zero_masks(weights) if guess is None else guess_masks(weights, guess)
    if masks.count == 0:
        raise ConceptReviveError(
            f"{model} has no exact zeros to revive from: give --masks, or --guess a pruning rate"
        )
    return masks


def run_obfuscate(
    model: Model,
    masks: Masks,
    out: OutCheckpoint,
    sigma: Annotated[
        float, typer.Option(metavar="F", help="σ_M in units of each layer's σ_U")
    ] = SIGMA,
    absolute: Annotated[bool, typer.Option("--absolute", help="--sigma is σ_M itself")] = False,
    as_json: AsJson = False,
    device: Device = None,
    revision: Revision = None,
    seed: SecretSeed = None,
) -> None:
    """Fill the located weights with noise instead of zeros."""
    from conceptrevive.defence.obfuscation import obfuscate
    from conceptrevive.unlearning.masks import MaskSet

    located = MaskSet.load(masks)
    note: dict[str, Any] = {
        "operation": "obfuscate",
        "concept": located.concept,
        "sigma": sigma,
        "relative": not absolute,
    }
    if seed is not None:
        note["seed"] = seed
        complain(
            "conceptrevive",
            "who tries this seed finds the noise: leave --seed out for what is given away",
        )

    def edit(weights: Weights) -> Weights:
        return obfuscate(weights, located, sigma=sigma, relative=not absolute, seed=seed)

    # A file whose header says what was hidden hides nothing.
    show(_edit(model, out, edit, note, revision, names=located, silent=True), as_json)


def _edit(
    model: str,
    out: str,
    edit: Callable[[Weights], Weights],
    note: dict[str, Any],
    revision: str | None,
    *,
    names: Iterable[str] | None,
    silent: bool = False,
) -> Mapping[str, object]:
    """Write the edited checkpoint; what was done, as the command shows it."""
    from conceptrevive.checkpoints.editing import edit_checkpoint

    changed = edit_checkpoint(
        model,
        out,
        edit,
        note=None if silent else note,
        names=None if names is None else set(names),
        revision=revision,
    )
    zeros = sum(int((w == 0).sum()) for w in changed.values())
    return note | {"out": out, "layers": len(changed), "zeros": zeros}
