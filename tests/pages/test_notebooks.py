"""Every notebook equals its script, is listed where readers look, and opens in Colab."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from pages import contents
from pages import notebooks as tool

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
NAMES = [s.stem for s in SCRIPTS]

per_script = pytest.mark.parametrize("script", SCRIPTS, ids=NAMES)


def pair(script: Path) -> nbformat.NotebookNode:
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def toc_files(node) -> list[str]:
    if isinstance(node, list):
        return [f for n in node for f in toc_files(n)]
    if isinstance(node, dict):
        return [
            f for k, v in node.items() for f in ([v] if k in ("file", "root") else toc_files(v))
        ]
    return []


def test_every_notebook_has_a_script():
    assert NAMES and NAMES == sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))


@per_script
def test_the_pair_is_what_the_script_makes(script):
    made = [(c.cell_type, c.source, c.metadata) for c in tool.build(script).cells]
    assert [(c.cell_type, c.source, c.metadata) for c in pair(script).cells] == made, (
        "run `make sync`"
    )


@per_script
def test_no_outputs_and_stable_ids(script):
    notebook = pair(script)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    ids = [c.id for c in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert ids == [c.id for c in tool.build(script).cells], "building again must not change an id"


@per_script
def test_one_title_that_comes_first(script):
    titles = [
        (number, line)
        for number, cell in enumerate(pair(script).cells)
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("# ")
    ]
    assert len(titles) == 1 and titles[0][0] == 0


@per_script
def test_colab_shows_plain_markdown(script):
    for cell in pair(script).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[a-z:]+\}`|^:::|^\$\$.*\(eq-", cell.source, re.M), cell.source
            bare = re.sub(r"`[^`]*`|```.*?```", "", cell.source, flags=re.S)
            for target in re.findall(r"\]\(([^)\s]+)\)", bare):
                assert target.startswith("https://"), target


@per_script
def test_code_of_the_book_and_of_colab_is_the_same(script):
    book = [c.source for c in tool.for_book(script).cells if c.cell_type == "code"]
    colab = [
        re.sub(r"^# @title .*\n", "", c.source) for c in pair(script).cells if c.cell_type == "code"
    ]
    assert "pip" in colab[0] and colab[1:] == book


def test_readme_and_contents_list_exactly_the_notebooks():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sorted(set(re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", readme))) == NAMES
    files = toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
    assert [f for f in files if f.startswith("notebooks/")] == [
        f"notebooks/{n}.ipynb" for n in NAMES
    ]
    for file in files:
        assert (ROOT / file).exists() or (ROOT / f"{file}.md").exists()


@per_script
def test_badge_and_install_name_the_configured_repository_and_release(script):
    slug, cells = tool.repository_slug(), pair(script).cells
    url = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{script.stem}.ipynb"
    assert f"]({url})" in cells[1].source
    assert f"git+https://github.com/{slug}@{tool.release_tag()}" in cells[2].source
    assert "https://" not in "".join(c.source for c in tool.source(script).cells[:1])


@pytest.mark.parametrize("path", tool.linked_files(), ids=lambda p: p.name)
def test_links_name_the_configured_repository(path):
    text = path.read_text(encoding="utf-8")
    assert tool.linked(text, tool.repository_slug()) == text, "run `make sync`"


def test_another_owner_is_carried_everywhere():
    text = "https://github.com/a/conceptrevive https://a.github.io/conceptrevive/x.html"
    assert tool.linked(text, "B-c/conceptrevive") == (
        "https://github.com/B-c/conceptrevive https://b-c.github.io/conceptrevive/x.html"
    )


@pytest.mark.parametrize("page", contents.PAGES)
def test_chapters_are_listed_from_their_own_first_cells(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert contents.filled(text, contents.PAGES[page]) == text, "run `make sync`"
    row = contents.line(1, "01_quickstart", "x/")
    assert row.startswith(
        "| 1 | [Erase, revive and defend in five minutes](x/01_quickstart.ipynb) | "
    )
    assert row.endswith(" | 3 |") and "{" not in row
    with pytest.raises(ValueError, match="no place for the chapters"):
        contents.filled("# A page\n", "x/")
