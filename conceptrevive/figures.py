"""Figures: colour-blind-safe, readable in light and dark, no state of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from PIL import Image

from conceptrevive.files import replacing

#: Okabe and Ito's palette, one colour per state of the model, the same in every figure.
PALETTE = {
    "original": "#0072B2", "pruned": "#D55E00", "revived": "#009E73", "obfuscated": "#CC79A7",
    "obfuscated_revived": "#E69F00", "retained": "#56B4E9", "control": "#8C8C8C",
}  # fmt: skip


def theme() -> dict[str, Any]:
    """Matplotlib's settings of every figure, on seaborn's `ticks` style.

    `PALETTE` is the order of colours. The background is white and opaque, so that a figure reads
    the same on a light page and on a dark one. `with plt.rc_context(theme()):` uses it for a
    block, `plt.rcParams.update(theme())` for a notebook.
    """
    import seaborn  # a second, and only figures need it

    style: dict[str, Any] = {
        **seaborn.axes_style("ticks"),
        **seaborn.plotting_context("notebook", font_scale=0.8),
    }
    return style | {
        "axes.prop_cycle": cycler(color=list(PALETTE.values())),
        "axes.edgecolor": "0.3",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": "white",
        "font.sans-serif": ["DejaVu Sans"],  # Matplotlib's own: the same on every machine
        "grid.color": "0.9",
        "legend.frameon": False,
        "savefig.facecolor": "white",
    }


def picture_rows(
    rows: Sequence[Sequence[Image.Image]], row_labels: Sequence[str], column_labels: Sequence[str]
) -> Figure:
    """A grid of pictures, one row per model, one column per prompt and seed."""
    height, width = len(rows), len(rows[0])
    fig, axes = plt.subplots(
        height, width, figsize=(1.1 * width + 1.6, 1.12 * height + 0.3), squeeze=False
    )
    for r, (row, label) in enumerate(zip(rows, row_labels, strict=True)):
        for c, image in enumerate(row):
            ax = axes[r][c]
            ax.imshow(image, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            for side in ax.spines.values():
                side.set_visible(False)
            if r == 0:
                ax.set_title(column_labels[c], fontsize=9)
            if c == 0:
                ax.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    fig.patch.set_facecolor("white")
    fig.tight_layout(pad=0.3)
    return fig


def save_figure(fig: Figure, path: str | os.PathLike[str]) -> None:
    """Write a PNG, to a temporary name first, and close the figure."""
    try:
        with replacing(path) as temporary:
            fig.savefig(temporary, dpi=130, format="png")
    finally:
        plt.close(fig)
