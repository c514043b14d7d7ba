"""Two rows of a published experiment compared: the first minus the second, with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any, Literal

from pydantic import ConfigDict, JsonValue

from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.reproduction.plan import Plan
from conceptrevive.experiments.reproduction.profiles import get_profile
from conceptrevive.experiments.reproduction.study import Entry, Study
from conceptrevive.intervals import paired_difference

#: What is counted: each picture (of these very concepts), each concept, or each turn of a clock.
Draws = Literal["pictures", "concepts", "timings"]
Where = Mapping[str, JsonValue]


@dataclass(frozen=True)
class Contrast:
    """A difference of two rows.

    Attributes:
        after, before: the rows' means. difference: after − before. interval: its 95 % interval.
        p: two-sided, of the same normal or t distribution as the interval, so that p < 0.05 where
            the interval leaves out 0; None of timings, whose interval is the least and the most.
        n: how many draws the interval counts, and `draws` what they are.
        up, down: concepts with a positive and with a negative difference.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    after: float
    before: float
    difference: float
    interval: tuple[float, float]
    p: float | None
    n: int
    draws: Draws
    up: int
    down: int


#: The contrast of a study; None where it lacks what is compared.
Measure = Callable[[Study], Contrast | None]


def pictures(
    after: str, before: str, kind: str = "erased", where: Where = MappingProxyType({})
) -> Measure:
    """Shares of right pictures of two recipes, paired picture by picture over all concepts.

    The interval is that of the pictures, for these very concepts. A picture of others that several
    concepts share counts as one draw.

    Args:
        kind: of outcomes. where: settings of the cells that are meant, among several of a recipe.
    """

    def measure(study: Study) -> Contrast | None:
        one, other = (_outcomes(study, r, kind, where) for r in (after, before))
        names = [name for name in one if name in other]
        if not names:
            return None
        first = [x for name in names for x in one[name]]
        second = [x for name in names for x in other[name]]
        same = all(_weights(study, name, after) == _weights(study, name, before) for name in names)
        shared = _shared(study, names, before) if kind == "retained" else None
        difference, interval = (
            (0.0, (0.0, 0.0)) if same else paired_difference(first, second, clusters=shared)
        )
        each = [fmean(one[name]) - fmean(other[name]) for name in names]
        return Contrast(
            fmean(first),
            fmean(second),
            difference,
            interval,
            p_of(interval),
            len(set(shared)) if shared else len(first),
            "pictures",
            *_directions(each),
        )

    return measure


def values(of: Callable[[Entry], tuple[float, float] | None]) -> Measure:
    """Two numbers of each concept's entry compared; every concept is one draw (Student's t).

    Args:
        of: the two numbers, after and before; None of an entry that has none.
    """

    def measure(study: Study) -> Contrast | None:
        return over_concepts([pair for pair in map(of, study.entries) if pair is not None])

    return measure


def numbers(after: str, before: str, key: str) -> Measure:
    """A number of two recipes, concept by concept; every concept is one draw."""

    def measure(study: Study) -> Contrast | None:
        one, other = (_by_concept(study, recipe, key) for recipe in (after, before))
        return over_concepts([(one[name], other[name]) for name in one if name in other])

    return measure


def _by_concept(study: Study, recipe: str, key: str) -> dict[str, float]:
    """A number of every concept under a recipe; of one with an interval, the number."""
    out = {}
    for e in study.entries:
        found = e.numbers.get(key) if e.recipe == recipe else None
        value = found.get("value") if isinstance(found, dict) else found
        if value is not None:
            out[e.concept] = float(str(value))
    return out


def summarised(after: str, before: str, key: str) -> Measure:
    """A difference that the experiment's own summary has, with the interval it gives there.

    Its p value takes the interval as a normal one.
    """

    def measure(study: Study) -> Contrast | None:
        rows: Any = study.summary.get("rows", {})
        told = rows.get(after, {}).get(f"{key}_minus_{before}")
        if told is None or told["interval"] is None:
            return None
        low, high = map(float, told["interval"])
        mine, base = (_by_concept(study, recipe, key) for recipe in (after, before))
        return Contrast(
            fmean(mine.values()),
            fmean(base.values()),
            float(told["value"]),
            (low, high),
            p_of((low, high)),
            sum(e.n for e in study.entries if e.recipe == after),
            "pictures",
            *_directions([mine[name] - base[name] for name in mine if name in base]),
        )

    return measure


def at_most(step: str, seconds: float) -> Measure:
    """What a step takes, beside a time; the interval is from the least to the most of its turns."""

    def measure(study: Study) -> Contrast | None:
        mine = [e for e in study.entries if e.recipe == step]
        if not mine:
            return None
        took = float(str(mine[0].numbers["step_seconds"]))
        turns: Any = mine[0].numbers["step_seconds_range"]
        low, high = (float(turn) - seconds for turn in turns)
        n = int(str(mine[0].settings["repeats"]))
        each = _directions([took - seconds])
        return Contrast(took, seconds, took - seconds, (low, high), None, n, "timings", *each)

    return measure


def over_concepts(pairs: Sequence[tuple[float, float]]) -> Contrast | None:
    """The mean difference with Student's interval; None of fewer than two pairs."""
    if len(pairs) < 2:
        return None
    from scipy.stats import ttest_1samp

    each = [a - b for a, b in pairs]
    if len(set(each)) == 1:  # no spread: SciPy has no answer
        interval, p = (each[0], each[0]), float(each[0] == 0)
    else:
        found = ttest_1samp(each, 0)
        low, high = found.confidence_interval(0.95)
        interval, p = (float(low), float(high)), float(found.pvalue)
    return Contrast(
        fmean(a for a, _ in pairs),
        fmean(b for _, b in pairs),
        fmean(each),
        interval,
        p,
        len(each),
        "concepts",
        *_directions(each),
    )


def p_of(interval: tuple[float, float]) -> float:
    """The two-sided p value of a normal 95 % interval: 1 of one that is 0 alone."""
    from scipy.special import ndtr, ndtri

    low, high = interval
    if low == high:
        return float(low == 0)
    z = (low + high) / (high - low) * float(ndtri(0.975))
    return float(2 * ndtr(-abs(z)))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p values (1979): below 0.05 with a family-wise error of at most 5 %."""
    out: dict[str, float] = {}
    largest = 0.0
    for i, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - i) * p[name]))
        out[name] = largest
    return {name: out[name] for name in p}


def _outcomes(study: Study, recipe: str, kind: str, where: Where) -> dict[str, list[bool]]:
    return {
        e.concept: [digit == "1" for digit in e.outcomes[kind]]
        for e in study.entries
        if e.recipe == recipe and e.outcomes.get(kind) and where.items() <= dict(e.settings).items()
    }


def _weights(study: Study, concept: str, recipe: str) -> object:
    """The digest of a row's weights; one of its own where none is told."""
    return study.entry(concept, recipe).numbers.get("weights", recipe)


def _shared(study: Study, names: Sequence[str], recipe: str) -> list[Hashable]:
    """Prompt and noise of each retained picture, so that shared ones can be told."""
    plan = Plan(get_profile(study.profile), "pocket" if study.preset == "pocket" else "paper")
    out: list[Hashable] = []
    for name in names:
        e = study.entry(name, recipe)
        asked = plan.asked(Cell(study.experiment, name, recipe, e.n, e.seed, e.settings))
        out += retained_pictures(asked, len(e.outcomes["retained"]), e.seed)
    return out


def _directions(each: Sequence[float]) -> tuple[int, int]:
    near = [0 if math.isclose(x, 0, abs_tol=1e-12) else x for x in each]
    return sum(x > 0 for x in near), sum(x < 0 for x in near)
