"""What is published: paired on the same pictures, exact of the same model, the same after JSON."""

import json
from dataclasses import asdict, replace

import pytest
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.laboratory import encode
from conceptrevive.experiments.reproduction.sheet import GAP, LABELS, SIZE, contact_sheet
from conceptrevive.experiments.reproduction.study import Study, entries, gain
from conceptrevive.intervals import Rate, paired_difference

MADE = {"command": "c", "versions": {"torch": "2"}, "device": "cpu", "date": "d"}


def result(recipe, erased, retained=(), weights=None, concept="cat", **settings):
    cell = Cell("signs", concept, recipe, len(erased), 7, settings)
    outcomes = {"erased": tuple(map(bool, erased))}
    if retained:
        outcomes["retained"] = tuple(map(bool, retained))
    numbers = {"weights": weights or recipe, "pictures": ["much"], "pruned_fraction": 0.1}
    return Result(cell, "key", outcomes, numbers, 1.5, MADE)


def test_a_model_against_itself_differs_by_exactly_0():
    pruned = result("pruned", (0, 1, 0), weights="same")
    assert gain(pruned, pruned, "erased") == (0.0, (0.0, 0.0))
    twin = result("another name", (0, 1, 0), weights="same")
    other = result("other", (0, 1, 0), weights="other")
    assert gain(twin, pruned, "erased") == (0.0, (0.0, 0.0))
    # Other weights that drew as many are known no better than their pictures tell.
    value, (low, high) = gain(other, pruned, "erased")
    assert value == 0 and low < 0 < high


def test_cells_are_paired_with_the_pruned_of_the_same_settings():
    found = entries(
        [
            result("pruned", (0, 0), (1, 0), locating_seed=0),
            result("revived", (1, 0), (1, 1), locating_seed=0),
            result("pruned", (1, 1), locating_seed=1, weights="p1"),
            result("revived", (1, 1), locating_seed=1),
            result("revived", (1, 1), concept="dog"),
        ]
    )
    assert found[1].minus_pruned["erased"] == paired_difference((1, 0), (0, 0))
    assert found[1].minus_pruned["retained"] == paired_difference((1, 1), (1, 0))
    assert found[1].rates["erased"] == Rate.of((True, False)) and found[1].n == 2
    assert found[3].minus_pruned["erased"][0] == 0
    assert found[4].minus_pruned == {}  # nothing of the dog's to compare with
    assert set(found[0].numbers) == {"weights", "pruned_fraction"}
    assert found[1].outcomes == {"erased": "10", "retained": "11"}
    assert found[0].made == MADE and found[0].seconds == 1.5 and found[0].seed == 7


def study():
    """As a published file holds it."""
    found = entries([result("pruned", (0, 0)), result("revived", (1, 0))])
    return {
        "experiment": "signs", "shows": "Fig. 2", "profile": "smoke", "model": "pocket",
        "preset": "pocket", "sampling": "own", "entries": [asdict(e) for e in found],
        "pooled": {"revived": {"concepts": 1, "rates": {"erased": 0.5}, "minus_pruned": {}}},
        "summary": {"x": [1, None]}, "intervals": 4, "seed": 7, "command": "c",
        "versions": {"torch": "2"}, "device": "cpu", "threads": 1, "date": "d",
    }  # fmt: skip


def test_a_study_reads_back_typed(tmp_path):
    (tmp_path / "signs.json").write_text(json.dumps(study()))
    back = Study.read(tmp_path / "signs.json")
    assert back.entries == entries([result("pruned", (0, 0)), result("revived", (1, 0))])
    assert type(back.entries[1].rates["erased"]) is Rate
    assert back.pooled["revived"].rates == {"erased": 0.5} and back.summary == {"x": [1, None]}
    assert back.entry("cat", "revived") == back.entries[1]
    with pytest.raises(ConceptReviveError, match="signs has no cell of 'dog' and 'revived'"):
        back.entry("dog", "revived")


@pytest.mark.parametrize("change", ["half", "more", "less"])
def test_what_is_no_study_is_named_and_left(tmp_path, change):
    data, file = study(), tmp_path / "signs.json"
    text = {
        "half": json.dumps(data)[:300],
        "more": json.dumps(data | {"colour": 1}),
        "less": json.dumps({k: v for k, v in data.items() if k != "entries"}),
    }[change]
    file.write_text(text)
    with pytest.raises(
        ConceptReviveError, match=r"signs\.json is no study that this version wrote"
    ):
        Study.read(file)
    assert file.read_text() == text


def test_the_contact_sheet_has_a_row_a_recipe_and_a_column_a_concept():
    red = encode(Image.new("RGB", (16, 16), "red"))
    some = [result(r, (1,), concept=c) for r in ("pruned", "revived") for c in ("cat", "dog")]
    kept = [replace(r, numbers={"pictures": [red]}) for r in some[:3]]
    sheet = contact_sheet([*kept, replace(some[3], numbers={})])
    step = SIZE + GAP
    assert sheet.size[0] == LABELS + 2 * step
    centre = LABELS + SIZE // 2, sheet.size[1] - step - SIZE // 2
    shown = {
        (x, y): sheet.getpixel((centre[0] + x * step, centre[1] + y * step))
        for x in (0, 1)
        for y in (0, 1)
    }
    assert shown.pop((1, 1)) == (255, 255, 255) and set(shown.values()) == {(255, 0, 0)}
    assert contact_sheet([replace(r, numbers={}) for r in some]) is None
