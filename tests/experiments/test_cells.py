"""Cells and results are the same after a way through JSON; what is something else is refused."""

import dataclasses
import json
import math
import random

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments.cells import Cell, Result, read_json
from conceptrevive.experiments.provenance import write_json

CELL = Cell("coins", "penny", "flipped", 3, 7, {"steps": 12, "guidance": 3.0, "names": ["a", "b"]})
RESULT = Result(
    CELL, "0123", {"heads": (True, False, True)}, {"share": 0.1, "layers": [1, 2]}, 0.5, {"seed": 7}
)


def test_a_result_reads_back_as_it_was(tmp_path):
    write_json(tmp_path / "r.json", RESULT.as_dict())
    back = read_json(tmp_path / "r.json", Result)
    assert back == RESULT and type(back.cell) is Cell
    assert back.outcomes["heads"] == (True, False, True)
    assert back.rate("heads").value == pytest.approx(2 / 3) and back.rate("heads").n == 3


def test_numbers_read_back_to_the_last_bit(tmp_path):
    values = [random.Random(i).uniform(-1, 1) * 10.0 ** (i % 40 - 20) for i in range(500)]
    result = dataclasses.replace(RESULT, numbers={"x": [*values, math.inf]})
    write_json(tmp_path / "r.json", result.as_dict())
    assert read_json(tmp_path / "r.json", Result) == result
    write_json(tmp_path / "n.json", {**RESULT.as_dict(), "numbers": {"x": math.nan}})
    assert math.isnan(read_json(tmp_path / "n.json", Result).numbers["x"])


def test_cells_are_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CELL.seed = 1
    assert len({CELL, dataclasses.replace(CELL), dataclasses.replace(CELL, seed=8)}) == 2


WHOLE = json.dumps(RESULT.as_dict())
OTHERS = {
    "half written": (WHOLE[: len(WHOLE) // 2], "Invalid JSON"),
    "empty": ("", "Invalid JSON"),
    "a list": ("[1]", "the whole"),
    "a key too many": (WHOLE.replace('"key"', '"colour": 1, "key"'), "colour"),
    "a key too few": (WHOLE.replace('"seconds": 0.5, ', ""), "seconds: Field required"),
    "another type": (WHOLE.replace('"n": 3', '"n": "three"'), "cell.n"),
    "no outcome": (WHOLE.replace("false", "2"), "outcomes.heads.1"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_result_is_named_and_left(tmp_path, name):
    text, place = OTHERS[name]
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ConceptReviveError) as e:
        read_json(path, Result)
    message = str(e.value)
    assert message.startswith(f"{path} is no result that this version wrote (") and place in message
    assert message.endswith("it is left as it is; move it away and run again")
    assert path.read_text() == text


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConceptReviveError, match=r"cannot read .*r\.json \(No such file"):
        read_json(tmp_path / "r.json", Result)
