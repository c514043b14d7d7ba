"""The tables that list the chapters, in `README.md` and on the landing page, from the chapters."""

from __future__ import annotations

import re

import yaml

from pages.conventions import TIME, Chapter
from pages.numbering import ROOT

BEGIN, END = "<!-- chapters -->\n", "<!-- end of chapters -->"
#: Text file → how it reaches the notebooks.
PAGES = {"README.md": "notebooks/", "book/intro.md": "../notebooks/"}


def parts() -> dict[str, list[str]]:
    """The numbered parts of the book, and the notebooks' stems in each."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return {
        part["caption"]: [
            chapter["file"].removeprefix("notebooks/").removesuffix(".ipynb")
            for chapter in part["chapters"]
        ]
        for part in contents["parts"]
        if part.get("numbered")
    }


def line(number: int, stem: str, folder: str) -> str:
    """One row: number, linked title, what the reader will be able to do, minutes to run."""
    first = Chapter.read(ROOT / f"notebooks/{stem}.py").cells[0].source
    title = first.splitlines()[0].removeprefix("# ")
    able = re.search(r"- \*\*You will be able to\*\* (.+?)\n- \*\*", first, re.S)
    time = TIME.search(" ".join(first.split()))
    if able is None or time is None:
        raise ValueError(f"notebooks/{stem}.py: its first cell lacks what the reader gains or Time")
    what = re.sub(r"\{\w+\}`([^`<]+?)(?: <[^`]+>)?`", r"\1", " ".join(able[1].split()))
    return f"| {number} | [{title}]({folder}{stem}.ipynb) | {what} | {time[2]} |"


def table(folder: str) -> str:
    """All chapters, part by part."""
    rows = ["| No. | Chapter | You will be able to | Minutes on two cores |", "|---|---|---|---|"]
    number = 0
    for caption, stems in parts().items():
        rows.append(f"| **{caption.partition(':')[0]}** | **{caption.partition(': ')[2]}** | | |")
        for stem in stems:
            number += 1
            rows.append(line(number, stem, folder))
    return "\n".join(rows) + "\n"


def filled(text: str, folder: str) -> str:
    """A page's text with its table of chapters as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"no place for the chapters: put {BEGIN.strip()} and {END} around it")
    return f"{before}{BEGIN}{table(folder)}{END}{after}"
