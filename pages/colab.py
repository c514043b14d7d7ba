"""From a chapter's MyST Markdown to plain Markdown, which is all that Colab shows.

The scripts in `notebooks/` are written once, with the book's roles; what stands in the `.ipynb`
beside a script is made here: terms link to the published glossary, citations to the works,
figures and equations carry the book's numbers, and folded cells are Colab's forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import nbformat
from sphinx.util.nodes import _make_id as sphinx_id

from pages.numbering import EQUATION, Numbers, figure_of
from pages.works import authors, entry, short, work

ROLE = re.compile(r"\{(?P<role>[a-z:]+)\}`(?P<text>[^`]+)`")
ADMONITION = re.compile(
    r"^:::\{(?P<kind>\w+)\}[ ]*(?P<title>[^\n]*)\n(?P<dropdown>:class: dropdown\n)?"
    r"(?P<body>.*?)\n:::$",
    re.S | re.M,
)
ADMONITIONS = ("admonition", "hint", "important", "note", "seealso", "tip", "warning")
LINK = re.compile(r"\]\((?P<target>(?!https?://|#|mailto:)[^)\s]+)\)")
CITED = re.compile(r"\{cite(?::[pt])?\}`([^`]+)`")
#: What a folded cell is called where its tags do not say.
FOLDED = {"solution": "Solution", "hide-input": "Code of the figure", "hide-cell": "More"}


class Unknown(ValueError):
    """Markup that Colab would show as raw text."""


def cited(cells: list[nbformat.NotebookNode]) -> list[str]:
    """Keys of the works that a notebook cites, in the order of their first mention."""
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    return list(dict.fromkeys(k.strip() for keys in CITED.findall(text) for k in keys.split(",")))


def references(cells: list[nbformat.NotebookNode], is_book: bool) -> str:
    """The list under a chapter's "References": numbered in the book as in its bibliography."""
    mark = "{{cite}}`{key}` " if is_book else ""
    return "\n".join(f"- {mark.format(key=key)}{entry(key)}" for key in cited(cells))


def plain(text: str, book: str, code: str, numbers: Numbers) -> str:
    """One Markdown cell without MyST.

    Args:
        book: address of the published book. code: address of the repository's files.

    Raises Unknown for a role, directive or relative link that cannot be told plainly.
    """

    def role(match: re.Match[str]) -> str:
        if match["role"] not in ROLES:
            raise Unknown(f"role {match[0]!r}: Colab shows only {', '.join(ROLES)}")
        return ROLES[match["role"]](match["text"], book, numbers)

    def equation(match: re.Match[str]) -> str:
        return f"$$\n{match['body']} \\tag{{{numbers.equations[match['label']]}}}\n$$"

    def link(match: re.Match[str]) -> str:
        return f"]({_address(match['target'], book, code)})"

    text = ADMONITION.sub(_admonition, text)
    if odd := re.search(r"^(:::|```\{).*|^\(.+\)=$", text, re.M):
        raise Unknown(f"directive {odd[0]!r}: Colab shows only {', '.join(ADMONITIONS)}")
    return LINK.sub(link, ROLE.sub(role, EQUATION.sub(equation, text)))


def _admonition(match: re.Match[str]) -> str:
    kind, body = match["kind"], match["body"].strip()
    if kind not in ADMONITIONS:
        raise Unknown(f"directive {kind!r}: Colab shows only {', '.join(ADMONITIONS)}")
    title = match["title"].strip() or kind.capitalize()
    if match["dropdown"]:
        return f"<details><summary><b>{title}</b></summary>\n\n{body}\n\n</details>"
    quoted = "\n".join(f"> {line}".rstrip() for line in body.splitlines())
    return f"> **{title}**\n>\n{quoted}"


def _address(target: str, book: str, code: str) -> str:
    """A relative link's address on the web."""
    path, _, anchor = target.partition("#")
    end = f"#{anchor}" if anchor else ""
    if match := re.fullmatch(r"(?:\.\./)?(?:notebooks/)?(\d\d_\w+)\.ipynb", path):
        return f"{book}notebooks/{match[1]}.html{end}"
    if match := re.fullmatch(r"\.\./book/([\w-]+)\.md", path):
        return f"{book}book/{match[1]}.html{end}"
    if path.startswith("../"):
        return f"{code}{path[3:]}{end}"
    raise Unknown(f"link {target!r}: give ../book/PAGE.md, NN_slug.ipynb or a full address")


def _term(text: str, book: str, _: Numbers) -> str:
    shown, target = _parts(text)
    return f"[{shown}]({book}book/glossary.html#term-{sphinx_id(target)})"


def _parts(text: str) -> tuple[str, str]:
    """`shown <target>`, or one word for both."""
    match = re.fullmatch(r"(.+?)\s*<(.+)>", text, re.S)
    return (match[1], match[2]) if match else (text, text)


def _cite(text: str, *_: object) -> str:
    return "(" + ", ".join(short(key.strip()) for key in text.split(",")) + ")"


def _cite_text(text: str, *_: object) -> str:
    keys = [key.strip() for key in text.split(",")]
    return ", ".join(
        f"{authors(k)} ([{work(k).fields['year']}]({work(k).fields['url']}))" for k in keys
    )


def _numref(text: str, _: str, numbers: Numbers) -> str:
    shown, target = _parts(text)
    if target not in numbers.figures:
        raise Unknown(f"no figure is named {target!r}")
    number = numbers.figures[target]
    return f"Figure {number}" if shown == target else shown.replace("%s", number)


def _eq(text: str, _: str, numbers: Numbers) -> str:
    if text not in numbers.equations:
        raise Unknown(f"no equation is labelled {text!r}")
    return f"({numbers.equations[text]})"


ROLES: dict[str, Callable[[str, str, Numbers], str]] = {
    "term": _term,
    "cite": _cite,
    "cite:p": _cite,
    "cite:t": _cite_text,
    "numref": _numref,
    "eq": _eq,
}


def folded(cell: nbformat.NotebookNode) -> None:
    """Fold a code cell in Colab as its tags fold it in the book."""
    tags = cell.metadata.get("tags", [])
    name = next((shown for tag, shown in FOLDED.items() if tag in tags), None)
    if "hide-input" in tags and not figure_of(cell):
        name = "Code"
    if name:
        cell.source = f"# @title {name}\n{cell.source}"
        cell.metadata["cellView"] = "form"
        cell.metadata["jupyter"] = {"source_hidden": True}


def caption(cell: nbformat.NotebookNode, numbers: Numbers) -> str:
    """What stands under a figure in Colab; "" where a cell draws none."""
    figure = figure_of(cell)
    if not figure:
        return ""
    return f"**Figure {numbers.figures[figure['name']]}.** {figure['caption']}"
