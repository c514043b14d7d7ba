"""Figs. 6, 7 and Table 12: noise of every size in the pruned places, and what attacks make of it.

Forgetting, what is retained, whether an audit sees the noise, and revival by an attacker who
guesses the places (per row, or over all layers) or knows them.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import torch
from pydantic import JsonValue
from safetensors.torch import save_file

from conceptrevive.auditing.verdict import audit
from conceptrevive.defence.obfuscation import modified_probability, obfuscate
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.experiments.reproduction.recipes import BASIS, Erased, Recipe
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


def cells(bench: Bench) -> list[Cell]:
    """Every concept under every size of noise and attack, and its p(w)."""
    return [
        cell
        for concept in bench.concepts
        for cell in (
            *(bench.cell("defence", concept, r) for r in recipes(bench.profile)),
            bench.cell("defence", concept, SURFACE, n=0, retained=0),
        )
    ]


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures and, of what is given away, the audit's verdict; or p(w)."""
    erased = bench.erased_of(cell)
    if cell.recipe == SURFACE:
        return Found(numbers=surface(erased, bench.profile))
    recipe = recipes(bench.profile)[cell.recipe]
    drawn = bench.draw(cell, recipe)
    if "revived" in cell.recipe:
        return drawn
    return Found(drawn.outcomes, {**drawn.numbers, "verdict": verdict(recipe.make(erased))})


def verdict(weights: Weights) -> list[JsonValue]:
    """What `audit` says of the candidate layers alone, every one tested."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidates.safetensors"
        tensors = {f"{n}.weight": w.detach().cpu().contiguous() for n, w in weights.items()}
        save_file(tensors, file)
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


EXPERIMENT = Experiment(cells, measure)
