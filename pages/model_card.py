"""Write the model card's tables and figures from the measured results (`make card`).

    python -m pages.model_card

Reads `results/pocket/*.json`, writes `book/generated/*.md`, `book/images/phenomenon.png` and
`spectra.png`. Nothing is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from conceptrevive.concepts.world import PAPER_OBJECTS
from conceptrevive.experiments.table import Pooled, Row, Table
from conceptrevive.figures import theme
from conceptrevive.models.pipeline import training_note
from pages.card_figures import phenomenon_figure, spectra_figure
from pages.tables import (
    ATTACK,
    CONTROLS,
    GENERATED,
    LABELS,
    ROOT,
    difference,
    made_by,
    rate,
    table,
)

RESULTS = ROOT / "results/pocket"

Result = dict[str, Any]

DRAWN = {
    "scenes": "scenes",
    "styles": "styles (the style itself)",
    "styled_objects": "styles (the object in them)",
    "held_out_pairs": "object and scene never seen together",
    "held_out_phrasings": "phrasings never seen",
    "judges_agree": "objects: classifier and CLIP name the same",
    "every_ff_zeroed": "objects, every `ff.net.2` set to zero",
}
JUDGED = {
    "painted_object": "objects, painted pictures",
    "painted_object_unstyled": "objects, painted without a style",
    "painted_scene": "scenes",
    "painted_style": "styles",
    "painted_object_all_classes": "objects, all classes and all artwork",
    "reconstructed_object_unstyled": "objects without a style, through the autoencoder",
    "clip_object_unstyled": "objects without a style, by CLIP among all it knows",
    "scene_only_called_object": "scenes without an object called an object (lower is better)",
    "control_on_unseen_artwork": "control judge on artwork it has not seen",
}
#: What is compared with the pruned model.
COMPARED = {
    "revived": "revived",
    "revived_paper": "revived with the paper's solver",
    "neuron_average": "neuron average",
    "random_signs": "random signs",
    "exact_signs": "exact signs",
    "random_mask": "random mask",
    "other_mask": "another concept's mask",
    "retained_revived": "others, revived",
}


def quality(result: Result) -> str:
    """The drawing and the judging, one line each, then every object."""
    d = result["drawing"]
    lowest = d["objects_lowest"]
    rows = [
        ["objects, mean", f"{d['objects_mean']:.3f}, {result['images']} pictures each"],
        ["objects, lowest", f"{lowest}: {rate(d['objects'][lowest])}"],
        *[[label, rate(d[key])] for key, label in DRAWN.items() if key in d],
        ["seconds a picture", f"{d['seconds_per_picture']:.2f} ({result['threads']} threads)"],
    ]
    out = table(["what is drawn", "top-1 by the judge"], rows)
    judged = result.get("judging")
    if judged:
        rows = [[label, rate(judged[key])] for key, label in JUDGED.items() if key in judged]
        out += "\n" + table(["what is judged (pictures not used in training)", "accuracy"], rows)
    out += made_by(result)
    ranked = sorted(d["objects"].items(), key=lambda item: item[1]["value"])
    zeroed = d["every_ff_zeroed_each"]
    rows = [[o, rate(r), rate(zeroed[o])] for o, r in ranked]
    header = ["object", "top-1", "every `ff.net.2` set to zero"]
    out += "\n:::{dropdown} Every object\n" + table(header, rows) + ":::\n"
    hashes = [[f"`{f}`", f"`{h[:16]}…`"] for f, h in result["sha256"].items()]
    return out + "\n" + table(["file", "sha256"], hashes)


def phenomenon(result: Table) -> str:
    """The attack, then its controls, one row per concept and the objects' mean below."""
    s, objects = result.settings, result.objects
    out = (
        f"One setting for all: skill ratio {s['skill_ratio']}, τ = {s['tau']} of {s['steps']} "
        f"steps, guidance {s['guidance']}. {result.n} pictures a cell ({result.retained_n} "
        "where *others*).\n\n"
    )
    for columns in (ATTACK, CONTROLS):
        rows = [
            [name, *[f"{c.value(k):.2f}" for k in columns]] for name, c in result.concepts.items()
        ]
        rows += _means(result.concepts, list(columns))
        out += table(["concept", *columns.values()], rows) + "\n"
    rows = [
        [label, difference(objects.gains[key])]
        for key, label in COMPARED.items()
        if key in objects.gains
    ]
    out += (
        f"Differences over the {objects.concepts} objects, paired by seed, with 95 % intervals "
        "over pictures:\n\n"
    )
    out += table(["top-1 minus the pruned model's", "difference"], rows) + "\n"
    out += table(["goal, mean of the objects", "measured", ""], goals(objects))
    return out + made_by(result.told)


def _means(concepts: Mapping[str, Row], columns: list[str]) -> list[list[str]]:
    """Rows below the concepts: of the paper's objects, and of those that pruning erased."""
    twelve = [concepts[o] for o in PAPER_OBJECTS if o in concepts]
    groups = {
        "mean of the objects": twelve,
        "mean of those erased to ≤ 0.20": [c for c in twelve if c.value("pruned") <= 0.2],
    }
    return [
        [f"**{label}**", *[f"**{np.mean([c.value(k) for c in group]):.2f}**" for k in columns]]
        for label, group in groups.items()
        if group
    ]


def small_decay(result: Table, shipped: Table) -> str:
    """The model trained with ordinary small decay beside the shipped one, mean of the objects."""
    notes, both = [result.told["trained"], training_note("pocket")], (result, shipped)
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
    n = f"\n{result.n} pictures per object with small decay, {shipped.n} with the shipped model."
    told = made_by(result.told)
    return table(["mean of the objects", "small decay", "shipped"], rows) + n + told


def cause(result: Table, quality: Result) -> str:
    """How well what survives zeroing every `ff.net.2` says what survives pruning."""
    names = [o for o in PAPER_OBJECTS if o in result.concepts]
    zeroed = [quality["drawing"]["every_ff_zeroed_each"][o]["value"] for o in names]
    found = spearmanr([result.concepts[o].value("pruned") for o in names], zeroed)
    low, high = np.tanh(
        np.arctanh(found.statistic) + np.array([-1.96, 1.96]) / np.sqrt(len(names) - 3)
    )
    return (
        "\nObject by object, top-1 after pruning and top-1 with every `ff.net.2` set to zero: rank "
        f"correlation {found.statistic:.2f} [{low:.2f}, {high:.2f}], {len(names)} objects.\n"
    )


def goals(objects: Pooled) -> list[list[str]]:
    """What was hoped for before anything was measured, and what came."""
    gain, top1 = objects.gains["revived"][0], objects.rates
    rows = [
        ("original ≥ 0.90", top1["original"], top1["original"] >= 0.90),
        ("pruned ≤ 0.20", top1["pruned"], top1["pruned"] <= 0.20),
        ("others, pruned ≥ 0.70", top1["retained_pruned"], top1["retained_pruned"] >= 0.70),
        ("revived ≥ pruned + 0.25", gain, gain >= 0.25),
    ]
    return [[goal, f"{value:.2f}", "met" if met else "**missed**"] for goal, value, met in rows]


def spectra(result: Table) -> str:
    """Effective rank of each layer that is pruned."""
    rows = [
        [f"`{n}`", f"{v.effective_rank:.0f} of {len(v.singular_values)}"]
        for n, v in result.layers.items()
    ]
    return table(["layer", "effective rank"], rows)


def main() -> None:
    """Write everything whose results are there."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    drawn = json.loads((RESULTS / "quality.json").read_text())
    pages = {"quality": quality(drawn)}
    if (RESULTS / "phenomenon.json").exists():
        result, small = Table.read(RESULTS / "phenomenon.json"), RESULTS / "small-decay.json"
        pages["phenomenon"] = phenomenon(result)
        pages["cause"] = cause(result, drawn)
        pages["spectra"] = spectra(result)
        pages["small-decay"] = "Not measured yet.\n"
        if small.exists():
            pages["small-decay"] = small_decay(Table.read(small), result)
        with plt.rc_context(theme()):
            phenomenon_figure(result)
            spectra_figure(result)
    for name, text in pages.items():
        (GENERATED / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
