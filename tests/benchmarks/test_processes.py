"""One process and two measure the same, and the page says what the second adds."""

import pytest

from benchmarks import processes
from benchmarks.common import read_table
from pages import benchmarks as page


def test_one_and_two_processes_are_timed_and_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(page.ROOT))
    options = ["--cells", "2", "--pictures", "1", "--repeats", "1", "--out", str(tmp_path)]
    assert processes.main(options) == 0
    one, two = read_table(tmp_path / "processes.csv")
    assert (one["processes"], two["processes"], two["same_outcomes"]) == ("1", "2", "True")
    efficiency = float(one["seconds"]) / (2 * float(two["seconds"]))
    assert float(two["efficiency"]) == pytest.approx(efficiency, rel=1e-4)
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    text = page.benchmarks()
    assert "2 pictures drawn and judged in 2 cells, 1 turns" in text
    assert "outcomes of one and of two processes are the same" in text
