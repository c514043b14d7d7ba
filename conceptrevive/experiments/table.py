"""The phenomenon's table, typed: a row a concept, and the paper's objects together."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from conceptrevive.concepts import world as W
from conceptrevive.concepts.presets import get_concept
from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.outcomes import retained_pictures
from conceptrevive.experiments.cells import Result
from conceptrevive.intervals import Rate, paired_difference

#: A difference of rates and its 95 % interval.
Difference = tuple[float, tuple[float, float]]
BASE, GAIN, INTERVAL, OTHERS = "pruned", "_minus_pruned", "_interval", "retained_"


@dataclass(frozen=True)
class Row:
    """What was measured of one concept.

    Attributes:
        numbers: sign accuracies and shares of pruned weights. rates: top-1 by row of the table;
        those of the other
            concepts begin with "retained_". gains: paired differences of rates from the pruned
            model's.
    """

    numbers: Mapping[str, float]
    rates: Mapping[str, Rate]
    gains: Mapping[str, Difference]

    @classmethod
    def of(cls, results: Sequence[Result]) -> Row:
        """From the results of one concept, one for each recipe."""
        numbers: dict[str, Any] = {}
        right: dict[str, tuple[bool, ...]] = {}
        for kind, prefix in (("erased", ""), ("retained", OTHERS)):
            right |= {
                prefix + r.cell.recipe: r.outcomes[kind] for r in results if kind in r.outcomes
            }
        for r in results:
            numbers |= r.numbers
        rates = {name: Rate.of(each) for name, each in right.items()}
        return cls({n: numbers[n] for n in sorted(numbers, key=_order)}, rates, gains(right))

    def value(self, name: str) -> float:
        """A number or a rate by its name."""
        return self.rates[name].value if name in self.rates else float(self.numbers[name])

    def as_dict(self) -> dict[str, Any]:
        """As it is published: one level, every rate with its interval and its gain."""
        out: dict[str, Any] = dict(self.numbers)
        for name, rate in self.rates.items():
            out |= {name: rate.value, name + INTERVAL: rate.interval}
            if not name.startswith(OTHERS) and name in self.gains:
                out[name + GAIN] = self.gains[name]
        return out | {n + GAIN: g for n, g in self.gains.items() if n.startswith(OTHERS)}

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any], n: int, retained: int) -> Row:
        """The row that `as_dict` made `flat` of."""
        names = [k.removesuffix(INTERVAL) for k in flat if k.endswith(INTERVAL)]
        rates = {
            k: Rate(flat[k], _pair(flat[k + INTERVAL]), retained if k.startswith(OTHERS) else n)
            for k in names
        }
        found = {k.removesuffix(GAIN): _difference(flat[k]) for k in flat if k.endswith(GAIN)}
        rest = {
            k: v for k, v in flat.items() if k not in rates and not k.endswith((INTERVAL, GAIN))
        }
        return cls(rest, rates, found)


@dataclass(frozen=True)
class Pooled:
    """The paper's objects taken together.

    Attributes:
        concepts: how many. rates: mean top-1 by row of the table. gains: as in `Row`.
    """

    concepts: int
    rates: Mapping[str, float]
    gains: Mapping[str, Difference]

    def as_dict(self) -> dict[str, Any]:
        """As it is published: one level."""
        out: dict[str, Any] = {"concepts": self.concepts}
        for name, rate in self.rates.items():
            out |= {name: rate} | ({name + GAIN: self.gains[name]} if name in self.gains else {})
        return out

    @classmethod
    def from_dict(cls, flat: Mapping[str, Any]) -> Pooled:
        """What `as_dict` made `flat` of."""
        found = {k.removesuffix(GAIN): _difference(flat[k]) for k in flat if k.endswith(GAIN)}
        rates = {k: v for k, v in flat.items() if k != "concepts" and not k.endswith(GAIN)}
        return cls(flat["concepts"], rates, found)


@dataclass(frozen=True)
class Layer:
    """Singular values of a layer, largest first, and its effective rank."""

    effective_rank: float
    singular_values: tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """The phenomenon's table as published.

    Attributes:
        n, retained_n: pictures a cell, of the concept and of the others. settings: those of
        `locate` and of drawing. concepts: its rows. objects: the paper's objects together. layers:
        of the original. told: everything else in the file: seed, versions, command, training, …
    """

    n: int
    retained_n: int
    settings: Mapping[str, float]
    concepts: Mapping[str, Row]
    objects: Pooled
    layers: Mapping[str, Layer]
    told: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Table:
        """From a published file. Raises ConceptReviveError naming the file and what it lacks."""
        try:
            data = json.loads(Path(path).read_bytes())
            if not isinstance(data, dict):
                raise TypeError(f"a {type(data).__name__}")
            n, retained = int(data.pop("n")), int(data.pop("retained_n"))
            layers = {
                name: Layer(each["effective_rank"], tuple(each["singular_values"]))
                for name, each in data.pop("layers").items()
            }
            rows = {
                name: Row.from_dict(flat, n, retained)
                for name, flat in data.pop("concepts").items()
            }
            objects = Pooled.from_dict(data.pop("objects"))
            return cls(n, retained, data.pop("settings"), rows, objects, layers, data)
        except OSError as e:
            raise ConceptReviveError(f"cannot read {path} ({e.strerror}): measure it first") from e
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            reason = f"no {e}" if isinstance(e, KeyError) else e
            raise ConceptReviveError(
                f"{path} is no table of the phenomenon ({reason}): measure it again"
            ) from e

    def as_dict(self) -> dict[str, Any]:
        """As it is published."""
        return {
            "n": self.n,
            "retained_n": self.retained_n,
            "settings": dict(self.settings),
            **self.told,
            "objects": self.objects.as_dict(),
            "concepts": {name: row.as_dict() for name, row in self.concepts.items()},
            "layers": {name: asdict(layer) for name, layer in self.layers.items()},
        }


def gains(right: Mapping[str, Sequence[bool]]) -> dict[str, Difference]:
    """Paired differences from the pruned model, of every row but it and the original."""
    out = {}
    for name, each in right.items():
        prefix = OTHERS if name.startswith(OTHERS) else ""
        if name.removeprefix(prefix) not in ("original", BASE):
            out[name] = paired_difference(each, right[prefix + BASE])
    return out


def pooled(results: Sequence[Result], seed: int = 0) -> Pooled:
    """The paper's objects among `results`: mean top-1, and paired differences from the pruned.

    The intervals are those of the pictures, for these very concepts; they say nothing about other
    concepts. A retained picture that several concepts share counts as one draw.
    """
    mine = [r for r in results if r.cell.concept in W.PAPER_OBJECTS]
    names = [o for o in W.PAPER_OBJECTS if o in {r.cell.concept for r in mine}]
    by_row = {(r.cell.concept, r.cell.recipe): r.outcomes for r in mine}
    rates: dict[str, float] = {}
    found: dict[str, Difference] = {}
    for kind, prefix in (("erased", ""), ("retained", OTHERS)):
        for recipe in dict.fromkeys(r.cell.recipe for r in mine if kind in r.outcomes):
            right = [x for o in names for x in by_row[o, recipe][kind]]
            rates[prefix + recipe] = Rate.of(right).value
            if recipe not in ("original", BASE):
                before = [x for o in names for x in by_row[o, BASE][kind]]
                shared = None
                if prefix:
                    counts = {o: len(by_row[o, BASE][kind]) for o in names}
                    shared = [
                        x for o in names for x in retained_pictures(get_concept(o), counts[o], seed)
                    ]
                found[prefix + recipe] = paired_difference(right, before, clusters=shared)
    return Pooled(len(names), rates, found)


def representative(concepts: Mapping[str, Row], most: float = 0.2) -> str:
    """The concept a reader should see first: neither the best nor the worst.

    Of the paper's objects erased to top-1 ≤ `most`, the one whose revived top-1 is nearest their
    median (the earlier in `PAPER_OBJECTS` of two as near). Raises ConceptReviveError if none was
    erased so far.
    """
    revived = {
        o: concepts[o].value("revived")
        for o in W.PAPER_OBJECTS
        if o in concepts and concepts[o].value(BASE) <= most
    }
    if not revived:
        raise ConceptReviveError(f"no object was erased to top-1 ≤ {most}: there is none to show")
    middle = median(revived.values())
    # Rounding must not break a tie.
    return min(revived, key=lambda o: round(abs(revived[o] - middle), 9))


def _order(name: str) -> tuple[bool, str]:
    return (not name.startswith("sign_accuracy"), name)


def _pair(both: Sequence[float]) -> tuple[float, float]:
    low, high = both
    return float(low), float(high)


def _difference(flat: Sequence[Any]) -> Difference:
    value, interval = flat
    return float(value), _pair(interval)
