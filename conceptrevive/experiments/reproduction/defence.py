"""Figs. 6, 7 and Table 12: noise of every size in the pruned places, and what attacks make of it.

Forgetting, what is retained, whether an audit sees the noise, and revival by an attacker who
guesses the places (per row, or over all layers) or knows them.

FID says how far the pictures of the other concepts have moved from the original's of the same
prompts under another seed, whose own distance is the floor: FID of few pictures is biased upwards,
and only differences between rows mean something. On the pocket model, features of all concepts'
few pictures are taken together; at paper scale, each concept has its distance, and the table their
mean.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from pydantic import JsonValue
from safetensors.torch import save_file

from conceptrevive.auditing.verdict import audit
from conceptrevive.concepts.concept import Concept
from conceptrevive.defence.obfuscation import modified_probability, obfuscate
from conceptrevive.defence.precision import precision
from conceptrevive.evaluation.features import inception
from conceptrevive.evaluation.frechet import Distances, difference, distances, mean_distance
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.reproduction.bench import Bench, Experiment, Numbers
from conceptrevive.experiments.reproduction.looking import (
    Values,
    kept_distances,
    packed,
    unpacked,
)
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.experiments.reproduction.recipes import (
    BASIS,
    ORIGINAL,
    PRUNED,
    Erased,
    Recipe,
)
from conceptrevive.experiments.reproduction.views import of_others, own_reference
from conceptrevive.models.weights import Weights
from conceptrevive.revival.attack import revive
from conceptrevive.revival.positions import guess_everywhere, guess_masks
from conceptrevive.unlearning.masks import MaskSet

#: The rows without pictures: p(w) (Fig. 7).
SURFACE = "p(w)"
#: Half-widths of p(w) in units of σ_U.
WIDTHS = tuple(round(0.05 * 1.25**i, 4) for i in range(20))


def hidden(erased: Erased, sigma: float, relative: bool) -> Weights:
    """Noise in the pruned places."""
    return obfuscate(
        erased.original, erased.masks, sigma=sigma, relative=relative, seed=erased.seed
    )


def guessed(erased: Erased, weights: Weights, everywhere: bool) -> MaskSet:
    """Where an attacker who knows how much was pruned looks for it: the smallest magnitudes."""
    if everywhere:
        return guess_everywhere(weights, erased.masks.fraction)
    return guess_masks(weights, {n: float(m.float().mean()) for n, m in erased.masks.items()})


def attacked(erased: Erased, sigma: float, relative: bool, everywhere: bool) -> Weights:
    """The attack at guessed positions."""
    weights = hidden(erased, sigma, relative)
    return revive(weights, guessed(erased, weights, everywhere), seed=erased.seed)


def known(erased: Erased) -> Weights:
    """The attack at the true positions: it never uses what stands there, whatever the noise."""
    return revive(erased.pruned, erased.masks, seed=erased.seed)


def recipes(profile: Profile) -> dict[str, Recipe]:
    """Every row: σ_M, and what is then done."""
    out = BASIS | {"revived, positions known": Recipe(known)}
    sizes = [(s, True) for s in profile.sigmas] + [(s, False) for s in profile.absolute]
    for sigma, relative in sizes:
        name = f"σ_M {sigma:g}{' σ_U' if relative else ''}"
        told: dict[str, JsonValue] = {"sigma": sigma, "relative": relative}
        out[name] = Recipe(partial(hidden, sigma=sigma, relative=relative), told)
        for where, everywhere in (("per row", False), ("over all layers", True)):
            make = partial(attacked, sigma=sigma, relative=relative, everywhere=everywhere)
            out[f"{name}, revived {where}"] = Recipe(make, told)
    return out


def ready(bench: Bench) -> None:
    """Raise ConceptReviveError where FID has nothing to see by, before an hour of drawing."""
    if bench.preset != "pocket":
        inception(bench.lab.parts.device)


def cells(bench: Bench) -> list[Cell]:
    """Every concept under every size of noise and attack, and its p(w)."""
    return [
        cell
        for concept in bench.concepts
        for cell in (
            *(
                bench.cell("defence", concept, r, None, None, **own_reference(bench))
                for r in recipes(bench.profile)
            ),
            bench.cell("defence", concept, SURFACE, n=0, retained=0),
        )
    ]


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures and, of what is given away, the audit's verdict; or p(w)."""
    erased = bench.erased_of(cell)
    if cell.recipe == SURFACE:
        return Found(numbers=surface(erased, bench.profile))
    recipe, concept = recipes(bench.profile)[cell.recipe], bench.asked(cell)
    weights = recipe.make(erased)
    # The others are drawn apart, for their features are wanted too.
    alone = replace(cell, settings={**cell.settings, "retained": 0})
    drawn = bench.draw(alone, Recipe(lambda _: weights, recipe.told), erased)
    numbers: Numbers = {**drawn.numbers}
    if "revived" not in cell.recipe:
        numbers["verdict"] = verdict(weights)
    outcomes = {**drawn.outcomes}
    if concept.retained and cell.settings["retained"]:
        outcomes["retained"], told = quality(bench, cell, concept, weights)
        numbers |= told
    return Found(outcomes, numbers)


def quality(
    bench: Bench, cell: Cell, concept: Concept, weights: Weights
) -> tuple[tuple[bool, ...], Numbers]:
    """Which pictures of other concepts are right; their features, or their distance."""
    seen = of_others(bench, cell, concept, weights)
    if bench.preset == "pocket":
        told: Numbers = {"features": packed(seen.features)}
        if cell.recipe == ORIGINAL:
            told["reference"] = packed(seen.reference)
        return seen.right, told
    found = kept_distances(bench.lab, seen.features, seen.reference)
    return seen.right, {"fid": found.value, "fid_without": [*found.without]}


def summary(results: Sequence[Result]) -> dict[str, JsonValue]:
    """Per recipe FID of the other concepts' pictures, and its differences from two models."""
    rows = {name: found for name, found in _distances(results).items() if found is not None}
    out: dict[str, JsonValue] = {}
    for name, mine in rows.items():
        told: Numbers = {"fid": mine.value}
        for base in (ORIGINAL, PRUNED):
            value, interval = difference(mine, rows[base])
            told[f"fid_minus_{base}"] = {"value": value, "interval": interval and [*interval]}
        out[name] = told
    return {"rows": out}


def _distances(results: Sequence[Result]) -> dict[str, Distances | None]:
    """Recipe → the distance of its pictures; None of fewer than two."""
    by_row: dict[str, list[Result]] = {}
    for result in results:
        if result.numbers.keys() & {"features", "fid"}:
            by_row.setdefault(result.cell.recipe, []).append(result)
    return {name: _distance(row, by_row[ORIGINAL]) for name, row in by_row.items()}


def _distance(row: Sequence[Result], original: Sequence[Result]) -> Distances | None:
    if "fid" in row[0].numbers:
        return mean_distance([_back(r) for r in row])
    mine = together([_values(r, "features") for r in row])
    reference = together([_values(r, "reference") for r in original])
    return distances(mine, reference) if len(mine) > 1 else None


def together(each: Sequence[Values]) -> Values:
    """Concepts' features in turn: with twelve concepts, the group left out of FID is a concept."""
    return torch.stack([*each], 1).flatten(0, 1)


def _values(result: Result, key: str) -> Values:
    told = result.numbers[key]
    assert isinstance(told, dict)  # as `quality` packed them
    return unpacked(told)


def _back(result: Result) -> Distances:
    without = result.numbers["fid_without"]
    each = without if isinstance(without, list) else []
    return Distances(float(str(result.numbers["fid"])), tuple(float(str(x)) for x in each))


def verdict(weights: Weights) -> list[JsonValue]:
    """What `audit` says of the candidate layers alone, every one tested, stored as a checkpoint
    would be: in the precision of their values.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidates.safetensors"
        tensors = {f"{n}.weight": w.detach().cpu().contiguous() for n, w in weights.items()}
        save_file({n: w.to(precision(w)) for n, w in tensors.items()}, file)
        return [*audit(file, deep=True).verdict]


def surface(erased: Erased, profile: Profile) -> dict[str, JsonValue]:
    """p(w) as a function of w and σ_M, in units of σ_U: the formula, and a count on the weights."""
    rows: list[JsonValue] = []
    alpha = erased.masks.fraction
    for sigma in profile.sigmas:
        weights = hidden(erased, sigma, relative=True)
        sizes, places = [], []
        for name, mask in erased.masks.items():
            scale = erased.original[name][~mask].float().std(correction=0)
            sizes.append((weights[name].float().abs() / scale).flatten().cpu())
            places.append(mask.flatten().cpu())
        size, place = torch.cat(sizes), torch.cat(places)
        counted = [_share(place[size <= width]) for width in WIDTHS]
        formula = modified_probability(torch.tensor(WIDTHS), alpha, sigma, 1.0)
        told: dict[str, JsonValue] = {
            "sigma": sigma,
            "formula": [round(float(p), 6) for p in formula],
            "counted": [*counted],
        }
        rows.append(told)
    return {"pruned_fraction": alpha, "widths": [*WIDTHS], "surface": rows}


def _share(filled: torch.Tensor) -> float | None:
    """The share of filled-in places; None of no entries."""
    return round(float(filled.double().mean()), 6) if len(filled) else None


EXPERIMENT = Experiment(cells, measure, summary, ready=ready)
