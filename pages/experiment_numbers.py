"""What the book shows of sign accuracy, stability and cost: means over concepts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.common import RESULTS as BENCHMARKS
from benchmarks.common import read_table
from conceptrevive.experiments.cells import Cell
from conceptrevive.experiments.reproduction.contrasts import over_concepts
from conceptrevive.experiments.reproduction.sheet import row_of
from conceptrevive.experiments.reproduction.stability import MASKS
from conceptrevive.experiments.reproduction.study import Entry, Study
from conceptrevive.experiments.table import Difference
from pages import experiment_figures as figures
from pages.experiment_tables import averaged, figure, fold, mean_of
from pages.tables import table

PAPERS_K = " 0.6"
#: What the paper says that its attack takes on an A100.
PAPERS_MINUTES = 7


def accuracy(study: Study) -> str:
    """Tables 5 and 6, by solver; magnitude, layers and calibration."""
    keys = {"all": "all pruned signs", "kept": "the 0.6 of largest completed magnitude"}
    rows = []
    for solver in dict.fromkeys(e.recipe for e in study.entries):
        mine = [e.numbers for e in study.entries if e.recipe == solver]
        cells = [mean_of([_value(told[key]) for told in mine]) for key in keys]
        rows.append([solver, *cells, mean_of([_value(t["calibration_error"]) for t in mine])])
    header = ["solver", *keys.values(), "calibration error"]
    out = table(header, rows)
    mine = [e for e in study.entries if e.recipe == "conditional"]
    if not mine:
        return out
    groups = {
        "completed magnitude": _fifths(mine, "completed_fifths"),
        "original magnitude": _fifths(mine, "original_fifths"),
    }
    caption = (
        "Above: signs completed right by magnitude, mean over concepts with Student's intervals. "
        "Below: the probability that the column model states for a sign, and how often it is right."
    )
    alt = (
        "Above: two rising curves, signs right in five groups of magnitude. Below: stated "
        "probability against the share of right signs, beside the diagonal."
    )
    file = figures.accuracy(groups, _bins(mine), "results-accuracy")
    out += figure(file, caption, alt)
    fifths = [
        [label, *(f"{v:.2f} [{low:.2f}, {high:.2f}]" for v, (low, high) in told)]
        for label, told in groups.items()
    ]
    header = ["signs right", *(f"fifth {i}" for i in range(1, 6))]
    return out + fold("Signs right by magnitude", table(header, fifths)) + _layers(mine)


def _value(told: Any) -> float | None:
    found = told["value"] if isinstance(told, dict) else told
    return None if found is None else float(found)


def _fifths(entries: Sequence[Entry], key: str) -> list[Difference]:
    columns: list[Any] = [e.numbers[key] for e in entries]
    out: list[Difference] = []
    for i in range(len(columns[0])):
        values = [v for v in (_value(told[i]) for told in columns) if v is not None]
        spread = over_concepts([(v, 0.0) for v in values])
        out.append((fmean(values), spread.interval if spread else (values[0], values[0])))
    return out


def _bins(entries: Sequence[Entry]) -> np.ndarray:
    """Claims and what came true, entries of all concepts together, by fifths of the claim."""
    every: list[Any] = [b for e in entries for b in e.numbers["calibration"]]  # type: ignore[union-attr]
    at = [min(4, int((b["claimed"] - 0.5) * 10)) for b in every]
    out = []
    for i in sorted(set(at)):
        mine = [b for b, place in zip(every, at, strict=True) if place == i]
        n = sum(b["n"] for b in mine)
        out.append([sum(b[key] * b["n"] for b in mine) / n for key in ("claimed", "value")])
    return np.array(out)


def _layers(entries: Sequence[Entry]) -> str:
    told: list[Any] = [e.numbers["layers"] for e in entries]
    rows = [
        [f"`{n}`", *(mean_of([_value(t[n][key]) for t in told]) for key in ("all", "kept"))]
        for n in told[0]
    ]
    return fold("Signs right by layer", table(["layer", "all", "top 0.6"], rows))


def stability(study: Study) -> str:
    """Masks of other seeds, and what the variance of outcomes comes from."""
    masks = [e for e in study.entries if e.recipe == MASKS]
    jaccard = mean_of([_value(e.numbers["jaccard_mean"]) for e in masks])
    every = [float(str(j)) for e in masks for j in _list(e.numbers["jaccard"])]
    out = f"Jaccard index of the masks of two locating seeds: {jaccard}"
    out += f", from {min(every):.2f} to {max(every):.2f}.\n" if every else ".\n"
    told: Any = study.summary["explained"]
    rows = {
        f"{recipe}, {changed}": {
            f: v for f, v in shares.items() if f != "sampling" and v is not None
        }
        for changed, by_recipe in told.items()
        for recipe, shares in by_recipe.items()
    }
    rows = {name: shares for name, shares in rows.items() if shares}
    if rows:
        caption = (
            "The variance of top-1, shared out among what was changed (η²); *rest* is interactions "
            "and the chance of so few pictures."
        )
        alt = "Stacked bars, one a kind of weights and of change. The numbers are in the table."
        out += figure(figures.shares(rows, "results-stability"), caption, alt)
    header = ["weights, what was changed", "share of the variance", "sampling alone"]
    cells = [
        [
            f"{recipe}, {changed}",
            ", ".join(
                f"{factor.replace('_', ' ')} {share:.2f}"
                for factor, share in shares.items()
                if factor != "sampling" and share is not None
            ),
            "" if shares.get("sampling") is None else f"{shares['sampling']:.2f}",
        ]
        for changed, by_recipe in told.items()
        for recipe, shares in by_recipe.items()
    ]
    return out + "\n" + table(header, cells) + fold("Every condition", _conditions(study))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _conditions(study: Study) -> str:
    """Mean top-1 over the concepts, a row a condition."""
    drawn = [e for e in study.entries if "erased" in e.rates]
    by_row: dict[str, list[float]] = {}
    for e in drawn:
        cell = Cell("", e.concept, e.recipe, e.n, e.seed, e.settings)
        by_row.setdefault(row_of(cell), []).append(e.rates["erased"].value)
    return table(["condition", "top-1"], [[name, mean_of(v)] for name, v in by_row.items()])


def cost(study: Study) -> str:
    """Seconds and memory of every step, beside the paper's minutes."""
    rows = []
    for e in study.entries:
        low, high = (float(str(x)) for x in _list(e.numbers["step_seconds_range"]))
        peak = e.numbers["peak_mib"]
        rows.append(
            [
                e.recipe,
                f"{e.numbers['step_seconds']:.3g} [{low:.3g}, {high:.3g}]",
                "" if peak is None else f"{peak:.0f}",
            ]
        )
    return table(["step", "seconds [least, most]", "peak MiB"], rows) + _beside_the_papers()


def _beside_the_papers() -> str:
    """The paper's time is for Stable Diffusion: what the same shapes take here."""
    mine = [
        r
        for r in read_table(BENCHMARKS / "completion.csv")
        if r["set"] == "sd15" and r["rows"] == "all"
    ]
    if not mine:
        return ""
    rows = [
        [
            r["solver"] + (" ✱" if r.get("extrapolated_from_sweeps") else ""),
            f"{float(r['seconds']):.3g} [{float(r['seconds_low']):.3g}, "
            f"{float(r['seconds_high']):.3g}]",
            f"{float(r['peak_mb']):.0f}",
        ]
        for r in mine
    ]
    return (
        f"\nThe paper's attack takes under {PAPERS_MINUTES} minutes a concept on an A100, for "
        f"Stable Diffusion 1.5. Completing {mine[0]['layers']} layers of its shapes takes here "
        f"({mine[0]['machine']}; [benchmarks](benchmarks.md), ✱ extrapolated from some of the "
        "loop's sweeps):\n\n" + table(["solver", "seconds [least, most]", "peak MiB"], rows)
    )


def every_number(study: Study) -> str:
    """Folded: each plain number of the entries, averaged over the concepts."""
    keys = {
        key: key.replace("_", " ")
        for e in study.entries
        for key, value in e.numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return "\n" + averaged(study, keys, lambda e: e.recipe) if keys else ""
