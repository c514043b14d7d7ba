"""The model card's sheet of samples, drawn with consecutive seeds and none left out.

    python -m pages.samples

Writes `book/images/samples.png`: every object once in a scene, then sixteen things in a style.
"""

from __future__ import annotations

from textwrap import fill

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from conceptrevive.concepts import world as W
from conceptrevive.concepts.pocket import POCKET_SETTINGS, object_prompt
from conceptrevive.figures import save_figure, theme
from conceptrevive.models.generation import generate
from conceptrevive.models.pipeline import load_pipeline
from pages.tables import ROOT

SEED = 0
COLUMNS = 8
STYLED = 16


def prompts() -> list[str]:
    """Objects in their order, scenes and styles in turn; held-out pairs are passed over."""
    scenes = [_with_a_scene(o, i) for i, o in enumerate(W.OBJECTS)]
    styled = [
        W.with_article(o) + W.STYLE_SUFFIX.format(style=style)
        for i, o in enumerate(W.OBJECTS)
        if not W.held_out(o, style := W.STYLES[i % len(W.STYLES)])
    ]
    return scenes + styled[:STYLED]


def _with_a_scene(name: str, turn: int) -> str:
    known = [s for s in W.SCENES if not W.held_out(name, s)]
    return object_prompt(name, known[turn % len(known)])


def sheet(images: list[Image.Image], captions: list[str]) -> Figure:
    """Pictures in rows of eight, their prompts above them."""
    rows = -(-len(images) // COLUMNS)
    fig, axes = plt.subplots(rows, COLUMNS, figsize=(1.3 * COLUMNS, 1.58 * rows), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, caption in zip(axes.flat, images, captions, strict=False):
        ax.imshow(image)
        ax.set_title(fill(caption, 22), fontsize=7, pad=2)
    fig.tight_layout(pad=0.3)
    return fig


def main() -> None:
    """Draw the sheet with the shipped model."""
    pipe, asked = load_pipeline("pocket", device="cpu"), prompts()
    images = generate(
        pipe, asked, seed=SEED, steps=POCKET_SETTINGS.steps, guidance=POCKET_SETTINGS.guidance
    )
    with plt.rc_context(theme()):
        save_figure(sheet(images, asked), ROOT / "book/images/samples.png")


if __name__ == "__main__":
    main()
