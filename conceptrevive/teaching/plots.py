"""Plots that several notebooks draw, in one theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.figures import PALETTE, theme
from conceptrevive.intervals import Rate

Difference = tuple[float, tuple[float, float]]


def use_theme() -> None:
    """The book's settings of Matplotlib: narrow enough for a telephone, on opaque white."""
    settings: Any = theme() | {
        "figure.figsize": (5.6, 3.2),
        "figure.dpi": 130,
        "font.size": 11,
        "axes.labelsize": 11,
        "axes.titlesize": 11,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "legend.fontsize": 10,
        "figure.constrained_layout.use": True,
    }
    plt.rcParams.update(settings)


def show_pictures(
    rows: Mapping[str, Sequence[Image.Image]], columns: Sequence[str] | None = None
) -> Figure:
    """A grid of pictures, a row for each name; six to a row can still be seen on a telephone."""
    widths = {len(row) for row in rows.values()} | ({len(columns)} if columns else set())
    if len(widths) != 1:
        raise ConceptReviveError(f"rows of {sorted(widths)} pictures: give as many to every row")
    (across,) = widths
    fig, axes = plt.subplots(
        len(rows), across, figsize=(0.95 * across + 0.3, 1.15 * len(rows) + 0.3), squeeze=False
    )
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_title(name, loc="left", fontsize=11)
    for ax, column in zip(axes[-1], columns or (), strict=bool(columns)):
        ax.set_xlabel(column, fontsize=9)
    return fig


def show_rates(rates: Mapping[str, Rate], ax: Axes | None = None, label: str = "") -> Axes:
    """A row for each name: the share as a dot, its 95 % interval as a bar."""
    return _dots({n: (r.value, r.interval) for n, r in rates.items()}, ax, label, (-0.03, 1.03))


def show_differences(
    differences: Mapping[str, Difference], ax: Axes | None = None, label: str = ""
) -> Axes:
    """As `show_rates`, of paired differences, with a line at no difference."""
    axes = _dots(differences, ax, label, None)
    axes.axvline(0, color="0.3", linewidth=1, linestyle="--", zorder=0)
    return axes


def _dots(
    values: Mapping[str, Difference],
    ax: Axes | None,
    label: str,
    limits: tuple[float, float] | None,
) -> Axes:
    axes = ax or plt.subplots(figsize=(5.6, 0.36 * len(values) + 0.9))[1]
    for y, (name, (value, (low, high))) in enumerate(values.items()):
        colour = PALETTE.get(name.split()[0], PALETTE["control"])
        axes.plot((low, high), (y, y), color=colour, linewidth=5, alpha=0.45)
        axes.plot(value, y, "o", color=colour, markeredgecolor="black", markersize=7)
    axes.set(yticks=range(len(values)), yticklabels=list(values), xlabel=label)
    if limits:
        axes.set_xlim(limits)
    axes.grid(axis="x")
    axes.set_ylim(len(values) - 0.5, -0.5)
    return axes
