"""Table 7: a concept that must not be drawn, asked for without its name; detections are counted.

On the pocket model the harmless *weapon* stands in: cartoon knives and their like. Three sets of
prompts mirror the paper's: *indirect* prompts never say "weapon", as I2P's; *adversarial* wording
is found by replacing tokens and chosen by what the pruned model draws, after MMA-Diffusion;
*direction* wording is found by an evolution that knows no denoiser, after Ring-A-Bell. Pictures of
neutral prompts tell how often the detector is wrong.

For nudity, on large models, the prompts are the user's own files and NudeNet counts; no prompt is
searched for, and neither prompts nor pictures are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from pydantic import JsonValue

from conceptrevive.concepts.concept import Concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.detection import (
    NUDITY,
    THRESHOLD,
    described,
    detections,
    detector_of,
    is_harmless,
)
from conceptrevive.evaluation.outcomes import evaluation_seed
from conceptrevive.evaluation.vocabulary import names
from conceptrevive.experiments.cells import Cell, Found, Result
from conceptrevive.experiments.laboratory import weights_digest
from conceptrevive.experiments.reproduction.bench import Bench, Experiment, Numbers
from conceptrevive.experiments.reproduction.objects import quantised, revived
from conceptrevive.experiments.reproduction.prompt_sets import (
    ADVERSARIAL,
    DIRECTION,
    INDIRECT,
    REMEDY,
    SETS,
)
from conceptrevive.experiments.reproduction.recipes import BASIS, PRUNED, Recipe
from conceptrevive.experiments.reproduction.wording import budget, found_prompts, look, wording

#: Pictures of prompts that have nothing to do with the concept: what the detector sees there is
#: not there, with the original model.
NEUTRAL = "neutral"
#: The row without pictures: the wording that was found.
SEARCH = "search"
QUANT, REVIVED = "quantised 4 bits", "neuron max 0.6"
RECIPES = BASIS | {
    QUANT: Recipe(partial(quantised, bits=4), {"bits": 4}),
    REVIVED: Recipe(partial(revived, magnitude="max", top_k=0.6), {"magnitude": "max"}),
}
#: The concept where the user names none, by the table meant for the model.
UNSAFE = {"pocket": "weapon", "paper": NUDITY}

#: Pictures of a row on the contact sheet, of a harmless concept.
SHOWN = 6


def cells(bench: Bench) -> list[Cell]:
    """Every prompt set under every recipe, the wording searched for, and neutral prompts.

    Raises ConceptReviveError for nudity without files of prompts.
    """
    return [cell for name in concepts(bench) for cell in _of(bench, name)]


def concepts(bench: Bench) -> tuple[str, ...]:
    """Those that the user names, or the one that must not be drawn."""
    return bench.concepts if bench.named else (UNSAFE[bench.preset],)


def ready(bench: Bench) -> None:
    """Raise ConceptReviveError for a concept that nothing detects, or a detector not installed."""
    for name in concepts(bench):
        detector_of(bench.concept(name), bench.lab.parts.device)


def _of(bench: Bench, name: str) -> list[Cell]:
    concept = bench.concept(name)
    if not is_harmless(concept) and not bench.prompts:
        raise ConceptReviveError(
            f"prompts for {concept.name!r} are neither shipped nor made: {REMEDY}"
        )
    out = []
    for which in (*_sets(bench, concept), NEUTRAL):
        told = _told(bench, which, concept)
        if which in (ADVERSARIAL, DIRECTION) and which not in bench.prompts:
            told |= budget(bench, which)
            out.append(bench.cell("unsafe", name, SEARCH, 0, 0, **told))
        n = _pictures(bench, which)
        out += [bench.cell("unsafe", name, recipe, n, 0, **told) for recipe in RECIPES]
    return out


def _sets(bench: Bench, concept: Concept) -> list[str]:
    """The sets there are prompts for: files, and what can be said or found of a harmless one."""
    if not is_harmless(concept):
        return [*bench.prompts]
    return [s for s in SETS if s in bench.prompts or s != INDIRECT or unnamed(concept)]


def unnamed(concept: Concept) -> tuple[str, ...]:
    """The evaluation's prompts that do not name the concept; its members they may."""
    return tuple(p for p in concept.eval_prompts if not names(p, [concept.name]))


def _told(bench: Bench, which: str, concept: Concept) -> Numbers:
    """What the pictures of a set depend on."""
    told: Numbers = {
        "prompt_set": which,
        "detector": described(concept),
        "shown": SHOWN if is_harmless(concept) else 0,
    }
    if which in bench.prompts:
        told |= {"file": bench.prompts[which].file, "digest": bench.prompts[which].digest}
    return told


def _pictures(bench: Bench, which: str) -> int:
    if which not in bench.prompts:
        return bench.profile.attacked
    there = len(bench.prompts[which].prompts)
    return min(there, bench.profile.listed or there)


def measure(bench: Bench, cell: Cell) -> Found:
    """Detections of one set with the weights of a recipe, or the wording of a set."""
    concept, which = bench.concept(cell.concept), str(cell.settings["prompt_set"])
    erased = bench.erased_of(cell)
    if cell.recipe == SEARCH:
        found = wording(bench, cell.concept, which)
        return Found(numbers={"pruned_fraction": erased.masks.fraction, **found})
    recipe = RECIPES[cell.recipe]
    weights = recipe.make(erased)
    prompts, first = _prompts(bench, concept, cell, which), evaluation_seed(cell.seed)
    jobs = [(prompts[i % len(prompts)], first + i) for i in range(cell.n)]
    scores, shown = look(bench, concept, weights, jobs, int(str(cell.settings["shown"])))
    counts = detections(scores)
    numbers: Numbers = {
        **recipe.told,
        "pruned_fraction": erased.masks.fraction,
        "weights": weights_digest(weights),
        "detections": sum(counts),
        "counts": [*counts],
        "pictures": [*shown],
    }
    return Found({"detected": tuple(count > 0 for count in counts)}, numbers)


def _prompts(bench: Bench, concept: Concept, cell: Cell, which: str) -> Sequence[str]:
    if which in bench.prompts:
        return bench.prompts[which].prompts
    if which == NEUTRAL:
        return [probe.prompt for probe in concept.retained] or concept.base_prompts
    if which == INDIRECT:
        return unnamed(concept)
    return found_prompts(bench, cell.concept, which)


def summary(results: Sequence[Result]) -> dict[str, JsonValue]:
    """Per concept and set the detections of every row, and how often the detector is wrong."""
    out: Numbers = {}
    for name in dict.fromkeys(r.cell.concept for r in results):
        mine = [r for r in results if r.cell.concept == name and r.outcomes]
        sets: Numbers = {}
        for which in dict.fromkeys(str(r.cell.settings["prompt_set"]) for r in mine):
            rows = {r.cell.recipe: r for r in mine if r.cell.settings["prompt_set"] == which}
            sets[which] = {"as": SETS.get(which), **_rows(rows)}
        out[name] = {
            "detector": mine[0].cell.settings["detector"],
            "sets": sets,
            "left_out": [s for s in SETS if s not in sets],
        }
    return {"threshold": THRESHOLD, "concepts": out}


def _rows(rows: Mapping[str, Result]) -> Numbers:
    """Detections by recipe, and, where a picture may hold several, how many more than pruned."""
    out: Numbers = {}
    before = np.asarray(rows[PRUNED].numbers["counts"], int)
    for recipe, row in rows.items():
        after = np.asarray(row.numbers["counts"], int)
        told: Numbers = {"detections": int(after.sum())}
        if max(before.max(), after.max()) > 1:
            told["more_a_picture"] = [*more(after, before)]
        out[recipe] = told
    return {"rows": out}


def more(after: np.ndarray, before: np.ndarray, draws: int = 10_000) -> tuple[float, float, float]:
    """Detections a picture more than before, on the same prompts and noise, with 95 %.

    The interval is the bootstrap's percentiles over pictures (Efron 1979), seeded.
    """
    difference = after - before
    random, n = np.random.default_rng(0), len(difference)
    means = [difference[random.integers(n, size=n)].mean() for _ in range(draws)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(difference.mean()), float(low), float(high)


EXPERIMENT = Experiment(cells, measure, summary, pooled=False, ready=ready)
