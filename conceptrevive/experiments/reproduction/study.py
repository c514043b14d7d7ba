"""An experiment as published: every cell with its intervals and how it came about; typed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, JsonValue

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.experiments.cells import Result, read_json
from conceptrevive.experiments.reproduction.bench import Bench
from conceptrevive.experiments.reproduction.recipes import ORIGINAL, PRUNED
from conceptrevive.experiments.table import Difference
from conceptrevive.intervals import Rate, paired_difference

STRICT = ConfigDict(extra="forbid", strict=True)
#: Of the numbers of a cell, what is not published: pictures are on the contact sheet, what their
#: features say is in the summary.
LEFT_OUT = ("pictures", "features", "reference")


@dataclass(frozen=True)
class Entry:
    """One published cell.

    Attributes:
        concept, recipe, n, seed, settings: of the cell.
        rates: top-1 of the pictures of the concept ("erased") and of the others ("retained"), or
            pictures with a detection ("detected"), with Wilson intervals; of styles also the share
            of pictures further from their prompts than the original's ("clip_score").
        minus_pruned: paired differences from the pruned model's, on the same prompts and seeds.
        numbers: everything else that was measured. seconds: how long it took.
        made: command, versions, device, threads and date.
        outcomes: by kind as in `rates` one digit a picture, 1 where it shows what was asked for, in
            the order of prompts and seeds: any two cells of the same pictures can be paired.
    """

    __pydantic_config__ = STRICT

    concept: str
    recipe: str
    n: int
    seed: int
    settings: Mapping[str, JsonValue]
    rates: Mapping[str, Rate]
    minus_pruned: Mapping[str, Difference]
    numbers: Mapping[str, JsonValue]
    seconds: float
    made: Mapping[str, JsonValue]
    outcomes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pooled:
    """One recipe over all concepts.

    Attributes:
        concepts: how many. rates: mean top-1. minus_pruned: paired differences; a retained picture
        that several concepts share counts as one draw.
    """

    __pydantic_config__ = STRICT

    concepts: int
    rates: Mapping[str, float]
    minus_pruned: Mapping[str, Difference]


@dataclass(frozen=True)
class Study:
    """One experiment as published.

    Attributes:
        experiment: its name. shows: what, and where the paper does. profile: how much was measured.
        model, preset, sampling: the model, its table of concepts, how it draws.
        entries: the cells. pooled: recipe → the concepts taken together, where that makes sense.
        summary: what is said of all cells together. intervals: how many intervals of 95 % the
            entries hold, of which one in twenty misses by chance.
        seed, command, versions, device, threads, date: of the run that published it.
        judge: of objects, where not each concept's own.
    """

    __pydantic_config__ = STRICT

    experiment: str
    shows: str
    profile: str
    model: str
    preset: str
    sampling: str
    entries: tuple[Entry, ...]
    pooled: Mapping[str, Pooled]
    summary: Mapping[str, JsonValue]
    intervals: int
    seed: int
    command: str
    versions: Mapping[str, str]
    device: str
    threads: int
    date: str
    judge: str | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Study:
        """From a published file. Raises ConceptReviveError naming the file and what it lacks."""
        return read_json(path, cls)

    def entry(self, concept: str, recipe: str) -> Entry:
        """The first cell of a concept and a recipe."""
        for each in self.entries:
            if (each.concept, each.recipe) == (concept, recipe):
                return each
        raise ConceptReviveError(f"{self.experiment} has no cell of {concept!r} and {recipe!r}")


def entries(results: Sequence[Result]) -> tuple[Entry, ...]:
    """The published form of results, each paired with the pruned model's of the same settings."""
    pruned = _pruned(results)
    return tuple(_entry(r, pruned.get(_condition(r))) for r in results)


def _pruned(results: Sequence[Result]) -> dict[str, Result]:
    """What others are paired with, by condition: "pruned", or "LOCATOR pruned"."""
    return {_condition(r): r for r in results if _is_pruned(r)}


def _is_pruned(result: Result) -> bool:
    recipe = result.cell.recipe
    return recipe == PRUNED or recipe.endswith(f" {PRUNED}")


def _entry(result: Result, pruned: Result | None) -> Entry:
    cell = result.cell
    gains = {}
    if pruned is not None:
        for kind in result.outcomes:
            gains[kind] = gain(result, pruned, kind)
    return Entry(
        cell.concept,
        cell.recipe,
        cell.n,
        cell.seed,
        cell.settings,
        {kind: result.rate(kind) for kind in result.outcomes},
        gains,
        {k: v for k, v in result.numbers.items() if k not in LEFT_OUT},
        result.seconds,
        result.made,
        {kind: "".join(str(int(x)) for x in right) for kind, right in result.outcomes.items()},
    )


def gain(result: Result, pruned: Result, kind: str) -> Difference:
    """Paired difference of one result from the pruned model's; exactly 0 of the very same model."""
    if result.numbers["weights"] == pruned.numbers["weights"]:
        return 0.0, (0.0, 0.0)
    return paired_difference(result.outcomes[kind], pruned.outcomes[kind])


def _condition(result: Result) -> str:
    """All but the recipe that pictures depend on: equal where they can be paired."""
    cell = result.cell
    return json.dumps([cell.concept, cell.n, cell.seed, cell.settings], sort_keys=True)


def pooled(results: Sequence[Result], bench: Bench) -> dict[str, Pooled]:
    """Every recipe with pictures over all concepts.

    The intervals are those of the pictures, for these very concepts; they say nothing about others.
    """
    by_row = {(r.cell.recipe, r.cell.concept): r for r in results if r.outcomes}
    pruned = _pruned(results)
    out = {}
    for recipe in dict.fromkeys(recipe for recipe, _ in by_row):
        mine = [r for (name, _), r in by_row.items() if name == recipe]
        rates, gains = {}, {}
        for kind in mine[0].outcomes:
            right = [x for r in mine for x in r.outcomes[kind]]
            rates[kind] = Rate.of(right).value
            if recipe != ORIGINAL and not _is_pruned(mine[0]):
                base = [pruned[_condition(r)] for r in mine]
                before = [x for r in base for x in r.outcomes[kind]]
                shared = None
                if kind == "retained":
                    shared = [p for r in mine for p in _shown(r, bench)]
                gains[kind] = paired_difference(right, before, clusters=shared)
        out[recipe] = Pooled(len(mine), rates, gains)
    return out


def _shown(result: Result, bench: Bench) -> list[tuple[str, int]]:
    """Prompt and noise of each retained picture of a cell."""
    cell = result.cell
    return retained_pictures(bench.asked(cell), len(result.outcomes["retained"]), cell.seed)


def as_published(
    results: Sequence[Result], bench: Bench, said: Mapping[str, Any], is_pooled: bool
) -> dict[str, Any]:
    """A study's fields, but for what `runner.publish` adds.

    Args:
        said: experiment, shows, model and summary.
    """
    found = entries(results)
    together = pooled(results, bench) if is_pooled else {}
    return {
        **said,
        "profile": bench.profile.name,
        "preset": bench.preset,
        "sampling": bench.lab.sampling,
        "intervals": sum(len(e.rates) + len(e.minus_pruned) for e in found),
        "pooled": {name: dataclasses.asdict(each) for name, each in together.items()},
        "entries": [dataclasses.asdict(e) for e in found],
    }
