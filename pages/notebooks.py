"""Keep every notebook equal to its percent script, and links equal to the repository's name.

    python -m pages.notebooks           write: links and lists of chapters, each .ipynb from its .py
    python -m pages.notebooks --check   only say what would change, and exit 1 if anything would
    python -m pages.notebooks --book F  write the book's notebooks into folder F, to be executed

The repository is named in `_config.yml` alone. The scripts are the source, in the book's Markdown.
The `.ipynb` beside a script is for Colab: plain Markdown, a badge and an install cell before it. A
cell whose text is unchanged keeps its id; no notebook carries outputs.
"""

from __future__ import annotations

import re
import sys
import tomllib
import uuid
from pathlib import Path

import jupytext
import nbformat
import yaml

from pages import colab, contents
from pages.numbering import ROOT, Numbers, numbers

LINKED = (
    "README.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "_config.yml",
    "pyproject.toml",
    "book/*.md",
    "notebooks/*.py",
)
#: The forms in which this repository is named. The owner may change; the name is the package's.
OWN_LINK = re.compile(
    r"(colab\.research\.google\.com/github/|github\.com/)([\w.-]+/conceptrevive)\b"
)
OWN_PAGES = re.compile(r"https://([\w-]+)\.github\.io/conceptrevive\b")
INSTALL = """\
# @title Install conceptrevive
import importlib.util
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version

# On Colab; its torch stays as it is.
if importlib.util.find_spec("conceptrevive") is None:
    source = "git+https://github.com/{slug}@{tag}"
    with tempfile.NamedTemporaryFile("w", delete=False) as keep:
        keep.write(f"torch=={{version('torch').partition('+')[0]}}\\n")
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", keep.name, source], check=True)
    os.unlink(keep.name)"""


def repository_slug() -> str:
    """`owner/name`, from `repository: url` in `_config.yml`."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    slug = config["repository"]["url"].removeprefix("https://github.com/").strip("/")
    if not re.fullmatch(r"[\w.-]+/conceptrevive", slug):
        raise ValueError(
            "repository: url in _config.yml must be https://github.com/OWNER/conceptrevive, "
            f"not {slug!r}"
        )
    return slug


def book_url() -> str:
    """Where the book is published: GitHub Pages of the repository's owner."""
    return f"https://{repository_slug().partition('/')[0].lower()}.github.io/conceptrevive/"


def release_tag() -> str:
    """The tag of the version that the notebooks belong to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"v{project['version']}"


def linked_files() -> list[Path]:
    return sorted(path for pattern in LINKED for path in ROOT.glob(pattern))


def linked(text: str, slug: str) -> str:
    """Text with every link to this repository or its pages under the configured owner."""
    owner = slug.partition("/")[0].lower()
    text = OWN_LINK.sub(rf"\g<1>{slug}", text)
    return OWN_PAGES.sub(f"https://{owner}.github.io/conceptrevive", text)


def scripts() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.py"))


def source(script: Path) -> nbformat.NotebookNode:
    """A script's notebook as the book has it, without ids: its references are filled in."""
    notebook = jupytext.read(script)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def with_references(cells: list[nbformat.NotebookNode], is_book: bool) -> None:
    """List under "## References" the works that the notebook cites."""
    for cell in cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## References"):
            cell.source = f"{cell.source}\n\n{colab.references(cells, is_book)}".strip()


def badge(script: Path) -> str:
    slug, image = repository_slug(), "https://colab.research.google.com/assets/colab-badge.svg"
    colab_url = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{script.stem}"
    page = f"{book_url()}notebooks/{script.stem}.html"
    return (
        f"[![Open in Colab]({image})]({colab_url}.ipynb)\n"
        f"A chapter of the book *conceptrevive*: [read it online]({page})."
    )


def build(script: Path, known_numbers: Numbers | None = None) -> nbformat.NotebookNode:
    """The notebook for Colab of a percent script.

    Cells take the ids of the notebook beside it wherever their text is the same.
    """
    found = known_numbers or numbers()
    code = f"https://github.com/{repository_slug()}/blob/{release_tag()}/"
    notebook = source(script)
    given = notebook.cells
    with_references(given, is_book=False)
    cells = [
        nbformat.v4.new_markdown_cell(badge(script)),
        nbformat.v4.new_code_cell(
            INSTALL.format(slug=repository_slug(), tag=release_tag()),
            metadata={"cellView": "form", "jupyter": {"source_hidden": True}},
        ),
    ]
    # The title comes first, so that the notebook is found by it.
    cells.insert(0, given[0])
    cells.extend(given[1:])
    out = []
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = colab.plain(cell.source, book_url(), code, found)
        out.append(cell)
        if cell.cell_type == "code":
            colab.folded(cell)
            if text := colab.caption(cell, found):
                plain = colab.plain(text, book_url(), code, found)
                out.append(nbformat.v4.new_markdown_cell(plain))
    notebook.cells = out
    _identify(notebook, script)
    return notebook


def _identify(notebook: nbformat.NotebookNode, script: Path) -> None:
    """Give every cell the id it had, or a new one that follows from its text; no outputs."""
    pair = script.with_suffix(".ipynb")
    known: dict[tuple[str, str], list[str]] = {}
    if pair.exists():
        for cell in nbformat.read(pair, as_version=4).cells:
            known.setdefault((cell.cell_type, cell.source), []).append(cell.get("id", ""))
    for number, cell in enumerate(notebook.cells):
        ids = known.get((cell.cell_type, cell.source))
        fresh = uuid.uuid5(uuid.NAMESPACE_URL, f"{script.name}/{number}/{cell.source}").hex[:8]
        cell["id"] = (ids.pop(0) if ids else "") or fresh
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(notebook)


def for_book(script: Path) -> nbformat.NotebookNode:
    """The notebook that the book executes and renders: MyST as written, no badge, no install."""
    notebook = source(script)
    with_references(notebook.cells, is_book=True)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{script.stem[:2]}-{number:03d}"
    nbformat.validate(notebook)
    return notebook


def write(path: Path, text: str, check: bool) -> bool:
    """Whether `path` differed from `text`; written unless `check`."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
    if not check:
        path.write_text(text, encoding="utf-8")
    return True


def main(check: bool) -> int:
    slug, changed = repository_slug(), False
    for path in linked_files():
        text = path.read_text(encoding="utf-8")
        if folder := contents.PAGES.get(path.relative_to(ROOT).as_posix()):
            text = contents.filled(text, folder)
        changed |= write(path, linked(text, slug), check)
    for script in scripts():
        changed |= write(script.with_suffix(".ipynb"), nbformat.writes(build(script)) + "\n", check)
    if check and changed:
        print("run `make sync` and commit the result", file=sys.stderr)
    return int(check and changed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--book"]:
        for each in scripts():
            nbformat.write(for_book(each), Path(sys.argv[2]) / f"{each.stem}.ipynb")
        sys.exit(0)
    sys.exit(main(check="--check" in sys.argv[1:]))
