"""The rule by which budgets are chosen, by hand; and that the package has what it chose."""

import json
from pathlib import Path

import pytest

from conceptrevive.concepts.world import PAPER_OBJECTS
from conceptrevive.experiments.budgets import CONCEPTS, cells, chosen, main, table
from conceptrevive.experiments.cells import Result
from conceptrevive.unlearning.budgets import BUDGETS

FILE = Path(__file__).parents[2] / "results/pocket/budgets.json"


def row(budget, erased, retained, method="salun"):
    told = {"method": method, "layers": "linear", "budget": budget, "pruned": 1000 * budget}
    return told | {"erased": erased, "retained": retained}


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([row(0.1, 0.5, 0.9), row(0.2, 0.3, 0.8), row(0.3, 0.0, 0.79)], 0.2),
        ([row(0.2, 0.0, 0.9), row(0.1, 0.0, 0.8)], 0.1),  # of equal ones the smallest
        ([row(0.1, 0.9, 0.5), row(0.2, 0.0, 0.4)], 0.1),  # all cost too much
    ],
)
def test_what_forgets_most_of_what_keeps_enough(rows, best):
    assert chosen([*rows, row(7.0, 0.1, 1.0, "other")]) == {
        "salun": {"layers": "linear", "budget": best},
        "other": {"layers": "linear", "budget": 7.0},
    }


def test_rows_are_means_over_concepts():
    todo = [c for c in cells(("cat", "dog"), 2, 4) if c.recipe == "salun"][:1]
    todo += [c for c in cells(("dog",), 2, 4) if c.recipe == "salun"][:1]
    found = [
        Result(cell, "k", {"erased": (e, False), "retained": (True,) * 4}, {"pruned": n}, 1.0, {})
        for cell, e, n in zip(todo, (True, False), (10, 20), strict=True)
    ]
    (only,) = table(found)
    assert (only["erased"], only["retained"], only["pruned"]) == (0.25, 1.0, 15.0)
    assert only["erased_each"] == {"cat": 0.5, "dog": 0.0}


def test_the_pocket_model_has_the_chosen_budgets():
    told = json.loads(FILE.read_text())
    assert chosen(told["rows"]) == told["chosen"]
    assert told["chosen"] == {
        method: {"layers": own.layers, "budget": own.share}
        for method, own in BUDGETS["pocket"].items()
    }
    assert tuple(told["concepts"]) == CONCEPTS and not set(CONCEPTS) & set(PAPER_OBJECTS)


def test_a_file_that_is_no_result_is_left_alone(tmp_path, capsys):
    other = tmp_path / "x.json"
    other.write_text("[]")
    assert main(["--out", str(other)]) == 2
    assert "x.json is no result: it is left as it is" in capsys.readouterr().err
    assert other.read_text() == "[]"
