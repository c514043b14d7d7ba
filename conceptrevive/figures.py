"""Figures: colour-blind-safe, readable in light and dark, no state of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from conceptrevive.files import replacing

#: Okabe and Ito's palette, one colour per state of the model, the same in every figure.
PALETTE = {
    "original": "#0072B2", "pruned": "#D55E00", "revived": "#009E73", "obfuscated": "#CC79A7",
    "obfuscated_revived": "#E69F00", "retained": "#56B4E9", "control": "#8C8C8C",
}  # fmt: skip


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


def save_figure(fig: Figure, path: str | os.PathLike) -> None:
    """Write a PNG, to a temporary name first, and close the figure."""
    try:
        with replacing(path) as temporary:
            fig.savefig(temporary, dpi=130, format="png")
    finally:
        plt.close(fig)
