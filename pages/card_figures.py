"""The model card's figures: training, the spectra of the layers, the attack concept by concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter

from conceptrevive.experiments.table import Table
from conceptrevive.figures import PALETTE, save_figure
from pages.tables import LABELS, ROOT

SCALED = {"scaled_0.5": "×0.5", "scaled_0.25": "×0.25", "scaled_0": "×0"}


def spectra_figure(result: Table) -> None:
    """Singular values of every layer, each divided by its largest."""
    fig, ax = plt.subplots(figsize=(6.5, 3.6))
    parts = {"down": PALETTE["original"], "mid": PALETTE["pruned"], "up": PALETTE["revived"]}
    for name, layer in result.layers.items():
        s = np.array(layer.singular_values)
        ax.semilogy(
            np.arange(1, len(s) + 1),
            s / s[0],
            color=parts.get(name.split("_")[0], "0.5"),
            lw=1.2,
            alpha=0.8,
        )
    for part, colour in parts.items():
        ax.plot([], [], color=colour, label=f"{part} blocks")
    ax.legend()
    ax.set(xlabel="index", ylabel="singular value / largest")
    ax.grid()
    fig.tight_layout()
    save_figure(fig, ROOT / "book/images/spectra.png")


def phenomenon_figure(result: Table) -> None:
    """Erased top-1 of each concept under the attack and its controls, with intervals."""
    shown = {
        "original": PALETTE["original"],
        "pruned": PALETTE["pruned"],
        "revived": PALETTE["revived"],
        "revived_paper": PALETTE["obfuscated"],
        "random_signs": PALETTE["control"],
    }
    names = list(result.concepts)
    fig, ax = plt.subplots(figsize=(8, 0.42 * len(names) + 1.2))
    for j, (key, colour) in enumerate(shown.items()):
        y = np.arange(len(names)) + (j - 2) * 0.15
        rates = [result.concepts[n].rates[key] for n in names]
        value = np.array([rate.value for rate in rates])
        low, high = np.array([rate.interval for rate in rates]).T
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
            label=LABELS[key],
        )
    ax.set(
        yticks=range(len(names)),
        yticklabels=names,
        xlim=(-0.02, 1.02),
        xlabel="top-1 on the erased concept",
    )
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="x")
    ax.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=8)
    fig.tight_layout()
    save_figure(fig, ROOT / "book/images/phenomenon.png")


def progress_figure(rows: Sequence[Mapping[str, str]]) -> None:
    """How erasing came with training: gates, what passes by the feed-forwards, pruned, preserved.

    Args:
        rows: of `results/pocket/progress.csv`, one per stage that was probed.
    """
    x = [int(row["pictures"]) / 1e6 for row in rows]
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 4.2), sharex=True)

    def curve(ax: plt.Axes, key: str, label: str, colour: str, style: str = "o-") -> None:
        ax.plot(x, [float(row[key]) for row in rows], style, color=PALETTE[colour], label=label)

    curve(left, "energy_selective", "energy in columns of the concept", "revived")
    curve(left, "gate_open", "gates that are open", "pruned", "s--")
    curve(middle, "original_twelve", "×1", "original")
    for (key, label), style in zip(SCALED.items(), ("s--", "^-.", "D:"), strict=True):
        curve(middle, key, label, "original", style)
    for k, style in (("0.05", "o:"), ("0.1", "s-"), ("0.2", "^--")):
        curve(right, f"preserved_{k}", f"others, k = {k}", "retained", style)
        curve(right, f"pruned_{k}", f"pruned, k = {k}", "pruned", style)
    for ax, title in (
        (left, "neurons and gates"),
        (middle, "top-1, every ff.net.2 scaled"),
        (right, "top-1 after pruning"),
    ):
        ax.set(
            title=title, xlabel="million training pictures", ylim=(-0.02, 1.02), xlim=(0.4, None)
        )
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.grid()
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        ax.legend(fontsize=8, ncols=1 if ax is left else 2, **place)
    for stage, at in zip((row["stage"] for row in rows), x, strict=True):
        left.annotate(stage, (at, 0.97), ha="center", va="top", fontsize=8)
    fig.tight_layout()
    save_figure(fig, ROOT / "book/images/progress.png")
