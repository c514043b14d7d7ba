"""Write the model card's tables and figure from the measured results: `python -m pages.model_card` (`make card`).

Reads `results/pocket/*.json`, writes `book/generated/*.md`, `book/images/phenomenon.png` and `spectra.png`. Nothing is typed by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

from conceptrevive.concepts.world import PAPER_OBJECTS
from conceptrevive.figures import PALETTE, save_figure
from conceptrevive.models.pipeline import training_note

ROOT = Path(__file__).parent.parent
RESULTS, GENERATED = ROOT / "results/pocket", ROOT / "book/generated"


def rate(r: dict) -> str:
    """ "0.94 [0.90, 0.97], n = 50"."""
    return f"{r['value']:.2f} [{r['interval'][0]:.2f}, {r['interval'][1]:.2f}], n = {r['n']}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def made_by(result: dict) -> str:
    """Where a table's numbers come from."""
    v = result["versions"]
    return (
        f"\nMeasured {result['date'][:10]} by `{result['command']}` on {result['device']} "
        f"(seed {result['seed']}, torch {v['torch']}, diffusers {v['diffusers']}).\n"
    )


def quality(result: dict) -> str:
    """The drawing and the judging, one line each, then every object."""
    d = result["drawing"]
    names = {
        "scenes": "scenes",
        "styles": "styles (the style itself)",
        "styled_objects": "styles (the object in them)",
        "held_out_pairs": "object and scene never seen together",
        "held_out_phrasings": "phrasings never seen",
        "judges_agree": "objects: classifier and CLIP name the same",
        "every_ff_zeroed": "objects, every `ff.net.2` set to zero",
    }
    lowest = d["objects_lowest"]
    rows = [
        ["objects, mean", f"{d['objects_mean']:.3f}, {result['images']} pictures each"],
        ["objects, lowest", f"{lowest}: {rate(d['objects'][lowest])}"],
        *[[label, rate(d[key])] for key, label in names.items() if key in d],
        ["seconds a picture", f"{d['seconds_per_picture']:.2f} ({result['threads']} threads)"],
    ]
    out = table(["what is drawn", "top-1 by the judge"], rows)
    if "judging" in result:
        labels = {
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
        rows = [
            [label, rate(result["judging"][key])]
            for key, label in labels.items()
            if key in result["judging"]
        ]
        out += "\n" + table(["what is judged (pictures not used in training)", "accuracy"], rows)
    out += made_by(result)
    ranked = sorted(d["objects"].items(), key=lambda item: item[1]["value"])
    zeroed = d["every_ff_zeroed_each"]
    rows = [[o, rate(r), rate(zeroed[o])] for o, r in ranked]
    header = ["object", "top-1", "every `ff.net.2` set to zero"]
    out += "\n:::{dropdown} Every object\n" + table(header, rows) + ":::\n"
    return (
        out
        + "\n"
        + table(
            ["file", "sha256"], [[f"`{f}`", f"`{h[:16]}…`"] for f, h in result["sha256"].items()]
        )
    )


ATTACK = {
    "original": "original",
    "pruned": "pruned",
    "revived": "revived",
    "revived_paper": "revived, paper's solver",
    "retained_original": "others, original",
    "retained_pruned": "others, pruned",
    "retained_revived": "others, revived",
    "sign_accuracy": "signs right",
    "sign_accuracy_topk": "signs right, top 0.6",
    "pruned_fraction": "share pruned",
}
CONTROLS = {
    "pruned": "pruned",
    "revived": "revived",
    "neuron_average": "neuron average",
    "random_signs": "random signs",
    "exact_signs": "exact signs",
    "random_mask": "random mask",
    "other_mask": "another concept's mask",
}


def phenomenon(result: dict) -> str:
    """The attack, then its controls, one row per concept and the mean of the paper's objects below."""
    s, objects = result["settings"], result["objects"]
    out = (
        f"One setting for all: skill ratio {s['skill_ratio']}, τ = {s['tau']} of {s['steps']} steps, guidance "
        f"{s['guidance']}. {result['n']} pictures a cell ({result['retained_n']} where *others*).\n\n"
    )
    for columns in (ATTACK, CONTROLS):
        rows = [[name, *[f"{c[k]:.2f}" for k in columns]] for name, c in result["concepts"].items()]
        twelve = [result["concepts"][o] for o in PAPER_OBJECTS if o in result["concepts"]]
        for label, group in (
            ("mean of the objects", twelve),
            ("mean of those erased to ≤ 0.20", [c for c in twelve if c["pruned"] <= 0.2]),
        ):
            if group:
                rows.append(
                    [
                        f"**{label}**",
                        *[f"**{np.mean([c[k] for c in group]):.2f}**" for k in columns],
                    ]
                )
        out += table(["concept", *columns.values()], rows) + "\n"
    labels = {
        "revived": "revived",
        "revived_paper": "revived with the paper's solver",
        "neuron_average": "neuron average",
        "random_signs": "random signs",
        "exact_signs": "exact signs",
        "random_mask": "random mask",
        "other_mask": "another concept's mask",
        "retained_revived": "others, revived",
    }
    rows = [
        [label, difference(objects[f"{key}_minus_pruned"])]
        for key, label in labels.items()
        if key in objects
    ]
    out += f"Differences over the {objects['concepts']} objects, paired by seed, with 95 % intervals over pictures:\n\n"
    out += table(["top-1 minus the pruned model's", "difference"], rows) + "\n"
    return (
        out + table(["goal, mean of the objects", "measured", ""], goals(objects)) + made_by(result)
    )


def small_decay(result: dict, shipped: dict) -> str:
    """The model trained with ordinary small decay beside the shipped one, mean of the paper's objects."""
    a, b = result["objects"] | result["trained"], shipped["objects"] | training_note("pocket")
    signs = {
        k: [np.mean([r["concepts"][o][k] for o in PAPER_OBJECTS]) for r in (result, shipped)]
        for k in ("sign_accuracy", "sign_accuracy_topk")
    }
    rows = [
        [
            "training pictures",
            f"{a['pictures']:,}".replace(",", " "),
            f"{b['pictures']:,}".replace(",", " "),
        ]
    ]
    rows += [["total decay", f"{a['total_decay']:.3f}", f"{b['total_decay']:.2f}"]]
    for key in (
        "original",
        "pruned",
        "retained_pruned",
        "revived",
        "neuron_average",
        "random_signs",
        "exact_signs",
    ):
        rows.append([ATTACK.get(key) or CONTROLS[key], f"{a[key]:.2f}", f"{b[key]:.2f}"])
    for key in ("revived", "exact_signs"):
        name = f"{CONTROLS[key]} minus pruned"
        rows.append(
            [name, difference(a[f"{key}_minus_pruned"]), difference(b[f"{key}_minus_pruned"])]
        )
    rows += [[ATTACK[key], *[f"{v:.3f}" for v in values]] for key, values in signs.items()]
    n = f"\n{result['n']} pictures per object with small decay, {shipped['n']} with the shipped model."
    return table(["mean of the objects", "small decay", "shipped"], rows) + n + made_by(result)


def cause(result: dict, quality: dict) -> str:
    """How well what survives zeroing every `ff.net.2` says what survives pruning."""
    names = [o for o in PAPER_OBJECTS if o in result["concepts"]]
    zeroed = [quality["drawing"]["every_ff_zeroed_each"][o]["value"] for o in names]
    found = spearmanr([result["concepts"][o]["pruned"] for o in names], zeroed)
    low, high = np.tanh(
        np.arctanh(found.statistic) + np.array([-1.96, 1.96]) / np.sqrt(len(names) - 3)
    )
    return (
        f"\nObject by object, top-1 after pruning and top-1 with every `ff.net.2` set to zero: rank correlation "
        f"{found.statistic:.2f} [{low:.2f}, {high:.2f}], {len(names)} objects.\n"
    )


def goals(objects: dict) -> list[list[str]]:
    """What was hoped for before anything was measured, and what came."""
    gain = objects["revived_minus_pruned"][0]
    rows = [
        ("original ≥ 0.90", objects["original"], objects["original"] >= 0.90),
        ("pruned ≤ 0.20", objects["pruned"], objects["pruned"] <= 0.20),
        ("others, pruned ≥ 0.70", objects["retained_pruned"], objects["retained_pruned"] >= 0.70),
        ("revived ≥ pruned + 0.25", gain, gain >= 0.25),
    ]
    return [[goal, f"{value:.2f}", "met" if met else "**missed**"] for goal, value, met in rows]


def difference(pair: tuple[float, tuple[float, float]]) -> str:
    """ "+0.31 [0.27, 0.35]"."""
    value, (low, high) = pair
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def spectra(result: dict) -> str:
    """Effective rank of each layer that is pruned."""
    rows = [
        [f"`{n}`", f"{v['effective_rank']:.0f} of {len(v['singular_values'])}"]
        for n, v in result["layers"].items()
    ]
    return table(["layer", "effective rank"], rows)


def spectra_figure(result: dict) -> None:
    """Singular values of every layer, each divided by its largest."""
    fig, ax = plt.subplots(figsize=(6.5, 3.6))
    parts = {"down": PALETTE["original"], "mid": PALETTE["pruned"], "up": PALETTE["revived"]}
    for name, layer in result["layers"].items():
        s = np.array(layer["singular_values"])
        ax.semilogy(
            np.arange(1, len(s) + 1),
            s / s[0],
            color=parts.get(name.split("_")[0], "0.5"),
            lw=1.2,
            alpha=0.8,
        )
    for part, colour in parts.items():
        ax.plot([], [], color=colour, label=f"{part} blocks")
    ax.legend(frameon=False)
    ax.set(xlabel="index", ylabel="singular value / largest")
    ax.grid(color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    fig.patch.set_facecolor("white")
    fig.tight_layout()
    save_figure(fig, ROOT / "book/images/spectra.png")


def phenomenon_figure(result: dict) -> None:
    """Erased top-1 of each concept under the attack and its controls, with intervals."""
    shown = {
        "original": PALETTE["original"],
        "pruned": PALETTE["pruned"],
        "revived": PALETTE["revived"],
        "revived_paper": PALETTE["obfuscated"],
        "random_signs": PALETTE["control"],
    }
    names = list(result["concepts"])
    fig, ax = plt.subplots(figsize=(8, 0.42 * len(names) + 1.2))
    for j, (key, colour) in enumerate(shown.items()):
        y = np.arange(len(names)) + (j - 2) * 0.15
        value = np.array([result["concepts"][n][key] for n in names])
        low, high = np.array([result["concepts"][n][f"{key}_interval"] for n in names]).T
        error = (np.maximum(value - low, 0), np.maximum(high - value, 0))
        marker = "os^Dx"[j]
        ax.errorbar(
            value,
            y,
            xerr=error,
            fmt=marker,
            color=colour,
            ms=5,
            lw=1,
            label=ATTACK.get(key) or CONTROLS[key],
        )
    ax.set(
        yticks=range(len(names)),
        yticklabels=names,
        xlim=(-0.02, 1.02),
        xlabel="top-1 on the erased concept",
    )
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="x", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=8)
    fig.patch.set_facecolor("white")
    fig.tight_layout()
    save_figure(fig, ROOT / "book/images/phenomenon.png")


def main() -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name, write in (("quality", quality), ("phenomenon", phenomenon)):
        path = RESULTS / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            (GENERATED / f"{name}.md").write_text(write(result))
            if name == "phenomenon":
                drawn = json.loads((RESULTS / "quality.json").read_text())
                (GENERATED / "cause.md").write_text(cause(result, drawn))
                (GENERATED / "spectra.md").write_text(spectra(result))
                small = RESULTS / "small-decay.json"
                told = (
                    small_decay(json.loads(small.read_text()), result)
                    if small.exists()
                    else "Not measured yet.\n"
                )
                (GENERATED / "small-decay.md").write_text(told)
                phenomenon_figure(result)
                spectra_figure(result)


if __name__ == "__main__":
    main()
