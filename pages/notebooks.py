"""Keep every notebook equal to its percent script, and links equal to the repository's name.

    python -m pages.notebooks           write: links in text files, then each .ipynb from its .py
    python -m pages.notebooks --check   only say what would change, and exit 1 if anything would
    python -m pages.notebooks --ran F   say which executed notebooks in folder F lack a figure or
                                        show a warning, and exit 1

The repository is named in `_config.yml` alone. The scripts are the source. A cell whose text is
unchanged keeps its id; the notebooks carry no outputs.
"""

from __future__ import annotations

import re
import sys
import uuid
from pathlib import Path

import jupytext
import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("README.md", "CONTRIBUTING.md", "pyproject.toml", "book/*.md", "notebooks/*.py")
#: The forms in which this repository is named. The owner may change; the name is the package's.
OWN_LINK = re.compile(
    r"(colab\.research\.google\.com/github/|github\.com/)([\w.-]+/conceptrevive)\b"
)


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


def linked_files() -> list[Path]:
    return sorted(path for pattern in LINKED for path in ROOT.glob(pattern))


def scripts() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.py"))


def build(script: Path) -> nbformat.NotebookNode:
    """The notebook of a percent script.

    Cells take the ids of the notebook beside it wherever their text is the same.
    """
    notebook = jupytext.read(script)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
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
    return notebook


def write(path: Path, text: str, check: bool) -> bool:
    """Whether `path` differed from `text`; written unless `check`."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
    if not check:
        path.write_text(text, encoding="utf-8")
    return True


def faults(notebook: nbformat.NotebookNode) -> list[str]:
    """What a reader of an executed notebook would miss or wonder at.

    That is alt text without its figure, and standard error.
    """
    out = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        described = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
        if described and not any("image/png" in o.get("data", {}) for o in outputs):
            out.append(f"no figure, but alt text: {described[:60]}…")
        out += [
            f"standard error: {o.text.strip()[:120]}" for o in outputs if o.get("name") == "stderr"
        ]
    return out


def check_executed(folder: Path) -> int:
    """0 if every executed notebook in `folder` is as a reader expects it."""
    found = {p.name: faults(nbformat.read(p, as_version=4)) for p in sorted(folder.glob("*.ipynb"))}
    for name, what in found.items():
        print(*(f"{name}: {w}" for w in what), sep="\n", end="\n" * bool(what), file=sys.stderr)
    return int(not found or any(found.values()))


def main(check: bool) -> int:
    slug, changed = repository_slug(), False
    for path in linked_files():
        changed |= write(
            path, OWN_LINK.sub(rf"\g<1>{slug}", path.read_text(encoding="utf-8")), check
        )
    for script in scripts():
        changed |= write(script.with_suffix(".ipynb"), nbformat.writes(build(script)) + "\n", check)
    if check and changed:
        print("run `make sync` and commit the result", file=sys.stderr)
    return int(check and changed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ran"]:
        sys.exit(check_executed(Path(sys.argv[2])))
    sys.exit(main(check="--check" in sys.argv[1:]))
