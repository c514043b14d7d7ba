"""The rules of the house: imports go down, modules are small, functions say what they do."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import conceptrevive

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "conceptrevive"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES = 250
FMT_SKIP = 20


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("conceptrevive", include_external_packages=True, cache_dir=None)


def test_every_import_contract_is_kept():
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_nothing_in_the_package_imports_the_package_itself(graph):
    """`import conceptrevive` loads everything: a module that did it would import upwards."""
    assert graph.find_modules_that_directly_import("conceptrevive") <= {"conceptrevive.__main__"}


def test_tensor_mathematics_imports_no_diffusers(graph):
    for below in ("unlearning.masks", "revival", "detectors", "defence"):
        for library in ("diffusers", "transformers"):
            chain = graph.find_shortest_chain(f"conceptrevive.{below}", library, as_packages=True)
            assert chain is None


def test_no_module_is_named_like_a_public_name():
    names = {part for path in MODULES for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert names & set(conceptrevive.__all__) == set()


def test_modules_are_short():
    long = {
        str(path.relative_to(PACKAGE)): n
        for path in MODULES
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > LINES
    }
    assert long == {}, f"more than {LINES} lines"


def public_definitions():
    """(file, class or "", definition) of every public function and method of the package."""
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield path, "", node
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for part in node.body:
                    if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                        yield path, node.name, part


def test_every_public_function_and_class_has_a_docstring():
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno} {owner and owner + '.'}{node.name}"
        for path, owner, node in public_definitions()
        if not ast.get_docstring(node)
    ]
    assert bare == []


@pytest.mark.parametrize("name", conceptrevive.__all__)
def test_every_public_name_says_what_it_does(name):
    doc = inspect.getdoc(getattr(conceptrevive, name))
    assert doc and doc.split("\n\n")[0].endswith((".", "?", ":")), "a sentence first"


def test_formatting_is_switched_off_for_few_tables():
    files = [p for p in ROOT.rglob("*.py") if not {".venv", "build"} & set(p.parts)]
    mark = "# fmt: " + "skip"
    assert sum(p.read_text(encoding="utf-8").count(mark) for p in files) <= FMT_SKIP
    assert not any("# fmt: " + "off" in p.read_text(encoding="utf-8") for p in files)
