"""A contact sheet: the first pictures of every cell, a row per recipe and a column per concept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.laboratory import decode
from conceptrevive.files import replacing

#: Pixels of a thumbnail, of the gap between two, and of the labels' column.
SIZE, GAP, LABELS = 64, 2, 250
TEXT = 12


def row_of(cell: Cell) -> str:
    """The label of a cell's row: its recipe, and what stands out in its settings."""
    told = cell.settings
    parts = [cell.recipe]
    if isinstance(together := told.get("together"), list):
        parts.append(f"of {len(together)}")
    if "prompt_set" in told:
        parts.append(str(told["prompt_set"]))
    changed = str(told.get("changed", ""))
    if changed == "factors":
        parts += [f"seed {told['locating_seed']}", str(told["phrasing"])]
    elif changed in ("steps", "guidance"):
        parts.append(f"{changed} {told[changed]}")
    return ", ".join(parts)


def contact_sheet(results: Sequence[Result]) -> Image.Image | None:
    """All kept pictures of an experiment on one sheet; None if it drew none."""
    rows: dict[str, dict[str, list[str]]] = {}
    for result in results:
        kept = result.numbers.get("pictures")
        if isinstance(kept, list) and kept:
            row = rows.setdefault(row_of(result.cell), {})
            row[result.cell.concept] = [str(text) for text in kept]
    if not rows:
        return None
    most = max(len(pictures) for row in rows.values() for pictures in row.values())
    concepts = list(dict.fromkeys(concept for row in rows.values() for concept in row))
    step, font = SIZE + GAP, _font()
    heads = ["\n".join(broken(Path(c).stem, most * step, font)) for c in concepts]
    lines = max(head.count("\n") + 1 for head in heads)
    top = lines * (TEXT + GAP) + GAP
    size = (LABELS + len(concepts) * most * step, top + len(rows) * step)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, head in enumerate(heads):
        at = (LABELS + i * most * step, GAP)
        pen.multiline_text(at, head, "black", font, spacing=GAP)
    for j, (label, row) in enumerate(rows.items()):
        y = top + j * step
        pen.text((GAP, y + SIZE // 2 - TEXT // 2), label, "black", font)
        for concept, pictures in row.items():
            for k, text in enumerate(pictures):
                x = LABELS + (concepts.index(concept) * most + k) * step
                sheet.paste(decode(text).resize((SIZE, SIZE)), (x, y))
    return sheet


def broken(words: str, width: float, font: ImageFont.FreeTypeFont) -> list[str]:
    """Words in lines of at most so many pixels, as far as single words fit."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font() -> ImageFont.FreeTypeFont:
    """Matplotlib's own, which every figure has, and which knows σ."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), TEXT)


def write_sheet(results: Sequence[Result], path: Path) -> bool:
    """Write the contact sheet as a PNG, to a temporary name first; whether there was one."""
    sheet = contact_sheet(results)
    if sheet is not None:
        with replacing(path) as temporary:
            sheet.save(temporary, "PNG")
    return sheet is not None
