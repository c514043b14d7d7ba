"""Fig. 2: is it the signs or the magnitudes that revive? Oracles that know one of them exactly.

They need the original, and are for understanding only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.recipes import BASIS, Erased, Recipe
from conceptrevive.models.weights import Weights
from conceptrevive.revival.magnitude import neuron_magnitude

Matrix = Float[Tensor, "rows columns"]


def exact(erased: Erased, name: str) -> Matrix:
    """What was pruned, and all else."""
    return erased.original[name]


def coins(erased: Erased, name: str) -> Matrix:
    """+1 or −1 for every entry, by a coin."""
    shape = erased.original[name].shape
    thrown = torch.randint(0, 2, shape, generator=_generator(erased, name)) * 2 - 1
    return thrown.to(erased.original[name])


def sampled(erased: Erased, name: str) -> Matrix:
    """Random magnitudes: |N(μ, σ²)| of each row's surviving weights."""
    generator = _generator(erased, name)
    return neuron_magnitude(erased.pruned[name], erased.masks[name], "sample", generator)


def largest(erased: Erased, name: str) -> Matrix:
    """Neuron max: each row's largest surviving magnitude."""
    return neuron_magnitude(erased.pruned[name], erased.masks[name])


def _generator(erased: Erased, name: str) -> torch.Generator:
    """The layers' draws differ, whichever are drawn."""
    return torch.Generator().manual_seed(erased.seed + list(erased.original).index(name))


def of(
    signs: Callable[[Erased, str], Matrix], magnitudes: Callable[[Erased, str], Matrix]
) -> Recipe:
    """Signs of one matrix and magnitudes of another, at the pruned positions."""

    def make(erased: Erased) -> Weights:
        out = dict(erased.pruned)
        for name in erased.masks:
            filled = signs(erased, name).sign() * magnitudes(erased, name).abs()
            out[name] = torch.where(erased.masks[name], filled, erased.pruned[name])
        return out

    return Recipe(make)


RECIPES = BASIS | {
    "exact signs, random magnitudes": of(exact, sampled),
    "random signs, exact magnitudes": of(coins, exact),
    "exact signs, neuron max": of(exact, largest),
    # A check: it is the original, bit for bit.
    "exact signs, exact magnitudes": of(exact, exact),
}


def cells(bench: Bench) -> list[Cell]:
    """Every concept under every oracle."""
    return bench.rows("signs", RECIPES)


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures of one oracle."""
    return bench.draw(cell, RECIPES[cell.recipe])


EXPERIMENT = Experiment(cells, measure)
