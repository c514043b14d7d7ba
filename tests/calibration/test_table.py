"""The published tables say what was measured."""

from __future__ import annotations

from calibration.rates import limits_from, on_grid, summary
from calibration.table import table

CLEAN = {"evidence": [[["zeros", 0.0, 0.0], ["repeats", 0.0, 0.0], ["noise", -3.0, 0.02]]]}
GRID = {"evidence": [[["grid", 0.0, 0.0]]]}
PRUNED = {"evidence": [[["zeros", -50.0, 0.1], ["repeats", 0.0, 0.0], ["noise", 0.0, 0.0]]]}


def result(**origins):
    return summary(origins, [], {"seeds": 1})


def test_matrices_on_a_grid_set_no_limit_and_are_no_false_positive():
    r = result(a=[CLEAN], b=[GRID], c=[GRID])
    assert r["limits"]["effects"] == {"zeros": 0.0, "repeats": 0.0, "noise": 0.03}
    assert r["false_positives"]["report"]["checkpoints"]["value"] == 0
    assert on_grid([CLEAN, GRID, GRID]) == 2
    assert limits_from([GRID]) == {"zeros": 0.0, "repeats": 0.0, "noise": 0.0}


def test_the_table_counts_grids_and_false_positives():
    r = result(**{"a": [CLEAN], "b": [PRUNED, CLEAN], "quantised b": [GRID, CLEAN], "z": [CLEAN]})
    text = table(r)
    assert "| limits set on: a, quantised b | 0% (0%–56%, n = 3) | 2 |" in text
    assert "| reported on: b, z | 33% (6%–79%, n = 3) | 2 |" in text
    assert "| quantised b | 1 of 2 |\n| all other origins | 0 of 4 |" in text
