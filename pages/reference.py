"""The reference of Python names and of the command line, from the code itself.

    python -m pages.reference FOLDER

Writes `api.md`, `commands.md` and, from `runtimes.json` beside the executed notebooks, `status.md`
into FOLDER while the book is built: they are never out of date.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

import conceptrevive
from conceptrevive.cli.app import NAME, app
from pages.executed import ALTOGETHER, BUDGET
from pages.numbering import ROOT, chapters
from pages.tables import table

SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):\s*(.*)$")
#: Rooms of the package in the order of the data flow, and what a reader looks for there.
ROOMS = {
    "models": "Models",
    "concepts": "Concepts",
    "unlearning": "Erasing",
    "revival": "Reviving",
    "defence": "Defending",
    "evaluation": "Measuring",
    "auditing": "Auditing",
    "intervals": "Intervals",
    "errors": "Errors",
}
WORDS = {"Args": "Arguments"}


class Written(str):
    """An annotation that shows as it was written."""

    def __repr__(self) -> str:
        return str(self)


def signature(name: str, thing: Any) -> str:
    """A call with its types, one argument a line where it is long."""
    found = inspect.signature(thing)
    bare = inspect.Signature.empty
    given = [
        p if p.annotation is bare else p.replace(annotation=Written(p.annotation))
        for p in found.parameters.values()
    ]
    result = found.return_annotation
    back = bare if result is bare else Written(result)
    whole = f"{name}{found.replace(parameters=given, return_annotation=back)}"
    if len(whole) <= 80:
        return whole
    parts, open_brackets, current = [], 0, ""
    inside, _, result = whole[len(name) + 1 :].rpartition(") -> ")
    for sign in inside or whole[len(name) + 1 : -1]:
        open_brackets += (sign in "[(") - (sign in "])")
        if sign == "," and not open_brackets:
            parts.append(current.strip())
            current = ""
        else:
            current += sign
    parts.append(current.strip())
    lines = "\n".join(f"    {part}," for part in parts)
    return f"{name}(\n{lines}\n)" + (f" -> {result}" if inside else "")


def described(text: str) -> str:
    """A docstring as Markdown: sections become lists, shapes and names stay as they are."""
    out: list[str] = []
    in_section = False
    for line in inspect.cleandoc(text).splitlines():
        if match := SECTION.match(line):
            in_section = True
            out += ["", f"**{WORDS.get(match[1], match[1])}.** {match[2]}".rstrip()]
            if not match[2]:
                out.append("")
        elif in_section and line and not line.startswith(" "):
            in_section = False
            out += ["", line]
        elif in_section and re.match(r"^ {4}[\w, ]+(\([^)]*\))?: ", line):
            name, _, rest = line.strip().partition(": ")
            out.append(f"- `{name}`: {rest}")
        else:
            out.append(("  " + line.strip() if in_section else line).rstrip())
    return escaped("\n".join(out)).strip()


def escaped(text: str) -> str:
    """Text in which Markdown sees no mark-up but code and lists."""
    parts = re.split(r"(`[^`]*`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<!\*)\*(?!\*)|[_$<\[\]{}|]", lambda m: "\\" + m[0], parts[i])
    return "".join(parts)


def one(name: str) -> str:
    """The entry of a public name."""
    thing = getattr(conceptrevive, name)
    text = inspect.getdoc(thing) or ""
    first = escaped(text.split("\n\n")[0].replace("\n", " "))
    lines = [f"### `{name}`", "", first, "", f"::::{{dropdown}} `{thing.__module__}.{name}`", ""]
    if not (inspect.isclass(thing) and issubclass(thing, Exception)):
        lines += ["```python", signature(name, thing), "```", ""]
    lines += [described(text.partition("\n\n")[2]), ""]
    if dataclasses.is_dataclass(thing):
        methods: list[tuple[str, Callable[..., Any]]] = [
            (n, v) for n, v in vars(thing).items() if not n.startswith("_") and inspect.getdoc(v)
        ]
        shown = [(n, v) for n, v in methods if callable(v) or isinstance(v, property | classmethod)]
        for each, method in shown:
            first = escaped((inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " "))
            lines.append(f"- `.{each}`: {first}")
    return "\n".join([*lines, "::::", ""])


def api() -> str:
    """Every public name, room by room."""
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for name in conceptrevive.__all__:
        rooms[getattr(conceptrevive, name).__module__.split(".")[1]].append(name)
    parts = [
        f"## {ROOMS[room]}\n\n" + "\n".join(map(one, names))
        for room, names in rooms.items()
        if names
    ]
    return "\n".join(parts)


def commands() -> str:
    """Every command with its options, as Typer tells them."""
    click = typer.main.get_command(app)
    text = get_docs_for_click(obj=click, ctx=typer.Context(click), name=NAME)
    text = text[text.index("## `") :]
    return re.sub(r"^## `conceptrevive (\w+)`", r"## `\1`", text, flags=re.M)


def status(folder: Path) -> str:
    """How long every chapter ran when this book was built."""
    made = json.loads((folder / "runtimes.json").read_text(encoding="utf-8"))
    numbered = chapters()
    rows = [
        [
            numbered.get(stem, ""),
            f"[{stem}](../notebooks/{stem}.ipynb)",
            f"{s:.0f}",
            "ran through",
        ]
        for stem, s in made["seconds"].items()
    ]
    total = sum(made["seconds"].values())
    rows.append(["", "**all**", f"**{total:.0f}**", ""])
    return (
        f"{table(['No.', 'Notebook', 'Seconds', 'Status'], rows)}\n"
        f"Run on {made['date'][:10]} on {made['machine']}, Python {made['python']}. A chapter may "
        f"take {BUDGET:.0f} s, all, two at once, {ALTOGETHER:.0f} s; else the book is not built.\n"
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    (target / "api.md").write_text(api(), encoding="utf-8")
    (target / "commands.md").write_text(commands(), encoding="utf-8")
    (target / "status.md").write_text(status(ROOT / "build/book/notebooks"), encoding="utf-8")
