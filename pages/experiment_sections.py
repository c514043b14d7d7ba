"""What the book shows of each experiment: tables of its own kind, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from conceptrevive.experiments.reproduction.defence import SURFACE
from conceptrevive.experiments.reproduction.locators import EVERY, rows
from conceptrevive.experiments.reproduction.objects import RULES
from conceptrevive.experiments.reproduction.recipes import ORIGINAL, PRUNED
from conceptrevive.experiments.reproduction.study import Entry, Study
from conceptrevive.models.matrices import GROUPS
from pages import experiment_figures as figures
from pages.experiment_styles import moved
from pages.experiment_tables import (
    by_concept,
    figure,
    fold,
    pooled,
    whole,
)
from pages.tables import difference, table

PAPERS_K = " 0.6"
#: What the paper says that its attack takes on an A100.
PAPERS_MINUTES = 7


def objects(study: Study) -> str:
    """Tables 1, 3, 8 to 10: the paper's rows, K by rule, everything else folded."""
    short = [
        name for name in study.pooled if not name.startswith("neuron ") or name.endswith(PAPERS_K)
    ]
    caption = (
        "Every magnitude rule at every share K of signs kept: top-1 minus the pruned model's, all "
        "concepts together. Bands: paired 95 % intervals over pictures."
    )
    alt = (
        "Two panels of curves against K, one a magnitude rule, with lines for the original and the "
        "pruned model: pictures of the concept, and of others. The numbers are in the table of "
        "every rule and K."
    )
    out = pooled(study, short)
    if len({name.rsplit(" ", 1)[1] for name in study.pooled if name.startswith("neuron ")}) > 1:
        out += figure(figures.rules(study, "results-objects"), caption, alt)
    every = [name for rule in RULES for name in study.pooled if name.startswith(f"neuron {rule} ")]
    return out + fold("Every rule at every K", pooled(study, every)) + by_concept(study)


def defence(study: Study) -> str:
    """Figs. 6 and 7, Table 12."""
    rows = [e for e in study.entries if "verdict" in e.numbers]
    seen = {
        name: [e.numbers["verdict"] for e in rows if e.recipe == name]
        for name in dict.fromkeys(e.recipe for e in rows)
    }
    out = _sizes(study, "erased") + fold(
        "The same of pictures of others", _sizes(study, "retained")
    )
    sizes = {
        float(str(e.numbers["sigma"])): e.recipe for e in rows if e.numbers.get("relative") is True
    }
    sizes = dict(sorted(sizes.items()))
    if len(sizes) > 1:
        caption = (
            "Noise of size σ_M in the pruned places, and the attack on it: top-1 minus that of the "
            "model with zeros. Bands: paired 95 % intervals over pictures."
        )
        alt = (
            "Two panels against σ_M in units of σ_U: noise alone, and attacked at places guessed "
            "in two ways, with lines for zeros and for the attack at known places."
        )
        out += figure(figures.defence(study, sizes, "results-defence"), caption, alt)
    told = [
        [name, *(str(sum(word in v for v in verdicts)) for word in WORDS), str(len(verdicts))]
        for name, verdicts in seen.items()
    ]
    header = ["weights", *(f"*{word}*" for word in WORDS), "of concepts"]
    out += "\nWhat an [audit](audit.md) says of the candidate layers, concept by concept:\n\n"
    out += table(header, told) + _distances(study)
    return out + _surface(study) + by_concept(study)


def _distances(study: Study) -> str:
    """How far the other concepts' pictures have moved, row by row."""
    found: Any = study.summary.get("rows", {})
    if not found:
        return ""
    rows = []
    for name, row in found.items():
        gains = [row[f"fid_minus_{base}"] for base in ("original", "pruned")]
        rows.append([name, f"{row['fid']:.1f}", *(moved(gain, 1) for gain in gains)])
    header = ["weights", "FID", "minus original, 95 %", "minus pruned, 95 %"]
    asked = study.entries[0].settings
    note = (
        f"FID of pictures of other concepts, {asked['retained']} for each concept pruned; "
        f"features: {asked['fid_features']}; from {asked['fid_reference']}. The row *original* is "
        "the floor. Intervals: jackknife"
    )
    note += ", a concept left out in turn." if study.preset == "pocket" else "."
    return fold("How far pictures of others have moved: FID", table(header, rows) + f"\n{note}\n")


def _sizes(study: Study, kind: str) -> str:
    """A row a size of noise, a column for what is then done to it."""
    known = ("revived, positions known", "pruned", "original")
    starts = [n for n in study.pooled if n not in known and ", revived" not in n]

    def cell(name: str) -> str:
        row = study.pooled.get(name)
        if row is None or kind not in row.rates:
            return ""
        gain = row.minus_pruned.get(kind)
        return f"{row.rates[kind]:.2f}" + (f"<br>{whole(difference(gain))}" if gain else "")

    rows = [["none: the original", cell("original"), "", ""]]
    rows += [["zeros", cell("pruned"), "", ""], ["zeros, attacked at them", cell(known[0]), "", ""]]
    ends = ("", ", revived per row", ", revived over all layers")
    rows += [[whole(start), *(cell(start + end) for end in ends)] for start in starts]
    header = ["noise", "top-1; minus zeros, 95 %", "attacked, guessed per row"]
    return table([*header, "attacked, guessed over all layers"], rows)


#: Verdicts of an audit.
WORDS = ("evidence of pruning", "evidence of revival", "could not tell", "no evidence found")


def _surface(study: Study) -> str:
    """p(w): the mean over concepts."""
    told: list[Any] = [e.numbers for e in study.entries if e.recipe == SURFACE]
    if not told:
        return ""
    widths = told[0]["widths"]
    rows = {}
    for i, row in enumerate(told[0]["surface"]):
        parts = [
            np.array([t["surface"][i][key] for t in told], dtype=float)
            for key in ("formula", "counted")
        ]
        rows[row["sigma"]] = (np.nanmean(parts[0], 0), _mean_known(parts[1]))
    caption = (
        "The share of filled-in places among all weights within ±w, mean over concepts. Lines: the "
        "paper's formula. Dots: counted on the weights."
    )
    alt = "Falling curves of p(w) against w, one a size of noise, each with dots beside it."
    return figure(figures.surface(widths, rows), caption, alt)


def _mean_known(values: np.ndarray) -> np.ndarray:
    """The mean of what is known in each column; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def several(study: Study) -> str:
    """Sets of two, four, six: all revived, or the first alone."""
    rows = []
    for size in dict.fromkeys(_size(e) for e in study.entries):
        for recipe in dict.fromkeys(e.recipe for e in study.entries):
            mine = [e for e in study.entries if (_size(e), e.recipe) == (size, recipe)]
            first, rest = mine[:1], mine[1:]
            kept = [str(e.rates["retained"]) for e in first if "retained" in e.rates]
            cells = [" ".join(str(e.rates["erased"]) for e in first), _mean_rate(rest), *kept]
            rows.append([str(size), recipe, *cells])
    header = ["concepts", "weights", "the first", "the others of the set, mean", "others, retained"]
    return table(header, rows) + by_concept_of_sets(study)


def locators(study: Study) -> str:
    """Tables 4 and 11: four locators of all concepts; the rest of some, and where each looked."""
    first = [ORIGINAL, *(row for name in EVERY for row in rows(name))]
    rest = [name for name in study.pooled if name not in first]
    out = pooled(study, first)
    out += "\n*Minus pruned* is minus what the same locator's zeros left.\n"
    if rest:
        few = min(row.concepts for row in study.pooled.values())
        out += fold(
            f"Controls, convolutions too, and full methods ({few} concepts)", pooled(study, rest)
        )
    return out + _where(study) + _trained(study) + by_concept(study)


def _where(study: Study) -> str:
    """Folded: the share of what each locator zeroes in every group of layers."""
    lines = []
    for name in study.pooled:
        mine = [e for e in study.entries if e.recipe == name and name.endswith(f" {PRUNED}")]
        shares = [e.numbers["share_by_group"] for e in mine if "share_by_group" in e.numbers]
        told = [share for share in shares if isinstance(share, dict)]
        if told and "full" not in name:
            count = fmean(float(str(e.numbers["located"])) for e in mine)
            groups = [fmean(float(str(share[group])) for share in told) for group in GROUPS]
            lines.append([name.removesuffix(f" {PRUNED}").removesuffix(","), f"{count:,.0f}"])
            lines[-1] += [f"{share:.2f}" for share in groups]
    text = table(["locator", "weights", *GROUPS], lines)
    return fold("Where each looked: shares of what it located", text) if lines else ""


def _trained(study: Study) -> str:
    """Folded: what the full methods selected, drew anew and changed."""
    keys = {
        "selected": "selected",
        "reinitialised": "drawn anew",
        "changed": "weights changed",
        "training_seconds": "seconds of training",
    }
    mine = [e for e in study.entries if "selected" in e.numbers and "," not in e.recipe]
    lines = []
    for name in dict.fromkeys(e.recipe for e in mine):
        numbers = [e.numbers for e in mine if e.recipe == name]
        lines.append([name, *(_span([n[key] for n in numbers if key in n]) for key in keys)])
    text = table(["", *(f"{said}, least to most" for said in keys.values())], lines)
    return fold("What the full methods did", text) if lines else ""


def _span(values: Sequence[object]) -> str:
    """Whole numbers, from the least to the most; "" of none."""
    told = sorted(float(str(v)) for v in values)
    least, most = (f"{v:,.0f}" for v in (told[0], told[-1])) if told else ("", "")
    return least if least == most else f"{least} to {most}"


def by_concept_of_sets(study: Study) -> str:
    """Folded: every member of every set."""
    rows = [[str(_size(e)), e.recipe, e.concept, str(e.rates["erased"])] for e in study.entries]
    return fold(
        "Every member of every set", table(["concepts", "weights", "concept", "top-1"], rows)
    )


def _size(entry: Entry) -> int:
    told = entry.settings["together"]
    return len(told) if isinstance(told, list) else 1


def _mean_rate(entries: Sequence[Entry]) -> str:
    return f"{fmean(e.rates['erased'].value for e in entries):.2f}" if entries else ""
