"""How stable erasing and revival are: locating seeds, phrasings, denoising steps and guidance.

Nobody reports it. Masks of other seeds are compared by their Jaccard index, and the variance of the
pruned and the revived model's rates is shared out among what was changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import mean

from pydantic import JsonValue

from conceptrevive.concepts import world as W
from conceptrevive.concepts.concept import Concept
from conceptrevive.concepts.paper import IMAGENET_OBJECTS
from conceptrevive.concepts.presets import get_concept
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.reproduction.bench import Bench, Experiment
from conceptrevive.experiments.reproduction.recipes import BASIS, ORIGINAL, PRUNED, Recipe
from conceptrevive.revival.attack import revive_layer
from conceptrevive.unlearning.masks import MaskSet

#: The row that compares masks.
MASKS = "masks"
REVIVED = "revived"
RECIPES = BASIS | {REVIVED: Recipe(lambda e: {n: revive_layer(c) for n, c in e.completed.items()})}
#: What is changed in a cell: the three factors together, the steps, or the guidance.
FACTORS, STEPS, GUIDANCE = "factors", "steps", "guidance"
#: The factors that the variance is shared out among.
NAMES = {
    FACTORS: ("concept", "locating_seed", "phrasing"),
    STEPS: ("concept", "steps"),
    GUIDANCE: ("concept", "guidance"),
}
#: How full-size models are asked; the first is the paper's own.
PHRASES = (
    "an image of a {}",
    "a photo of a {}",
    "a picture of a {}",
    "a close-up of a {}",
    "a {} in the sun",
)


def phrasings(concept: Concept, preset: str, most: int) -> dict[str, tuple[str, ...]]:
    """Phrasing → the prompts it gives, at most `most` of them.

    The pocket model's objects are asked for in every scene; a concept of the user's own, whatever
    its name, in the prompts it has.
    """
    found: dict[str, tuple[str, ...]]
    objects = W.OBJECTS if preset == "pocket" else IMAGENET_OBJECTS
    own = get_concept(concept.name, preset) if concept.name in objects else None
    if own is None or concept != replace(own, settings=concept.settings):
        found = {p: (p,) for p in concept.eval_prompts or concept.target_prompts}
    elif preset == "pocket":
        turns = len(W.EVALUATION_PHRASES)
        found = {p: concept.eval_prompts[i::turns] for i, p in enumerate(W.EVALUATION_PHRASES)}
    else:
        found = {phrase: (phrase.format(concept.name),) for phrase in PHRASES}
    return dict(list(found.items())[:most])


def cells(bench: Bench) -> list[Cell]:
    """Every concept: its masks compared, located by every seed, asked in every phrasing; then
    drawn in other steps and under other guidance.
    """
    out = []
    for name in bench.concepts:
        out.append(_cell(bench, name, MASKS, MASKS, n=0, seeds=[*seeds(bench)]))
        out += _factors(bench, name)
        out += _ways(bench, name)
    return out


def seeds(bench: Bench) -> range:
    """The locating seeds, from the bench's own on."""
    return range(bench.seed, bench.seed + bench.profile.locating_seeds)


def _cell(
    bench: Bench,
    concept: str,
    recipe: str,
    changed: str,
    n: int | None = None,
    **settings: JsonValue,
) -> Cell:
    return bench.cell("stability", concept, recipe, n, retained=0, changed=changed, **settings)


def _factors(bench: Bench, name: str) -> list[Cell]:
    """Pruned and revived by every locating seed, in every phrasing, on the same noise."""
    said = phrasings(bench.concept(name), bench.preset, bench.profile.phrasings)
    return [
        _cell(
            bench,
            name,
            recipe,
            FACTORS,
            n=bench.profile.asked,
            locating_seed=seed,
            phrasing=phrase,
            never_trained=phrase in W.HELD_OUT_PHRASES,
            prompts=[*prompts],
        )
        for seed in seeds(bench)
        for recipe in (PRUNED, REVIVED)
        for phrase, prompts in said.items()
    ]


def _ways(bench: Bench, name: str) -> list[Cell]:
    """Original, pruned and revived, drawn in its own and other steps and guidance."""
    s = bench.concept(name).settings
    scales = (1.0, *bench.profile.scales)
    ways: dict[str, list[float]] = {
        # Fewer steps than were looked at to locate are none of the concept's settings.
        STEPS: [max(s.tau, round(s.steps * scale)) for scale in scales],
        GUIDANCE: [s.guidance * scale for scale in scales],
    }
    return [
        _cell(bench, name, recipe, changed, None, **{changed: level})
        for changed, levels in ways.items()
        for level in dict.fromkeys(levels)
        for recipe in (ORIGINAL, PRUNED, REVIVED)
    ]


def measure(bench: Bench, cell: Cell) -> Found:
    """Pictures of one cell, or the masks of all seeds compared."""
    if cell.recipe == MASKS:
        return Found(numbers=compare(bench, cell))
    return bench.draw(cell, RECIPES[cell.recipe])


def compare(bench: Bench, cell: Cell) -> dict[str, JsonValue]:
    """The Jaccard index of every two seeds' masks."""
    masks = [bench.masks(cell.concept, seed) for seed in seeds(bench)]
    found = [jaccard(a, b) for a, b in combinations(masks, 2)]
    return {
        "pruned_fraction": mean(m.fraction for m in masks),
        "jaccard": [*found],
        "jaccard_mean": mean(found) if found else None,
    }


def jaccard(one: MaskSet, other: MaskSet) -> float:
    """Entries pruned in both, as a share of those pruned in either; 1 of empty masks."""
    either = (one | other).count
    return (one & other).count / either if either else 1.0


def explained(
    rates: Mapping[tuple[str, ...], float], n: int, names: Sequence[str]
) -> dict[str, JsonValue]:
    """The shares of the variance of `rates` that each factor explains by itself (η²).

    Args:
        rates: levels of the factors → rate; every combination once. n: pictures a rate.
        names: of the factors.

    Returns: a share per factor; "sampling" is the binomial variance of rates of `n` pictures;
    "rest" is what the factors leave, interactions and sampling. None where nothing varies.
    """
    values = list(rates.values())
    centre = mean(values)
    total = sum((v - centre) ** 2 for v in values)
    if not total:
        return dict.fromkeys([*names, "rest", "sampling"])
    out: dict[str, JsonValue] = {}
    rest = 1.0
    for i, factor in enumerate(names):
        groups: dict[str, list[float]] = {}
        for levels, value in rates.items():
            groups.setdefault(levels[i], []).append(value)
        between = sum(len(g) * (mean(g) - centre) ** 2 for g in groups.values())
        out[factor] = between / total
        rest -= between / total
    noise = sum(v * (1 - v) / max(1, n - 1) for v in values)
    return {**out, "rest": rest, "sampling": noise / total}


def summary(results: Sequence[Result]) -> dict[str, JsonValue]:
    """How much of the variance each factor explains, of the pruned and of the revived."""
    out: dict[str, JsonValue] = {}
    for changed, names in NAMES.items():
        here: dict[str, JsonValue] = {}
        for recipe in (PRUNED, REVIVED):
            mine = [r for r in results if (r.cell.recipe, _changed(r)) == (recipe, changed)]
            rates = {_levels(r.cell, names): r.rate("erased").value for r in mine}
            # Concepts of the user's own have phrasings of their own, which do not cross.
            if mine and len(rates) == math.prod(len(set(x)) for x in zip(*rates, strict=True)):
                here[recipe] = explained(rates, mine[0].cell.n, names)
        out[changed] = here
    return {"explained": out}


def _changed(result: Result) -> str:
    return str(result.cell.settings["changed"])


def _levels(cell: Cell, names: Sequence[str]) -> tuple[str, ...]:
    """The levels of the factors in a cell, in the order of `names`."""
    told = {**cell.settings, "concept": cell.concept}
    return tuple(str(told[name]) for name in names)


EXPERIMENT = Experiment(cells, measure, summary, pooled=False)
