"""The model card's figures: the spectra of the layers, and the attack concept by concept."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from conceptrevive.experiments.table import Table
from conceptrevive.figures import PALETTE, save_figure
from pages.tables import LABELS, ROOT


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
