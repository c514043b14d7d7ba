"""The figures of the published experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from conceptrevive.experiments.reproduction.objects import RULES
from conceptrevive.experiments.reproduction.recipes import ORIGINAL, PRUNED
from conceptrevive.experiments.reproduction.study import Pooled, Study
from conceptrevive.experiments.table import Difference
from conceptrevive.figures import PALETTE, save_figure
from pages.tables import ROOT

IMAGES = "book/images"
#: Inches: narrow, and panels below each other, so that a telephone shows them legibly.
WIDTH = 6.0
COLOURS = {"max": "revived", "average": "original", "sample": "obfuscated"}
#: Colour and hatch of what variance is shared out among.
FACTORS = {
    "concept": ("original", ""),
    "locating_seed": ("revived", "//"),
    "phrasing": ("obfuscated", ".."),
    "steps": ("obfuscated_revived", "xx"),
    "guidance": ("retained", "\\\\"),
    "rest": ("control", ""),
}
TITLES = {"erased": "pictures of the concept", "retained": "pictures of others"}


def save(name: str, legend: Axes | None = None, columns: int = 3) -> str:
    """Write the current figure; its place as a page names it.

    Args:
        legend: the panel whose legend goes below all panels. columns: of that legend.
    """
    fig, below = plt.gcf(), 0.0
    if legend is not None:
        handles, labels = legend.get_legend_handles_labels()
        fig.legend(handles, labels, loc="lower center", ncols=columns)
        below = (0.1 + 0.22 * -(-len(labels) // columns)) / fig.get_figheight()
    fig.tight_layout(rect=(0, below, 1, 1))
    (ROOT / IMAGES).mkdir(parents=True, exist_ok=True)
    save_figure(fig, ROOT / f"{IMAGES}/{name}.png")
    return f"images/{name}.png"


def gain(row: Pooled, kind: str) -> Difference:
    """From the pruned model's; nothing of the pruned model itself."""
    return row.minus_pruned.get(kind, (0.0, (0.0, 0.0)))


def dots(ax: Axes, rows: Mapping[str, Difference], colour: str) -> None:
    """A difference a line, with its interval, from the top down; 0 is marked."""
    for y, (value, (low, high)) in enumerate(rows.values()):
        ax.plot([low, high], [y, y], color=colour, lw=1.5)
        ax.plot(value, y, "o", color=colour, ms=6)
    ax.axvline(0, color="0.4", lw=1, ls="--")
    ax.set(yticks=range(len(rows)), yticklabels=list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="x")


def gains(study: Study, name: str) -> str:
    """Every row's difference from the pruned model, both kinds of pictures."""
    rows = {n: r for n, r in study.pooled.items() if n not in (ORIGINAL, PRUNED)}
    kinds = [k for k in TITLES if any(k in r.minus_pruned for r in rows.values())]
    height = len(kinds) * (0.38 * len(rows) + 1.2)
    _, axes = plt.subplots(len(kinds), 1, figsize=(WIDTH, height), squeeze=False)
    for ax, kind in zip(axes[:, 0], kinds, strict=True):
        dots(ax, {n: gain(r, kind) for n, r in rows.items()}, PALETTE["revived"])
        ax.set(title=TITLES[kind], xlabel="top-1 minus the pruned model's")
    return save(name)


def rules(study: Study, name: str) -> str:
    """The share of signs kept against what each magnitude rule revives (Tables 3, 8 to 10)."""
    _, axes = plt.subplots(2, 1, figsize=(WIDTH, 7))
    shares = sorted(
        {float(r.rsplit(" ", 1)[1]) for r in study.pooled if r.startswith(f"neuron {RULES[0]} ")}
    )
    for ax, kind in zip(axes, TITLES, strict=True):
        for rule, style in zip(RULES, (":s", "--^", "-o"), strict=True):
            told = [gain(study.pooled[f"neuron {rule} {k:g}"], kind) for k in shares]
            values, bounds = [v for v, _ in told], np.array([b for _, b in told]).T
            colour = PALETTE[COLOURS[rule]]
            ax.fill_between(shares, *bounds, color=colour, alpha=0.15, lw=0)
            ax.plot(shares, values, style, color=colour, ms=5, label=f"neuron {rule}")
        whole = study.pooled[ORIGINAL].rates[kind] - study.pooled[PRUNED].rates[kind]
        ax.axhline(whole, color=PALETTE["control"], lw=1.2, ls="-.", label="original")
        ax.axhline(0, color=PALETTE["pruned"], lw=1.2, label="pruned")
        ax.set(title=TITLES[kind], xlabel="K, the share of signs kept", xlim=(0, 1.02))
        ax.grid()
        ax.set_ylabel("top-1 minus the pruned model's")
    return save(name, axes[0])


def accuracy(groups: Mapping[str, Sequence[Difference]], bins: np.ndarray, name: str) -> str:
    """Signs right by fifths of magnitude, and stated probability against what came true.

    Args:
        groups: label → mean and interval of each fifth. bins: (claims, 2): stated, and right.
    """
    _, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 7))
    for (label, told), colour, style, shift in zip(
        groups.items(), ("revived", "original"), ("o-", "s--"), (-0.05, 0.05), strict=True
    ):
        x = np.arange(1, len(told) + 1) + shift
        values = np.array([v for v, _ in told])
        spread = np.abs(np.array([b for _, b in told]).T - values)
        upper.errorbar(x, values, spread, fmt=style, color=PALETTE[colour], label=label, capsize=3)
    upper.axhline(0.5, color="0.4", lw=1, ls="--")
    upper.set(xlabel="fifth of magnitude, smallest to largest", ylim=(0.4, 1.02))
    upper.set_xticks(range(1, 6))
    upper.legend(loc="upper left")
    lower.plot([0.5, 1], [0.5, 1], color="0.4", lw=1, ls="--", label="as stated")
    lower.plot(*bins.T, "o-", color=PALETTE["revived"], label="conditional")
    lower.set(xlabel="probability stated", xlim=(0.48, 1.02), ylim=(0.4, 1.02))
    lower.legend(loc="upper left")
    for ax in (upper, lower):
        ax.set_ylabel("signs right")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid()
    return save(name)


def defence(study: Study, sizes: Mapping[float, str], name: str) -> str:
    """What noise of each size does, and what attacks make of it, from the pruned model's top-1.

    Args:
        sizes: σ_M in units of σ_U → the beginning of its rows' names.
    """
    _, axes = plt.subplots(2, 1, figsize=(WIDTH, 7))
    shown = {
        "": ("noise alone", "obfuscated", "s--"),
        ", revived per row": ("attacked, places guessed per row", "obfuscated_revived", "o-"),
        ", revived over all layers": ("attacked, places guessed over all layers", "revived", "^:"),
    }
    for ax, kind in zip(axes, TITLES, strict=True):
        for end, (label, colour, style) in shown.items():
            rows = [(s, study.pooled[start + end]) for s, start in sizes.items()]
            told = [gain(row, kind) for _, row in rows]
            bounds = np.array([b for _, b in told]).T
            ax.fill_between(list(sizes), *bounds, color=PALETTE[colour], alpha=0.15, lw=0)
            ax.plot(
                list(sizes), [v for v, _ in told], style, color=PALETTE[colour], label=label, ms=5
            )
        known = gain(study.pooled["revived, positions known"], kind)[0]
        ax.axhline(known, color="0.25", ls="-.", lw=1.2, label="attacked, places known")
        ax.axhline(0, color=PALETTE["pruned"], lw=1.2, label="zeros")
        ax.set(title=TITLES[kind], xlabel="σ_M / σ_U", xscale="log")
        ax.set_xticks(list(sizes), [f"{s:g}" for s in sizes])
        ax.minorticks_off()
        ax.grid()
        ax.set_ylabel("top-1 minus that with zeros")
    return save(name, axes[0], columns=2)


def surface(widths: Sequence[float], rows: Mapping[float, tuple[np.ndarray, np.ndarray]]) -> str:
    """p(w) for each σ_M: the formula as a line, the count on the weights as dots (Fig. 7)."""
    _, ax = plt.subplots(figsize=(WIDTH, 4))
    colours = ("original", "revived", "obfuscated", "pruned", "obfuscated_revived")
    for (sigma, (formula, counted)), colour in zip(rows.items(), colours, strict=False):
        ax.plot(widths, formula, color=PALETTE[colour], label=f"σ_M = {sigma:g} σ_U")
        ax.plot(widths, counted, "o", color=PALETTE[colour], ms=4)
    ax.set(xscale="log", xlabel="w / σ_U", ylabel="p(w)", ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid()
    ax.legend()
    return save("results-surface")


def shares(rows: Mapping[str, Mapping[str, float]], name: str) -> str:
    """The variance of rates shared out: a bar a row, a part a factor."""
    _, ax = plt.subplots(figsize=(WIDTH, 0.45 * len(rows) + 1.8))
    left = np.zeros(len(rows))
    for factor, (colour, hatch) in FACTORS.items():
        if not any(factor in row for row in rows.values()):
            continue
        parts = np.array([max(0.0, row.get(factor, 0.0)) for row in rows.values()])
        ax.barh(
            list(rows),
            parts,
            left=left,
            color=PALETTE[colour],
            hatch=hatch,
            edgecolor="white",
            label=factor.replace("_", " "),
        )
        left += parts
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of the variance of top-1")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    return save(name, ax)
