"""The phenomenon's table: rows, what is pooled, and the published file read back."""

import json
from pathlib import Path

import pytest

from conceptrevive.concepts import world as W
from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Result
from conceptrevive.experiments.demo import DEFAULT_CONCEPT
from conceptrevive.experiments.table import Row, Table, pooled, representative
from conceptrevive.intervals import Rate

PUBLISHED = Path(__file__).parents[2] / "results/pocket/phenomenon.json"


def rows(**concepts):
    rates = {
        name: {k: Rate(v, (v, v), 1) for k, v in zip(("pruned", "revived"), pair, strict=True)}
        for name, pair in concepts.items()
    }
    return {name: Row({}, each, {}) for name, each in rates.items()}


def test_the_representative_is_nearest_the_median_of_those_erased():
    # Of the erased ones (golf, church, horn, star) the median is (0.4 + 0.6) / 2; horn is nearer.
    found = rows(
        golf=(0.1, 0.3),
        church=(0.0, 0.9),
        horn=(0.2, 0.6),
        star=(0.1, 0.38),
        saw=(0.5, 0.5),
        cat=(0, 0.5),
    )
    assert representative(found) == "horn"
    # The earlier of two as near.
    assert representative(rows(golf=(0.1, 0.4), church=(0.0, 0.6))) == "golf"
    four = rows(golf=(0, 0.8), parachute=(0, 0.6), racket=(0, 0.4), star=(0, 0.7))
    assert representative(four) == "parachute"
    assert W.PAPER_OBJECTS.index("golf") < W.PAPER_OBJECTS.index("church")


def test_no_representative_where_nothing_was_erased():
    with pytest.raises(ConceptReviveError, match=r"no object was erased to top-1 ≤ 0\.2"):
        representative(rows(golf=(0.9, 0.9), cat=(0.0, 0.5)))


def results(concept, pruned, revived):
    def one(recipe, erased, retained):
        cell = Cell("phenomenon", concept, recipe)
        outcomes = {"erased": tuple(map(bool, erased)), "retained": (bool(retained),)}
        return Result(cell, "", outcomes, {f"n_{recipe}": 1}, 0.0, {})

    return [one("original", (1, 1), 1), one("pruned", pruned, 0), one("revived", revived, 1)]


def test_pooling_counts_every_picture_of_the_objects_once():
    measured = [
        *results("golf", (0, 0), (1, 0)),
        *results("church", (1, 0), (1, 1)),
        *results("sepia", (0, 0), (0, 0)),
    ]
    found = pooled(measured)
    assert found.concepts == 2
    assert [found.rates[k] for k in ("original", "pruned", "revived")] == [1.0, 0.25, 0.75]
    difference, (low, high) = found.gains["revived"]
    assert difference == 0.5 and low < 0.5 < high
    assert found.gains["retained_revived"][0] == 1.0
    assert set(found.gains) == {"revived", "retained_revived"}
    assert pooled(results("sepia", (0, 0), (0, 0))).as_dict() == {"concepts": 0}


def test_a_row_is_the_same_after_a_way_through_json():
    row = Row.of(results("golf", (0, 0), (1, 0)))
    flat = row.as_dict()
    assert flat["n_revived"] == 1 and flat["revived"] == 0.5 and len(flat["revived_interval"]) == 2
    assert "original_minus_pruned" not in flat and flat["revived_minus_pruned"][0] == 0.5
    assert Row.from_dict(json.loads(json.dumps(flat)), 2, 1) == row
    assert row.value("retained_pruned") == 0.0 and row.value("n_pruned") == 1


def test_what_was_published_reads_back_typed():
    table, data = Table.read(PUBLISHED), json.loads(PUBLISHED.read_text())
    assert json.loads(json.dumps(table.as_dict())) == data
    assert len(table.concepts) == len(W.PAPER_OBJECTS) + len(W.STYLES) and table.n >= 50
    row = table.concepts["parachute"]
    assert row.rates["retained_pruned"].n == table.retained_n and row.rates["pruned"].n == table.n
    assert representative(table.concepts) == DEFAULT_CONCEPT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "list"),
        ('{"n": 1}', "no 'retained_n'"),
        ('{"n": 1, "retained_n": 1, "layers": {}, "concepts": {"a": 3}}', "int"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, reason):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(ConceptReviveError, match=r"t\.json is no table of the phenomenon") as e:
        Table.read(tmp_path / "t.json")
    assert reason in str(e.value)
    with pytest.raises(ConceptReviveError, match=r"cannot read .*u\.json \(No such file"):
        Table.read(tmp_path / "u.json")
