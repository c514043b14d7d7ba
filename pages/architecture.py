"""Draw the package's rooms and the arrows between them from its imports (`make pages`).

    python -m pages.architecture

Writes `book/images/architecture.png` and `book/generated/architecture.md`. Nothing is typed by
hand: rooms are folders, what they hold is said by their docstrings, arrows are imports.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path

import grimp
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from conceptrevive.figures import PALETTE, theme
from conceptrevive.files import replacing
from pages.tables import GENERATED, ROOT, table

PACKAGE = ROOT / "conceptrevive"
PICTURE = ROOT / "book/images/architecture.png"
TABLE = GENERATED / "architecture.md"
GROUND = "the ground"

#: {room: the rooms it imports}
Rooms = Mapping[str, frozenset[str]]


def room_of(module: str) -> str | None:
    """The folder a module lives in; modules beside the folders are the ground everything is on."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return None
    if (PACKAGE / parts[1]).is_dir() or parts[1] == "figures":
        return parts[1]
    return GROUND


def rooms() -> Rooms:
    """Every room with those it imports, in the order of `layers`."""
    graph = grimp.build_graph("conceptrevive", cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in sorted(graph.modules):
        room = room_of(module)
        if room is None:
            continue
        below = map(room_of, graph.find_modules_directly_imported_by(module))
        found.setdefault(room, set()).update(b for b in below if b not in (None, room))
    return {room: frozenset(found[room]) for room in layers()}


def layers() -> list[str]:
    """Every room in the order of the import contract, the topmost first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]
    names = [name for layer in contract["layers"] for name in re.split(r"\s*[|:]\s*", layer)]
    return list(dict.fromkeys(room_of(f"conceptrevive.{name}") or "" for name in names))


def arrows(found: Rooms) -> list[tuple[str, str]]:
    """The imports that no longer way implies; every room may use the ground, without an arrow."""

    def below(room: str) -> set[str]:
        return {r for b in found[room] for r in {b, *below(b)}}

    return [
        (room, target)
        for room in found
        for target in sorted(found[room] - {GROUND}, key=list(found).index)
        if not any(target in below(other) for other in found[room])
    ]


def holds(room: str) -> str:
    """The first sentence of a room's docstring."""
    if room == GROUND:
        names = sorted(p.stem for p in PACKAGE.glob("*.py") if room_of(f"x.{p.stem}") == GROUND)
        return "Under every room: " + ", ".join(n for n in names if n != "__init__") + "."
    path = PACKAGE / f"{room}.py" if room == "figures" else PACKAGE / room / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def alt_text(found: Rooms) -> str:
    """The picture in words: every arrow."""
    drawn: dict[str, list[str]] = {}
    for room, target in arrows(found):
        drawn.setdefault(room, []).append(target)
    told = "; ".join(f"{room} to {', '.join(targets)}" for room, targets in drawn.items())
    return (
        f"{len(found)} boxes, one below the other, and arrows from each to those it imports: "
        f"{told}. Arrows that a longer way implies are left out; the lowest box is {GROUND}."
    )


def page(found: Rooms) -> str:
    """The picture with its alt text, and the table."""
    rows = [
        [f"`{room}`" if room != GROUND else room, holds(room), ", ".join(below) or "nothing"]
        for room in found
        for below in [[r for r in found if r in found[room]]]
    ]
    picture = f"```{{image}} images/{PICTURE.name}\n:alt: {alt_text(found)}\n:width: 460px\n```\n"
    return f"{picture}\n{table(['room', 'what it holds', 'imports'], rows)}"


WIDTH, STEP, BOX = 4.6, 0.92, 0.64  # inches: of the picture, from box to box, of a box
LEFT, RIGHT = 0.1, 3.72


def draw(found: Rooms) -> Figure:
    """Boxes from top to bottom; arrows between neighbours straight, the others at the right."""
    levels = {room: -i * STEP for i, room in enumerate(found)}
    height = STEP * len(found)
    fig = plt.figure(figsize=(WIDTH, height))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(-height + STEP / 2, STEP / 2))
    ax.axis("off")
    for room, y in levels.items():
        _box(ax, room, y)
    far = [(a, b) for a, b in arrows(found) if levels[a] - levels[b] > 1.5 * STEP]
    for a, b in arrows(found):
        if (a, b) not in far:
            _arrow(ax, (0.9, levels[a] - BOX / 2), (0.9, levels[b] + BOX / 2), "arc3", "0.25")
    colours = [c for name, c in PALETTE.items() if name not in ("control", "obfuscated_revived")]
    leaving: dict[str, int] = {}
    arriving: dict[str, int] = {}
    for a, b in far:
        span = (levels[a] - levels[b]) / STEP
        start = levels[a] + 0.2 - 0.13 * leaving.get(a, 0)
        end = levels[b] + 0.2 - 0.1 * arriving.get(b, 0)
        leaving[a], arriving[b] = leaving.get(a, 0) + 1, arriving.get(b, 0) + 1
        bend = -0.9 * (0.12 + 0.055 * span) / (span * STEP) * WIDTH * 0.62
        colour = colours[list(found).index(a) % len(colours)]
        _arrow(ax, (RIGHT, start), (RIGHT, end), f"arc3,rad={bend:.3f}", colour)
    return fig


def _box(ax: Axes, room: str, y: float) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (LEFT, y - BOX / 2),
            RIGHT - LEFT,
            BOX,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="#e3e3e3" if room == GROUND else "#f2f5f8",
            edgecolor="0.3",
            linewidth=1,
        )
    )
    text = "\n".join(textwrap.wrap(holds(room).replace("`", ""), 53))
    ax.text(LEFT + 0.12, y + 0.17, room, fontsize=11.5, weight="bold", va="center")
    ax.text(LEFT + 0.12, y - 0.1, text, fontsize=8.5, va="center", color="0.2", linespacing=1.1)


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], style: str, colour: str
) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            connectionstyle=style,
            arrowstyle="-|>",
            mutation_scale=11,
            linewidth=1.4,
            color=colour,
            shrinkA=0,
            shrinkB=0,
        )
    )


def write(picture: Path = PICTURE, text: Path = TABLE) -> None:
    """Both files; the picture carries its own alt text, by which a test sees that it is new."""
    found = rooms()
    with plt.rc_context(theme()):
        fig = draw(found)
    try:
        with replacing(picture) as temporary:
            note = {"Description": alt_text(found), "Software": None}
            fig.savefig(temporary, dpi=200, format="png", metadata=note)
    finally:
        plt.close(fig)
    with replacing(text) as temporary:
        temporary.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    write()
