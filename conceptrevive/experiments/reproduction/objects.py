"""Tables 1, 3, 8 to 10: every object under every magnitude rule at every K, and Quant Recover."""

from __future__ import annotations

from functools import partial

import torch

from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.profiles import Profile
from conceptrevive.experiments.reproduction.recipes import BASIS, Erased, Recipe
from conceptrevive.models.weights import Weights
from conceptrevive.revival.attack import revive_layer
from conceptrevive.revival.defaults import Magnitude
from conceptrevive.revival.quantisation import quantise

RULES: tuple[Magnitude, ...] = ("sample", "average", "max")


def revived(erased: Erased, magnitude: Magnitude, top_k: float) -> Weights:
    """Pruned weights with the surest signs at a magnitude."""
    generator = torch.Generator().manual_seed(erased.seed)
    return {
        name: revive_layer(completion, top_k, magnitude, generator)
        for name, completion in erased.completed.items()
    }


def quantised(erased: Erased, bits: int) -> Weights:
    """Quant Recover: it knows of no mask, and cannot move a zero."""
    return quantise(erased.pruned, bits)


def recipes(profile: Profile) -> dict[str, Recipe]:
    """Every row of the tables."""
    out = dict(BASIS)
    for bits in profile.bits:
        out[f"quantised {bits} bits"] = Recipe(partial(quantised, bits=bits), {"bits": bits})
    for rule in RULES:
        for k in profile.top_k:
            make = partial(revived, magnitude=rule, top_k=k)
            out[f"neuron {rule} {k:g}"] = Recipe(make, {"magnitude": rule, "top_k": k})
    make = partial(revived, magnitude="expected", top_k=1.0)
    return out | {"completed": Recipe(make, {"magnitude": "expected", "top_k": 1.0})}


def cells(bench: Bench) -> list[Cell]:
    """Every concept under every rule."""
    return bench.rows("objects", recipes(bench.profile))


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures of one rule."""
    return bench.draw(cell, recipes(bench.profile)[cell.recipe])


EXPERIMENT = Experiment(cells, measure)
