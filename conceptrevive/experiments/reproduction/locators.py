"""Tables 4 and 11: other ways of locating weights, and the attack on what each of them zeroes.

ConceptPrune is the reference; SalUn and Scissorhands look in every linear layer, and once in the
convolutions too (norms and biases, of one axis, are left out: the attack completes matrices);
Forget-It-All where ConceptPrune does. Controls zero as many weights as SalUn: anywhere, the
largest, or anywhere in the same layers. SalUn and Scissorhands are erasers of their own too, which
train and leave no zeros: an attacker who knows what they located can zero it, in the original (rows
"SalUn pruned" and "Scissorhands pruned") or in what they trained ("… full, pruned").
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import JsonValue

from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.locating import densities
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.erasers import Erasers
from conceptrevive.experiments.reproduction.methods import (
    ALL,
    CONCEPTPRUNE,
    CONTROLS,
    FULL,
    HALF,
    SALUN,
    SCISSORHANDS,
    WHOSE,
    WIDER,
    fewer,
    layers_of,
    share_of,
    steps_of,
)
from conceptrevive.experiments.reproduction.recipes import BASIS, ORIGINAL, PRUNED, Erased, Recipe
from conceptrevive.models.weights import Weights
from conceptrevive.revival.attack import revive_layer
from conceptrevive.revival.signs import sign_accuracy

REVIVED = "revived"
#: Which concepts have the rows.
EVERY, SOME = (CONCEPTPRUNE, SALUN, SCISSORHANDS, ALL), (*WIDER, HALF, *CONTROLS, *FULL)

erasers = lru_cache(maxsize=1)(Erasers)


def revived(erased: Erased) -> Weights:
    """The attack, as released: K = 0.6, neuron max."""
    with warnings.catch_warnings():
        # Half of all weights is many a whole row; `rows_lost` counts them.
        warnings.filterwarnings("ignore", ".* fully pruned rows")
        return {name: revive_layer(c) for name, c in erased.completed.items()}


RECIPES = {PRUNED: BASIS[PRUNED], REVIVED: Recipe(revived)}


def rows(name: str) -> dict[str, Recipe]:
    """A locator's rows: what it leaves, if it trains, and zeroed, and revived."""
    join = ", " if name in FULL or "," in name else " "
    zeroed = {f"{name}{join}{what}": recipe for what, recipe in RECIPES.items()}
    return {name: BASIS[ORIGINAL], **zeroed} if name in FULL else zeroed


def cells(bench: Bench) -> list[Cell]:
    """Every concept under every locator; the first `located` of them under the rest too."""
    out = []
    for i, concept in enumerate(bench.concepts):
        out.append(bench.cell("locators", concept, ORIGINAL))
        for name in (*EVERY, *SOME) if i < bench.profile.located else EVERY:
            told = settings(bench, name, concept)
            out += [bench.cell("locators", concept, row, None, None, **told) for row in rows(name)]
    return out


def settings(bench: Bench, name: str, concept: str) -> dict[str, JsonValue]:
    """What a locator's cells depend on besides their row."""
    if name == CONCEPTPRUNE:
        return {"locator": name}
    told: dict[str, JsonValue] = {
        "locator": name,
        "layers": layers_of(bench.preset, name),
        "budget": share_of(bench.preset, name, concept),
        "skill_ratio": None,
        "tau": None,
    }
    if name == ALL:
        told["tau"] = bench.concept(concept).settings.tau
    if name != ALL:
        told["examples"] = bench.profile.examples
        told |= fewer(bench.profile)
    if name in FULL:
        told["training_steps"] = steps_of(bench.preset, name, bench.profile)
    return told


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures of one row, and where its locator looked."""
    if cell.recipe == ORIGINAL:
        return bench.draw(cell, BASIS[ORIGINAL])
    name, numbers = str(cell.settings["locator"]), {}
    erased, told = start(bench, name, cell.concept)
    recipe = rows(name)[cell.recipe]
    drawn = bench.draw(cell, recipe, erased)
    if recipe is RECIPES[REVIVED] and name not in FULL:
        right, kept = sign_accuracy(erased.original, erased.completed)
        lost = sum(int(mask.all(1).sum()) for mask in erased.masks.values())
        numbers = {"sign_accuracy": right, "sign_accuracy_kept": kept, "rows_lost": lost}
    groups = densities(bench.lab.pipe, erased.masks)
    where: dict[str, JsonValue] = {
        "located": erased.masks.count,
        "share_by_group": {**groups["share"]},
        "density_by_group": {**groups["density"]},
    }
    return Found(drawn.outcomes, {**drawn.numbers, **where, **told, **numbers})


@lru_cache(maxsize=1)
def start(bench: Bench, name: str, concept: str) -> tuple[Erased, Mapping[str, JsonValue]]:
    """What a locator's rows start from, and what is told of it."""
    if name == CONCEPTPRUNE:
        masks = bench.masks(concept, bench.seed)
        return Erased(bench.lab.original, masks, bench.seed), {"zeroed_in": "original"}
    made = erasers(bench)
    if name in FULL:
        weights, told = made.unlearnt(name, concept)
        masks = made.masks(WHOSE[name], concept)
        return Erased(weights, masks, bench.seed), {**told, "zeroed_in": "unlearnt"}
    masks = made.masks(name, concept)
    return Erased({n: made.all[n] for n in masks}, masks, bench.seed), {"zeroed_in": "original"}


def summary(results: Sequence[Result]) -> dict[str, JsonValue]:
    """Means over the concepts that have every row, so that any two rows can be compared."""
    have: dict[str, dict[str, Result]] = {}
    for r in results:
        have.setdefault(r.cell.concept, {})[r.cell.recipe] = r
    most = max(len(mine) for mine in have.values())
    chosen = [concept for concept, mine in have.items() if len(mine) == most]
    means: dict[str, JsonValue] = {}
    for recipe in have[chosen[0]]:
        mine = [have[concept][recipe] for concept in chosen]
        means[recipe] = {
            kind: sum(r.rate(kind).value for r in mine) / len(mine) for kind in mine[0].outcomes
        }
    return {"concepts": [*chosen], "means": means}


EXPERIMENT = Experiment(cells, measure, summary)
