"""Write the model card's tables and figures from the measured results (`make card`).

    python -m pages.model_card

Reads what was measured from `results/pocket`, writes `book/generated/*.md` and
`book/images/phenomenon.png`, `progress.png` and `spectra.png`. Nothing is typed by hand.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from conceptrevive.concepts.world import PAPER_OBJECTS, STYLES
from conceptrevive.experiments.table import Row, Table
from conceptrevive.figures import theme
from pages.card_figures import phenomenon_figure, progress_figure, spectra_figure
from pages.editions import editions, progress, small_decay, stages
from pages.tables import (
    ATTACK,
    CONTROLS,
    DRAWN,
    GENERATED,
    ROOT,
    difference,
    folded,
    made_by,
    rate,
    table,
)

RESULTS = ROOT / "results/pocket"
FIRST = RESULTS / "first-edition"

Result = dict[str, Any]

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
    ]
    out = table(["what is drawn", "top-1 by the judge"], rows)
    judged = result.get("judging")
    if judged:
        rows = [[label, rate(judged[key])] for key, label in JUDGED.items() if key in judged]
        told = table(["what is judged (pictures not used in training)", "accuracy"], rows)
        out += "\n" + folded("How well the judges see", told)
    out += made_by(result)
    ranked = sorted(d["objects"].items(), key=lambda item: item[1]["value"])
    zeroed = d["every_ff_zeroed_each"]
    rows = [[o, rate(r), rate(zeroed[o])] for o, r in ranked]
    header = ["object", "top-1", "every `ff.net.2` set to zero"]
    out += "\n:::{dropdown} Every object\n" + table(header, rows) + ":::\n"
    hashes = [[f"`{f}`", f"`{h[:16]}…`"] for f, h in result["sha256"].items()]
    return out + "\n" + folded("Digests of the files", table(["file", "sha256"], hashes))


def phenomenon(result: Table) -> str:
    """The attack, then its controls, one row per concept and the objects' mean below."""
    s, objects = result.settings, result.objects
    out = (
        f"One setting for all: skill ratio {s['skill_ratio']}, τ = {s['tau']} of {s['steps']} "
        f"steps, guidance {s['guidance']}. {result.n} pictures a cell ({result.retained_n} "
        "where *others*).\n\n"
    )
    for columns, title in ((ATTACK, "Concept by concept"), (CONTROLS, "Controls, the same way")):
        header = ["concept", *columns.values()]
        means = _means(result.concepts, list(columns))
        rows = [
            [name, *[f"{c.value(k):.2f}" for k in columns]] for name, c in result.concepts.items()
        ]
        out += f"{table(header, means)}\n{folded(title, table(header, rows))}\n"
    rows = [
        [label, difference(objects.gains[key])]
        for key, label in COMPARED.items()
        if key in objects.gains
    ]
    out += (
        f"Differences over the {objects.concepts} objects, paired by seed, with 95 % intervals "
        "over pictures:\n\n"
    )
    out += table(["top-1 minus the pruned model's", "difference"], rows)
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


#: Ruined pictures of other objects are often called so, see chapter 2.
HABIT = "spider web"


def cause(result: Table, quality: Result) -> str:
    """How well what survives zeroing every `ff.net.2` says what survives pruning."""
    names = [o for o in PAPER_OBJECTS if o in result.concepts]
    told = [
        f"{_rank_correlation(result, quality, chosen)}, {len(chosen)} objects"
        for chosen in (names, [o for o in names if o != HABIT])
    ]
    return (
        "\nObject by object, top-1 after pruning and top-1 with every `ff.net.2` set to zero: rank "
        f"correlation {told[0]}; {told[1]}, without {HABIT}, which the judge often calls ruined "
        "pictures of anything.\n"
    )


def _rank_correlation(result: Table, quality: Result, names: list[str]) -> str:
    """Spearman's, with Fisher's 95 % interval."""
    zeroed = [quality["drawing"]["every_ff_zeroed_each"][o]["value"] for o in names]
    found = spearmanr([result.concepts[o].value("pruned") for o in names], zeroed)
    low, high = np.tanh(
        np.arctanh(found.statistic) + np.array([-1.96, 1.96]) / np.sqrt(len(names) - 3)
    )
    return f"{found.statistic:.2f} [{low:.2f}, {high:.2f}]"


def goals(result: Table, drawn: Result) -> str:
    """What was hoped for before anything was measured, and what came."""
    d, top1 = drawn["drawing"], result.objects.rates
    twelve = [result.concepts[o] for o in PAPER_OBJECTS]
    erased = [result.concepts[s].value("pruned") for s in STYLES]
    share = float(np.mean([c.value("pruned_fraction") for c in twelve]))
    rows = [
        _at_least("objects drawn, mean", d["objects_mean"], 0.98),
        _at_least("objects drawn, lowest", d["objects"][d["objects_lowest"]]["value"], 0.90),
        _at_least("styles drawn", d["styles"]["value"], 0.95),
        _at_least("phrasings never seen", d["held_out_phrasings"]["value"], 0.85),
        _at_most("the twelve, pruned, mean", top1["pruned"], 0.20),
        _at_most("the twelve, pruned, highest", max(c.value("pruned") for c in twelve), 0.50),
        _at_least("others, pruned", top1["retained_pruned"], 0.90),
        _at_most("share pruned", share, 0.12),
        _at_least("the twelve, revived minus pruned", result.objects.gains["revived"][0], 0.30),
        _at_least("styles erased to half or less", sum(e <= 0.5 for e in erased), 3),
    ]
    return table(["goal", "wanted", "measured", "result"], rows)


def _at_least(goal: str, value: float, bound: float) -> list[str]:
    return [goal, f"≥ {_number(bound)}", _number(value), "met" if value >= bound else "**missed**"]


def _at_most(goal: str, value: float, bound: float) -> list[str]:
    return [goal, f"≤ {_number(bound)}", _number(value), "met" if value <= bound else "**missed**"]


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def spectra(result: Table) -> str:
    """Effective rank of each layer that is pruned."""
    rows = [
        [f"`{n}`", f"{v.effective_rank:.0f} of {len(v.singular_values)}"]
        for n, v in result.layers.items()
    ]
    return table(["layer", "effective rank"], rows)


def main() -> None:
    """Write the card's pages and figures."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    drawn = json.loads((RESULTS / "quality.json").read_text())
    first_drawn = json.loads((FIRST / "quality.json").read_text())
    result, first = Table.read(RESULTS / "phenomenon.json"), Table.read(FIRST / "phenomenon.json")
    with (RESULTS / "progress.csv").open(newline="", encoding="utf-8") as file:
        probed = list(csv.DictReader(file))
    pages = {
        "quality": quality(drawn),
        "phenomenon": phenomenon(result),
        "goals": goals(result, drawn),
        "cause": cause(result, drawn),
        "spectra": spectra(result),
        "stages": stages(),
        "progress": progress(probed),
        "editions": editions(first, first_drawn, result, drawn),
        "first-edition": phenomenon(first),
        "small-decay": small_decay(Table.read(FIRST / "small-decay.json"), first),
    }
    with plt.rc_context(theme()):
        phenomenon_figure(result)
        progress_figure(probed)
        spectra_figure(result)
    for name, text in pages.items():
        (GENERATED / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
