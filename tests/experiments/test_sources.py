"""Which code a kept part depends on: found by itself, whatever way it is imported."""

import importlib
import sys
from functools import partial

import pytest

from conceptrevive.experiments.controls import Attack, random_masks
from conceptrevive.experiments.sources import code_digest, module_of, reached

FILES = {
    "__init__.py": "",
    "table.py": "import lab.middle\nfrom lab import plain\n\n\ndef measure(cell):\n"
    "    from lab.deep import inner as i\n\n    return i\n",
    "middle.py": "from . import sibling\n",
    "sibling.py": "import importlib\nnamed = importlib.import_module('lab.named')\n",
    "named.py": "TEN = 10\n",
    "plain.py": "ONE = 1\n",
    "deep/__init__.py": "",
    "deep/inner.py": 'def two():\n    """Two."""\n    return 2  # two\n',
    "cli.py": "from lab import table\n",
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A package of its own on the path; its folder."""
    for name, text in FILES.items():
        file = tmp_path / "lab" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path / "lab"
    for name in [m for m in sys.modules if m.partition(".")[0] == "lab"]:
        del sys.modules[name]


def test_imports_are_followed_whatever_way_they_are_written(lab):
    assert reached(["lab.table"]) == [
        "lab.deep",
        "lab.deep.inner",
        "lab.middle",
        "lab.named",
        "lab.plain",
        "lab.sibling",
        "lab.table",
    ]


@pytest.mark.parametrize("name", ["deep/inner.py", "named.py", "plain.py", "table.py"])
def test_a_change_anywhere_below_changes_the_digest(lab, name):
    before = code_digest("lab.table")
    (lab / name).write_text(FILES[name] + "\nLATER = 3\n")
    assert code_digest("lab.table") != before


def test_comments_docstrings_layout_and_other_modules_do_not(lab):
    before = code_digest("lab.table")
    text = 'def two():\n    """Two, as ever."""\n\n    # the sum of one and one\n    return (2)\n'
    (lab / "deep/inner.py").write_text(text)
    (lab / "cli.py").write_text("print('another command')\n")
    (lab / "__init__.py").write_text("VERSION = 2\n")
    assert code_digest("lab.table") == before


ODD = {
    "a folder without __init__": ("from lab.bare import inside\n", ["lab.bare.inside"]),
    "everything": ("from lab.deep.inner import *\n", ["lab.deep", "lab.deep.inner"]),
    "one level up": ("from .deep.inner import two\n", ["lab.deep", "lab.deep.inner"]),
    "not there": ("try:\n    import lab.gone\nexcept ImportError:\n    pass\n", []),
    "not there at all": ("def f():\n    from lab.gone.too import much\n", []),
    "by name": ("__import__('lab.plain')\n", ["lab.plain"]),
    "another library": ("import json, torch.nn\nfrom rich.console import Console\n", []),
    "typing alone": ("if TYPE_CHECKING:\n    import lab.plain as p\n", ["lab.plain"]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_imports(lab, name):
    (lab / "bare").mkdir()
    (lab / "bare/inside.py").write_text("")
    text, wanted = ODD[name]
    (lab / "odd.py").write_text(text)
    assert reached(["lab.odd"]) == sorted([*wanted, "lab.odd"])


def test_what_is_typed_in_depends_on_no_source():
    assert code_digest("nowhere") == code_digest("nowhere.else")


def test_the_attacks_depend_on_its_solvers_and_not_on_the_command_line():
    found = reached(["conceptrevive.experiments.controls"])
    for name in (
        "revival.completion.conditional",
        "revival.completion.softimpute",
        "revival.magnitude",
        "unlearning.activations",
        "models.generation",
        "models.precision",
        "evaluation.judges",
        "concepts.pocket",
        "intervals",
    ):
        assert f"conceptrevive.{name}" in found
    for name in ("cli", "auditing", "figures", "defence", "experiments.runner"):
        assert not [m for m in found if m.startswith(f"conceptrevive.{name}")], name


def test_names_that_a_package_hands_on_are_looked_up(tmp_path, monkeypatch):
    text = "import conceptrevive as cr\nfrom conceptrevive import revive\ncr.obfuscate\n"
    (tmp_path / "short_names.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    found = reached(["short_names"])
    assert {"conceptrevive.revival.attack", "conceptrevive.defence.obfuscation"} <= set(found)
    assert not [m for m in found if m.startswith("conceptrevive.auditing")]


def test_the_module_of_functions_methods_and_partials():
    controls = "conceptrevive.experiments.controls"
    assert module_of(random_masks) == module_of(Attack.measure) == controls
    assert module_of(partial(partial(random_masks), seed=1)) == controls
