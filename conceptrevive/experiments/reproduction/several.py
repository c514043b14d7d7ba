"""Several concepts pruned together: what is left of each, and of each when one is revived."""

from __future__ import annotations

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.recipes import BASIS, Erased, Recipe
from conceptrevive.models.weights import Weights
from conceptrevive.revival.attack import revive_layer


def all_revived(erased: Erased) -> Weights:
    """The attack at every pruned position."""
    return {name: revive_layer(c) for name, c in erased.completed.items()}


def one_revived(erased: Erased) -> Weights:
    """The attack at the first concept's positions alone; the others stay 0.

    All zeros are missing to the completion; those that are not the first concept's are set back.
    """
    whole, mine = all_revived(erased), erased.each[0]
    return {
        name: weight.masked_fill(erased.masks[name] & ~mine[name], 0)
        for name, weight in whole.items()
    }


RECIPES = BASIS | {"all revived": Recipe(all_revived), "first revived": Recipe(one_revived)}


def cells(bench: Bench) -> list[Cell]:
    """Every set of concepts, each looked at by itself.

    Raises ConceptReviveError where there are fewer concepts than the smallest set has.
    """
    found = sets(bench)
    if not found:
        raise ConceptReviveError(
            f"several concepts are pruned together and there is only {', '.join(bench.concepts)}: "
            f"name {min(bench.profile.together)} or more"
        )
    return [
        bench.cell("several", member, recipe, retained=None if i == 0 else 0, together=[*members])
        for members in found
        for recipe in RECIPES
        for i, member in enumerate(members)
    ]


def sets(bench: Bench) -> list[tuple[str, ...]]:
    """The first concepts, two, four and six of them, as far as there are so many."""
    return [bench.concepts[:size] for size in bench.profile.together if size <= len(bench.concepts)]


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures of one concept of a set."""
    return bench.draw(cell, RECIPES[cell.recipe])


EXPERIMENT = Experiment(cells, measure, pooled=False)
