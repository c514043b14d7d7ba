"""Kill it at any moment and run again: nothing lost, nothing done twice, files are equal."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from conceptrevive.errors import ConceptReviveError
from conceptrevive.experiments import runner
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.parts import Parts, key_of
from conceptrevive.experiments.runner import check_out, publish, run
from tests.processes import launched

SCRIPT = """
import os, sys, time
from pathlib import Path
from random import Random
from conceptrevive.experiments.cells import Cell, Found
from conceptrevive.experiments.runner import publish, run

OUT, LOG = sys.argv[1:3]

def log(what, cell):
    with open(LOG, "a") as f:
        f.write(f"{what} {cell.concept}\\n")

def measure(cell):
    log("begin", cell)
    if cell.concept == os.environ.get("STUCK"):
        time.sleep(60)
    time.sleep(0.02)
    coin = Random(cell.seed)
    heads = tuple(coin.random() < 0.5 for _ in range(cell.n))
    found = Found({"heads": heads}, {"x": coin.random()})
    log("end", cell)
    return found

cells = [Cell("coins", name, n=5, seed=i) for i, name in enumerate("abcdefgh")]
results = run(cells, measure, OUT)
publish(OUT, {r.cell.concept: [r.rate("heads").as_dict(), r.numbers] for r in results}, seed=0)
"""


@pytest.fixture
def script(tmp_path):
    """An experiment of eight cells that logs its calls."""
    (tmp_path / "coins.py").write_text(SCRIPT)
    return tmp_path / "coins.py"


def start(script: Path, out: Path, log: Path, **env: str) -> subprocess.Popen:
    log.touch()
    argv = [sys.executable, str(script), str(out), str(log)]
    return subprocess.Popen(argv, env=os.environ | env, stderr=subprocess.DEVNULL)


def calls(log: Path) -> list[str]:
    return log.read_text().splitlines()


def without(data: dict, *keys: str) -> dict:
    return {k: v for k, v in data.items() if k not in ("date", "command", *keys)}


def test_a_killed_run_goes_on_where_it_stopped(script, tmp_path):
    out, log = tmp_path / "a/coins.json", tmp_path / "log"
    process = start(script, out, log, STUCK="d")
    while "begin d" not in calls(log):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert start(script, out, log).wait() == 0
    assert [x for x in calls(log) if x.startswith("end")] == [f"end {c}" for c in "abcdefgh"]
    assert [x for x in calls(log) if x.startswith("begin")] == [f"begin {c}" for c in "abcddefgh"]
    whole = tmp_path / "b/coins.json"
    assert start(script, whole, tmp_path / "other log").wait() == 0
    one, two = (json.loads(p.read_text()) for p in (out, whole))
    assert without(one) == without(two) and list(one) == list(two)
    names = [sorted(p.name for p in f.parent.glob("*.parts/*.json")) for f in (out, whole)]
    assert names[0] == names[1] and len(names[0]) == 8
    for name in names[0]:
        parts = [
            json.loads((p.parent / "coins.json.parts" / name).read_text()) for p in (out, whole)
        ]
        assert without(parts[0], "seconds", "made") == without(parts[1], "seconds", "made")


def test_killed_at_any_moment(script, tmp_path):
    out, log, chance = tmp_path / "coins.json", tmp_path / "log", random.Random(0)
    kills = 0
    while not out.exists():
        before = len(calls(log)) if log.exists() else 0
        process = start(script, out, log)
        while process.poll() is None and len(calls(log)) <= before:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.08))
        process.kill()
        process.wait()
        kills += 1
        assert kills < 40
        assert not [p for p in tmp_path.glob("*.parts/*.json") if not json.loads(p.read_text())]
    begun = [x for x in calls(log) if x.startswith("begin")]
    assert set(begun) == {f"begin {c}" for c in "abcdefgh"}
    # Twice at most for each kill: the cell that was being measured then.
    assert len(begun) <= 8 + kills
    assert list(json.loads(out.read_text()))[:8] == list("abcdefgh")


def test_processes_share_the_cells(script, tmp_path):
    out, log = tmp_path / "coins.json", tmp_path / "log"
    run = launched([str(script), str(out), str(log)], processes=2)
    assert run.returncode == 0, run.stderr
    assert sorted(calls(log)) == sorted(f"{w} {c}" for w in ("begin", "end") for c in "abcdefgh")
    lone = tmp_path / "lone.json"
    one_thread = start(script, lone, tmp_path / "other log", OMP_NUM_THREADS="1")
    assert one_thread.wait() == 0
    assert without(json.loads(out.read_text())) == without(json.loads(lone.read_text()))


def test_the_example_of_the_docstring_runs(tmp_path):
    lines = runner.__doc__.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("    "))
    last = max(i for i, line in enumerate(lines) if line.startswith("    "))
    (tmp_path / "example.py").write_text(textwrap.dedent("\n".join(lines[first : last + 1])))
    argv = [sys.executable, "example.py"]
    found = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    result = json.loads((tmp_path / "coins.json").read_text())
    assert set(result) >= {"penny", "dime", "seed", "versions", "date"}
    assert result["penny"]["n"] == 20
    assert found.stderr.splitlines()[-1] == "coins: 2 of 2, dime"
    assert last - first < 20


def measure(cell: Cell) -> Found:
    """A part of no work."""
    return Found(numbers={"n": cell.n})


CELLS = [Cell("nothing", "a", n=1), Cell("nothing", "b", n=2)]


def test_results_come_in_order_and_are_read_back_typed(tmp_path, capsys):
    results = run(CELLS, measure, tmp_path / "r.json")
    assert [r.cell for r in results] == CELLS and [r.numbers for r in results] == [
        {"n": 1},
        {"n": 2},
    ]
    assert capsys.readouterr().err.splitlines()[-1] == "nothing: 2 of 2, b"
    again = run(CELLS[::-1], measure, tmp_path / "r.json")
    assert again == results[::-1]


def test_a_damaged_part_is_named_and_left(tmp_path):
    run(CELLS, measure, tmp_path / "r.json")
    part = next((tmp_path / "r.json.parts").glob("nothing-b-*.json"))
    part.write_text(part.read_text()[:50])
    with pytest.raises(ConceptReviveError, match=r"nothing-b-.*is no result that this version"):
        run(CELLS, measure, tmp_path / "r.json")
    assert len(part.read_text()) == 50


def test_a_part_of_another_cell_is_named_and_left(tmp_path):
    run(CELLS, measure, tmp_path / "r.json")
    a, b = sorted((tmp_path / "r.json.parts").glob("*.json"))
    b.write_text(a.read_text())
    with pytest.raises(ConceptReviveError, match=r"is the part of another cell \(a, [0-9a-f]{16}"):
        run(CELLS, measure, tmp_path / "r.json")
    assert b.read_text() == a.read_text()


def test_what_a_result_must_not_replace_is_named_before_the_work(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (tmp_path / "other.json").write_text('{"scripts": {}}')
    for name in ("weights.safetensors", "other.json"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ConceptReviveError, match=f"{name} is no result: it is left as it is"):
            run(CELLS, lambda cell: pytest.fail("measured"), tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(ConceptReviveError, match="is a folder: name a file"):
        check_out(tmp_path)
    with pytest.raises(ConceptReviveError, match=r"cannot write .*r\.json \(File exists\)"):
        check_out(tmp_path / "other.json" / "r.json")
    publish(tmp_path / "r.json", {"a": 1}, seed=0)
    check_out(tmp_path / "r.json")


def test_equal_cells_are_refused(tmp_path):
    with pytest.raises(ConceptReviveError, match="two cells are the same"):
        run([CELLS[0], CELLS[0]], measure, tmp_path / "r.json")


def test_a_part_that_is_measured_elsewhere_is_not_claimed(tmp_path):
    parts, cell = Parts(tmp_path), CELLS[0]
    key = key_of(cell, measure)

    def slow(cell: Cell) -> Found:
        assert parts.claim(cell, key, measure) is None
        return measure(cell)

    assert parts.keep(cell, key, slow).numbers == {"n": 1}
    assert parts.claim(cell, key, measure) == parts.read(cell, key)


def test_what_a_part_depends_on_is_in_its_key(tmp_path):
    cell = CELLS[0]
    known = {
        key_of(cell, measure),
        key_of(CELLS[1], measure),
        key_of(cell, measure, [b"weights"]),
        key_of(cell, measure, [b"weights", b""]),
        key_of(cell, measure, [b"other weights"]),
        key_of(cell, check_out),
    }
    assert len(known) == 6 and key_of(cell, measure) in known
