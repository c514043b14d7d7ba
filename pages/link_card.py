"""The picture that a link to the book shows elsewhere (Open Graph): title and demo.

    python -m pages.link_card

Writes `book/_static/card.png`, 1200 × 630 pixels.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from conceptrevive.files import replacing
from pages.numbering import ROOT

SIZE, MARGIN = (1200, 630), 40
CARD = ROOT / "book/_static/card.png"
TITLE = "Roots beneath the cut"
#: Of the demo's height, what is shown: its first three rows.
SHOWN = 0.61
LINES = ("Does a diffusion model forget a concept", "when its weights are pruned away?")


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Matplotlib's own, which is the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf", name), size)


def card(demo: Image.Image) -> Image.Image:
    """The first rows of the demo's picture below the title."""
    demo = demo.crop((0, 0, demo.width, round(SHOWN * demo.height)))
    sheet = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 36), TITLE, "#1a1a1a", font(54, bold=True))
    for i, line in enumerate(LINES):
        pen.text((MARGIN, 112 + 34 * i), line, "#333333", font(26))
    room = (SIZE[0] - 2 * MARGIN, SIZE[1] - 215 - 15)
    scale = min(room[0] / demo.width, room[1] / demo.height)
    small = demo.convert("RGB").resize(
        (round(demo.width * scale), round(demo.height * scale)), Image.Resampling.LANCZOS
    )
    sheet.paste(small, (MARGIN, 230))
    return sheet


if __name__ == "__main__":
    with replacing(CARD) as temporary:
        card(Image.open(ROOT / "book/images/demo.png")).save(temporary, "PNG", optimize=True)
