"""Every experiment killed by SIGKILL at every kind of write, and gone on with: nothing differs."""

import json

import pytest

from conceptrevive.experiments.reproduction.catalogue import EXPERIMENTS
from conceptrevive.experiments.reproduction.driver import reproduce
from tests.experiments.reproduction.shared import comparable
from tests.killing import killed_everywhere, kind_of

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]

#: What experiments keep besides their cells and pictures. A checkpoint is gone once it has served.
KEPT = {
    "styles": {"pictures.parts: looked", "pictures.parts: distances"},
    "unsafe": {"pictures.parts: wording"},
    "locators": {
        *("pictures.parts: unlearnt", "salun.safetensors", "scissorhands.safetensors"),
        *("salun.checkpoint", "scissorhands.checkpoint"),
    },
}


def files(folder):
    """What was written, by name in the folder; locks hold nothing."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {str(p.relative_to(folder)): p for p in found}


def same(one, two):
    if one.suffix != ".json":
        return one.read_bytes() == two.read_bytes()
    texts = [json.dumps(comparable(json.loads(p.read_text()))) for p in (one, two)]
    return texts[0] == texts[1]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_killed_at_every_kind_of_write_and_gone_on_with(options, tmp_path, name):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    middle = reproduce(name, out=whole, **options)[name]["cells"] // 2
    kinds = killed_everywhere(name, options, broken, middle, tmp_path / "log")
    one, two = files(whole), files(broken)
    assert set(kinds) >= {f"{name}.json", f"{name}.json.parts: {name}"} | KEPT.get(name, set())
    assert set(kinds) >= {kind_of(p) for p in one.values()} and len(set(kinds)) == len(kinds)
    assert one.keys() == two.keys(), "a temporary file is left, or something is missing"
    assert [path for path in one if not same(one[path], two[path])] == []
