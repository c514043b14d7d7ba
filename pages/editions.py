"""The model card's tables of how the model came to be: its stages and its editions."""

from __future__ import annotations

from typing import Any

import numpy as np

from conceptrevive.concepts.world import PAPER_OBJECTS
from conceptrevive.experiments.table import Table
from pages.tables import ATTACK, CONTROLS, DRAWN, LABELS, difference, made_by, table
from training.stages import read_stages

Result = dict[str, Any]

#: The stage whose weights are shipped.
SHIPPED = "v8"


def stages() -> str:
    """The history of the shipped weights: every stage, from the first to the last."""
    every = read_stages()
    history = [every[SHIPPED]]
    while history[0].start is not None:
        history.insert(0, every[history[0].start])
    rows, pictures = [], 0
    for stage in history:
        pictures += (stage.steps or 0) * stage.batch
        rows.append([f"`{stage.name}`", f"{pictures / 1000:.0f} k", str(stage.took), stage.note])
    return table(["stage", "pictures in all", "minutes", "what it tried"], rows)


def small_decay(small: Table, first: Table) -> str:
    """The model trained with ordinary small decay beside the first edition, mean of the objects."""
    both = (small, first)
    notes = [each.told["trained"] for each in both]
    rows = [["training pictures", *(f"{x['pictures']:,}".replace(",", " ") for x in notes)]]
    rows += [["total decay", f"{notes[0]['total_decay']:.3f}", f"{notes[1]['total_decay']:.2f}"]]
    shown = ("original", "pruned", "retained_pruned", "revived")
    for key in (*shown, "neuron_average", "random_signs", "exact_signs"):
        rows.append([LABELS[key], *(f"{x.objects.rates[key]:.2f}" for x in both)])
    for key in ("revived", "exact_signs"):
        gains = [difference(x.objects.gains[key]) for x in both]
        rows.append([f"{CONTROLS[key]} minus pruned", *gains])
    for key in ("sign_accuracy", "sign_accuracy_topk"):
        means = [np.mean([x.concepts[o].value(key) for o in PAPER_OBJECTS]) for x in both]
        rows.append([ATTACK[key], *(f"{mean:.3f}" for mean in means)])
    n = f"\n{small.n} pictures per object with small decay, {first.n} with the first edition."
    told = made_by(small.told)
    return table(["mean of the objects", "small decay", "first edition"], rows) + n + told


def editions(first: Table, first_drawn: Result, result: Table, drawn: Result) -> str:
    """The first edition beside the shipped one."""
    both, drawings = (first, result), (first_drawn["drawing"], drawn["drawing"])
    rows = [
        ["objects drawn", *(str(len(d["objects"])) for d in drawings)],
        ["their top-1, mean", *(f"{d['objects_mean']:.3f}" for d in drawings)],
        *[
            [f"{DRAWN[key]}, top-1", *(f"{d[key]['value']:.2f}" for d in drawings)]
            for key in ("styles", "held_out_phrasings", "every_ff_zeroed")
        ],
        ["skill ratio", *(f"{t.settings['skill_ratio']:g}" for t in both)],
    ]
    for key in ("original", "pruned", "retained_pruned", "revived"):
        rates = [t.objects.rates[key] for t in both]
        rows.append([f"the twelve: {LABELS[key]}", *(f"{rate:.2f}" for rate in rates)])
    rows.append(
        [
            "the twelve: revived minus pruned",
            *(difference(t.objects.gains["revived"]) for t in both),
        ]
    )
    for key in ("pruned_fraction", "sign_accuracy"):
        means = [np.mean([t.concepts[o].value(key) for o in PAPER_OBJECTS]) for t in both]
        rows.append([f"the twelve: {LABELS[key]}", *(f"{mean:.2f}" for mean in means)])
    return table(["what", "first edition", "shipped"], rows)


def progress(rows: list[dict[str, str]]) -> str:
    """The probes of `training.progress`, a column a stage."""
    out = [
        [label, *(f"{float(row[key]):.2f}" for row in rows)]
        for key, label in {
            "energy_selective": "energy in columns of the concept",
            "gate_std": "gates, standard deviation of their inputs",
            "gate_open": "gates, share above 0",
            "original_twelve": "twelve objects, top-1",
            "scaled_0.5": "every `ff.net.2` × 0.5",
            "scaled_0.25": "every `ff.net.2` × 0.25",
            "scaled_0": "every `ff.net.2` × 0",
            "original_six": "six objects, top-1",
        }.items()
    ]
    for k in ("0.05", "0.1", "0.2"):
        cells = (
            f"{float(row[f'share_{k}']):.2f}: {float(row[f'pruned_{k}']):.2f} / "
            f"{float(row[f'preserved_{k}']):.2f}"
            for row in rows
        )
        out.append([f"k = {k}, share pruned: pruned / others", *cells])
    header = [f"{row['stage']}, {int(row['pictures']) / 1e6:.2f} M pictures" for row in rows]
    return table(["what", *header], out)
