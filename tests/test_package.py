"""`import conceptrevive`: its names, and that they cost nothing before they are used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import conceptrevive


def test_every_public_name_is_there_once():
    for name in conceptrevive.__all__:
        value = getattr(conceptrevive, name)
        home = importlib.import_module(f"conceptrevive.{conceptrevive._HOME[name]}")
        assert value is getattr(home, name)
        assert value.__module__ == home.__name__, f"{name} is only passed on by its home"
    assert len(conceptrevive.__all__) == sum(map(len, conceptrevive._HOMES.values()))
    assert set(conceptrevive.__all__) <= set(dir(conceptrevive))


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(conceptrevive.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        alias.name: n.module.removeprefix("conceptrevive.") for n in block.body for alias in n.names
    }
    assert seen == conceptrevive._HOME


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'conceptrevive' has no attribute 'nonsense'"):
        _ = conceptrevive.nonsense


def test_all_can_be_imported_at_once():
    names = {}
    exec("from conceptrevive import *", names)
    assert set(conceptrevive.__all__) <= set(names)


def test_importing_adds_next_to_nothing_to_torch():
    script = (
        "import sys, time\n"
        "if len(sys.argv) > 1: import torch\n"
        "start = time.process_time()\n"
        "import conceptrevive\n"
        "print(time.process_time() - start, 'torch' in sys.modules)\n"
    )
    argv = [sys.executable, "-c", script]
    spent, loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert float(spent) < 0.2 and loaded == "False"
    spent, _ = subprocess.run(
        [*argv, "after torch"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(spent) < 0.2
