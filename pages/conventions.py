"""What every chapter must have, told from its script alone (CONTRIBUTING: "Writing a chapter").

Each rule is a function from a chapter to the faults it finds; `RULES` lists them.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat

from pages.colab import CITED
from pages.executed import BUDGET
from pages.numbering import figure_of
from pages.terms import entries, first_uses
from pages.works import works

#: Cells of the text, from the title to the summary; exercises and the closing are not counted.
CELLS = range(15, 31)
#: Columns and lines of a cell of code.
COLUMNS, LINES = 80, 30
OPENING = ("You will be able to", "Prerequisites:", "Time:", "Hardware:")
CLOSING = ("Summary", "What could be wrong", "Exercises", "References", "Versions")
EXERCISE = re.compile(r"^### Exercise (\d+): (.+) \((●○○|●●○|●●●), (\d+) minutes\)$", re.M)
TIME = re.compile(
    r"\*\*Time:\*\* (\d+) minutes? to read, ([\d.]+) minutes? to run, "
    r"(\d+) minutes? for the exercises"
)
PREDICT = ":::{admonition} Predict before you run"
#: At the start of a cell's last lines, these show a figure that moves.
MOVING = ("slider_pictures(", "compare_pictures(", "explore(")
#: Tags of cells whose code is folded.
FOLDED = {"hide-input", "hide-cell"}


@dataclass(frozen=True)
class Chapter:
    """A chapter's script, read."""

    stem: str
    cells: tuple[nbformat.NotebookNode, ...]

    @classmethod
    def read(cls, script: Path) -> Chapter:
        return cls(script.stem, tuple(jupytext.read(script).cells))

    @property
    def slug(self) -> str:
        return self.stem.partition("_")[2]

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        return [c for c in self.cells if c.cell_type == "code"]

    @property
    def prose(self) -> str:
        return "\n\n".join(c.source for c in self.cells if c.cell_type == "markdown")

    @property
    def whole_code(self) -> str:
        return "\n".join(c.source for c in self.code)

    def tagged(self, tag: str) -> list[nbformat.NotebookNode]:
        return [c for c in self.code if tag in c.metadata.get("tags", [])]


def headings(text: str) -> list[str]:
    """Headings of the first two levels, outside of fenced code, with their marks."""
    bare = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    return re.findall(r"^##? .+$", bare, re.M)


def opening(chapter: Chapter) -> Iterator[str]:
    """One title, first; then what the reader gains, needs, and how long it takes."""
    titles = [h for h in headings(chapter.prose) if h.startswith("# ")]
    first = chapter.cells[0]
    if len(titles) != 1 or not first.source.startswith("# "):
        yield f"{len(titles)} titles: one, at the start of the first cell"
    for name in OPENING:
        if f"- **{name}" not in first.source:
            yield f"the first cell lacks the line '- **{name}**'"
    time = TIME.search(" ".join(first.source.split()))
    if time is None:
        yield "Time: give 'N minutes to read, N minutes to run, N minutes for the exercises.'"
    elif float(time[2]) > BUDGET / 60:
        yield f"{time[2]} minutes to run, more than {BUDGET / 60:.0f}"
    else:
        minutes = sum(int(m) for *_, m in EXERCISE.findall(chapter.prose))
        if int(time[3]) != minutes:
            yield f"{time[3]} minutes for the exercises, whose own come to {minutes}"


def closing(chapter: Chapter) -> Iterator[str]:
    """The last sections, in their order, and nothing after the versions."""
    found = [h.removeprefix("## ") for h in headings(chapter.prose) if h.startswith("## ")]
    if tuple(found[-len(CLOSING) :]) != CLOSING:
        yield f"the last sections are {found[-len(CLOSING) :]}, and should be {list(CLOSING)}"
    if chapter.cells[-1].source.strip() != "versions()":
        yield "the last cell should be versions()"


def size(chapter: Chapter) -> Iterator[str]:
    """Short cells, and 15 to 30 of them before the summary's."""
    sources = [c.source for c in chapter.cells]
    body = next((i for i, s in enumerate(sources) if s.startswith("## Summary")), len(sources))
    if body not in CELLS:
        yield f"{body} cells before the summary's: {CELLS[0]} to {CELLS[-1]}"
    for cell in chapter.code:
        lines = cell.source.splitlines()
        yield from (f"more than {COLUMNS} columns: {x}" for x in lines if len(x) > COLUMNS)
        if len(lines) > LINES:
            yield f"{len(lines)} lines in the cell that begins {lines[0]!r}: {LINES} at most"


def seed(chapter: Chapter) -> Iterator[str]:
    """One RANDOM_SEED, and no draw without a seed."""
    if len(re.findall(r"^RANDOM_SEED = \d+", chapter.whole_code, re.M)) != 1:
        yield "set RANDOM_SEED once"
    for call in ("np.random.seed", "torch.manual_seed", "random.seed", "default_rng()"):
        if call in chapter.whole_code:
            yield f"{call}: pass RANDOM_SEED to a generator of its own"


def names(chapter: Chapter) -> Iterator[str]:
    """Functions use their arguments, imports, functions and CONSTANTS: no hidden globals."""
    table = symtable.symtable(chapter.whole_code, chapter.stem, "exec")
    known = {s.get_name() for s in table.get_symbols() if s.is_imported()}
    tree = ast.parse(chapter.whole_code)
    known |= {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    # Scopes, and the function of the notebook that they belong to; a comprehension has its own.
    stack = [(child, "") for child in table.get_children()]
    while stack:
        scope, owner = stack.pop()
        defined = scope.get_type() == "function" and scope.get_name() in known
        owner = owner or (scope.get_name() if defined else "")
        stack += [(child, owner) for child in scope.get_children()]
        for symbol in scope.get_symbols() if owner else ():
            used = symbol.get_name()
            hidden = symbol.is_global() and used not in known and not hasattr(builtins, used)
            if hidden and not re.fullmatch(r"[A-Z][A-Z0-9_]*", used):
                yield f"{owner}() uses the global {used!r}: give it as an argument"


def figures(chapter: Chapter) -> Iterator[str]:
    """Every figure has a name of this chapter and a caption, and is referred to; one moves."""
    found = [figure_of(c) for c in chapter.code if figure_of(c)]
    for cell in chapter.code:
        told, alt = figure_of(cell), cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
        if told:
            if not re.fullmatch(rf"fig-{chapter.slug.replace('_', '-')}-[a-z0-9-]+", told["name"]):
                yield f"figure {told['name']!r}: name it fig-{chapter.slug.replace('_', '-')}-…"
            if len(told.get("caption", "")) < 20:
                yield f"figure {told['name']!r} has no caption"
            if f"{{numref}}`{told['name']}`" not in chapter.prose:
                yield f"figure {told['name']!r} is not referred to by {{numref}}"
        moving = any(line.startswith(MOVING) for line in cell.source.splitlines())
        if told and not moving and len(alt or "") < 40:
            yield f"figure {told['name']!r} has no alt text"
        if (moving or "plt.show(" in cell.source) and not told:
            yield f"a figure without name and caption: {cell.source[:60]!r}"
    if not found:
        yield "no figures"
    if not any(call in chapter.whole_code for call in MOVING):
        yield f"no figure that moves: use one of {', '.join(MOVING)}…)"


def folded(chapter: Chapter) -> Iterator[str]:
    """Whoever reads sees a figure, and its code only on demand."""
    for cell in chapter.code:
        if "plt." in cell.source and not FOLDED & {*cell.metadata.get("tags", [])}:
            yield f"plotting code that is not folded: {cell.source[:60]!r}"


def exercises(chapter: Chapter) -> Iterator[str]:
    """Three or more, each with a hint, a cell to answer in, a check and a folded solution."""
    text = chapter.prose
    found = [int(number) for number, *_ in EXERCISE.findall(text)]
    if len(found) < 3 or found != list(range(1, len(found) + 1)):
        yield f"exercises {found}: three or more, '### Exercise 1: title (●○○, 5 minutes)'"
    if text.count(":::{admonition} Hint\n:class: dropdown") < len(found):
        yield "every exercise needs a hint: ':::{admonition} Hint' with ':class: dropdown'"
    solutions = "\n".join(c.source for c in chapter.tagged("solution"))
    asked = "\n".join(
        c.source for c in chapter.code if "solution" not in c.metadata.get("tags", [])
    )
    for number in found:
        call = f'check("{chapter.slug}.{number}", '
        if not re.search(r"= \.\.\.$", asked, re.M) or call not in asked:
            yield f"exercise {number} has no cell with '= ...' and {call}…)"
        if call not in solutions:
            yield f"exercise {number} has no solution with {call}…)"
    for cell in chapter.tagged("solution"):
        if "hide-cell" not in cell.metadata["tags"]:
            yield f"a solution that is not folded: {cell.source[:60]!r}"


def teaching(chapter: Chapter) -> Iterator[str]:
    """Questions before answers; the bare algorithm, and that the package agrees with it."""
    if chapter.prose.count(PREDICT) < 2:
        yield f"ask the reader twice or more: {PREDICT}"
    if not chapter.tagged("bare"):
        yield "show the algorithm in its barest form, in a cell tagged bare"
    if not any("assert " in c.source for c in chapter.tagged("agrees")):
        yield "assert in a cell tagged agrees that the package does what the bare form does"


def references(chapter: Chapter) -> Iterator[str]:
    """Terms link to the glossary, works to the bibliography; equations carry labels."""
    for word, use in first_uses(chapter.prose, entries()):
        yield f"link {word!r} at its first use, {{term}}`{word}`: {use[0]!r} at {use.start()}"
    cited = [k.strip() for keys in CITED.findall(chapter.prose) for k in keys.split(",")]
    if not cited:
        yield "cite what the chapter builds on: {cite}`zhang2026roots`"
    yield from (f"no work {k!r} in book/references.bib" for k in cited if k not in works().entries)
    bare = re.sub(r"```.*?```", "", chapter.prose, flags=re.S)
    for equation in re.findall(r"^\$\$\n.*?^\$\$.*?$", bare, re.S | re.M):
        label = re.search(r"^\$\$ \(eq-([\w-]+)\)$", equation, re.M)
        if not label or not label[1].startswith(chapter.slug.replace("_", "-")):
            yield f"label the equation (eq-{chapter.slug.replace('_', '-')}-…): {equation[:50]!r}"


RULES: tuple[Callable[[Chapter], Iterator[str]], ...] = (
    opening,
    closing,
    size,
    seed,
    names,
    figures,
    folded,
    exercises,
    teaching,
    references,
)
