"""Numbers of chapters, figures and equations, the same in the book and in Colab.

The book's are Sphinx's: chapters are counted in the order of `_toc.yml`, figures and equations
within their chapter. Colab has no Sphinx, so they are counted here by the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jupytext
import nbformat
import yaml

ROOT = Path(__file__).parents[1]

#: MyST's displayed equation with a label: $$ ... $$ (label)
EQUATION = re.compile(r"\$\$\n?(?P<body>.+?)\n?\$\$ \((?P<label>[\w-]+)\)", re.S)


@dataclass(frozen=True)
class Numbers:
    """Label → number of every chapter (by its file's stem), figure and equation."""

    chapters: dict[str, str] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    equations: dict[str, str] = field(default_factory=dict)


def figure_of(cell: nbformat.NotebookNode) -> dict[str, str]:
    """The name and caption of the figure that a cell draws; {} of other cells."""
    return dict(cell.metadata.get("mystnb", {}).get("figure", {}))


def chapters() -> dict[str, str]:
    """A notebook's stem → its chapter's number."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    numbered = [part for part in contents["parts"] if part.get("numbered")]
    files = [chapter["file"] for part in numbered for chapter in part["chapters"]]
    return {
        file.removeprefix("notebooks/").removesuffix(".ipynb"): str(number)
        for number, file in enumerate(files, 1)
    }


@cache
def numbers() -> Numbers:
    """Of every notebook in the table of contents. Raises ValueError for a label used twice."""
    found = Numbers(chapters())
    for stem, chapter in found.chapters.items():
        script = ROOT / f"notebooks/{stem}.py"
        if script.exists():
            number(jupytext.read(script).cells, chapter, found)
    return found


def number(cells: Sequence[nbformat.NotebookNode], chapter: str, found: Numbers) -> None:
    """Add the figures and equations of one chapter's cells."""
    figures = equations = 0
    for cell in cells:
        if name := figure_of(cell).get("name"):
            figures += 1
            _add(found.figures, name, f"{chapter}.{figures}")
        if cell.cell_type == "markdown":
            for match in EQUATION.finditer(cell.source):
                equations += 1
                _add(found.equations, match["label"], f"{chapter}.{equations}")


def _add(known: dict[str, str], label: str, value: str) -> None:
    if label in known:
        raise ValueError(
            f"the label {label!r} is used twice: give each figure and equation its own"
        )
    known[label] = value
