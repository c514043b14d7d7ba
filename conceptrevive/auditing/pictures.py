"""The pictures of an audit's report, to stand inside a page: maps of zeros, and distributions."""

from __future__ import annotations

import base64
import io
import re

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Colours as Matplotlib writes them → the page's own, which follow light and dark.
COLOURS = {"#010101": "currentColor", "#020202": "var(--mark)", "#030303": "var(--warn)"}
INK, MARK, WARN = COLOURS

WIDTH = 4  # spreads on either side of 0

ZERO, OTHER = (0, 63, 105), (255, 255, 255)  # RGB


def mask_map(image: Bool[Tensor, "rows columns"], scale: int = 2) -> str:
    """A zero mask as the address of an inline PNG: zeros dark blue on white."""
    from PIL import Image

    pixels = torch.where(image[..., None], torch.tensor(ZERO), torch.tensor(OTHER))
    picture = Image.fromarray(pixels.to(torch.uint8).numpy())
    size = (picture.width * scale, picture.height * scale)
    stream = io.BytesIO()
    picture.resize(size, Image.Resampling.NEAREST).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def histogram(
    values: Float[Tensor, " entries"],
    what: str = "weights",
    spread: float | None = None,
    bins: int = 61,
) -> str:
    """A distribution within ± 4 spreads on a logarithmic axis, as inline SVG.

    Args:
        what: for the text that a screen reader says. spread: None takes the values' own, and
            outlines the bar around 0.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    values = values[torch.isfinite(values)].double()
    own = float(values.std(correction=0)) if values.numel() else 0.0
    counts = torch.histc((values / (spread or own or 1)).clamp(-WIDTH, WIDTH), bins, -WIDTH, WIDTH)
    middle = bins // 2
    step = 2 * WIDTH / bins
    centres = [step * (i + 0.5) - WIDTH for i in range(bins)]
    colours = [MARK] * bins
    edges = ["none"] * bins
    if spread is None:
        colours[middle] = WARN
        edges[middle] = INK
    # Text stays text, and the page's ids are its own.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": what, "font.size": 8}):
        figure = Figure(figsize=(3.5, 1.2), layout="constrained")
        axes = figure.subplots()
        heights = (counts + 1).log().tolist()
        axes.bar(
            centres, heights, 0.8 * step, color=colours, edgecolor=edges, lw=0.8, clip_on=False
        )
        axes.set(xlim=(-WIDTH, WIDTH), yticks=[], xticks=range(-WIDTH, WIDTH + 1, 2))
        axes.tick_params(length=0, labelcolor=INK)
        axes.spines[["left", "right", "top"]].set_visible(False)
        axes.spines["bottom"].set_color(INK)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(METADATA))
    where, count = ("beyond 4", counts[-1]) if spread else ("in the bar around 0", counts[middle])
    label = f"Distribution of {values.numel()} {what}; {int(count)} of them {where}."
    return _inline(stream.getvalue(), label)


METADATA = ("Creator", "Date", "Format", "Type")


def _inline(svg: str, label: str) -> str:
    """Matplotlib's file as a part of a page: no prologue, addresses or ids, in its colours."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    for drawn, shown in COLOURS.items():
        body = body.replace(drawn, shown)
    body = re.sub(
        r"<!--.*?-->|<defs>.*?</defs>|<metadata>.*?</metadata>|\sid=\"[^\"]*\"",
        "",
        body,
        flags=re.S,
    )
    body = re.sub(r"\s*\n\s*", "\n", body)
    box = re.search(r'viewBox="([^"]*)"', svg)
    view = box.group(1) if box else "0 0 252 86"
    return f'<svg role="img" aria-label="{label}" viewBox="{view}" width="350" height="120">{body}'
