"""Every notebook equals its script, is listed where readers look, and opens in Colab."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))
NAMES = [s.stem for s in SCRIPTS]

spec = importlib.util.spec_from_file_location("notebook_tool", ROOT / "pages/notebooks.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

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
def test_pair_has_identical_cells(script):
    source = [(c.cell_type, c.source, c.metadata) for c in jupytext.read(script).cells]
    assert [(c.cell_type, c.source, c.metadata) for c in pair(script).cells] == source, (
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
def test_code_fits_the_column_of_a_page(script):
    for cell in pair(script).cells:
        if cell.cell_type == "code":
            assert [line for line in cell.source.splitlines() if len(line) > 80] == []


@per_script
def test_figures_have_alt_text(script):
    """A cell that shows a figure, by itself or by a function of the notebook, says what is seen."""
    cells = [c for c in pair(script).cells if c.cell_type == "code"]
    drawing = {"plt.show("}
    for cell in cells:
        for name, body in re.findall(
            r"^def (\w+)\(.*?\n((?:[ \t]+.*\n|\n)+)", cell.source + "\n", re.M
        ):
            if "plt.show(" in body:
                drawing.add(f"{name}(")
    for cell in cells:
        top_level = re.findall(r"^(?!def )\S.*", cell.source, re.M)
        if any(line.startswith(tuple(drawing)) for line in top_level):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 40, f"no alt text in {script.name}:\n{cell.source}"


def test_an_executed_notebook_must_show_its_figures_and_no_warnings(tmp_path):
    def notebook(*outputs):
        cell = nbformat.v4.new_code_cell(
            "plt.show()", outputs=list(outputs), metadata={"mystnb": {"image": {"alt": "x" * 50}}}
        )
        return nbformat.v4.new_notebook(cells=[cell])

    figure = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
    warning = nbformat.v4.new_output("stream", name="stderr", text="a warning")
    for name, outputs, code in (
        ("good", (figure,), 0),
        ("bare", (), 1),
        ("noisy", (figure, warning), 1),
    ):
        folder = tmp_path / name
        folder.mkdir()
        nbformat.write(notebook(*outputs), folder / "n.ipynb")
        assert tool.check_executed(folder) == code
    assert tool.check_executed(tmp_path / "nowhere") == 1


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
def test_colab_badge_names_the_configured_repository(script):
    slug = tool.repository_slug()
    url = f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{script.stem}.ipynb"
    assert f"]({url})" in pair(script).cells[0].source
    assert f"git+https://github.com/{slug}" in script.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", tool.linked_files(), ids=lambda p: p.name)
def test_links_name_the_configured_repository(path):
    slugs = {slug for _, slug in tool.OWN_LINK.findall(path.read_text(encoding="utf-8"))}
    assert slugs <= {tool.repository_slug()}, "run `make sync`"
