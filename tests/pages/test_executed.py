"""An executed notebook must be as a reader expects it."""

from __future__ import annotations

import json
import math

import nbformat
import pytest

from pages import executed
from pages.executed import faults, main, processor_seconds, seconds, time_faults

FIGURE = {"figure": {"name": "fig-a-b", "caption": "What is seen."}}
TOLD = {"mystnb": FIGURE | {"image": {"alt": "x" * 50}}}
PNG = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
MOVES = nbformat.v4.new_output("execute_result", data={"text/html": '<div class="cr-moving">'})
WARNING = nbformat.v4.new_output("stream", name="stderr", text="a warning")


def cell(*outputs, **metadata):
    return nbformat.v4.new_code_cell("draw()", outputs=list(outputs), metadata=metadata)


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def said(text):
    return nbformat.v4.new_output("execute_result", data={"text/plain": text})


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (cell(PNG, **TOLD), None),
        (cell(MOVES, mystnb=FIGURE), None),
        (cell(said("✓ Right: yes."), tags=["solution"]), None),
        (cell(PNG), "a figure without name or caption"),
        (cell(PNG, mystnb=FIGURE), "a picture without alt text"),
        (cell(MOVES), "a figure without name or caption"),
        (cell(**TOLD), "no picture, but alt text: fig-a-b"),
        (cell(PNG, PNG, **TOLD), "2 figures under one name"),
        (cell(PNG, WARNING, **TOLD), "standard error: a warning"),
        (cell(said("✗ Not yet: no."), tags=["solution"]), "a solution that is not right"),
        (cell(tags=["solution"]), "a solution that is not right"),
    ],
)
def test_faults_are_named(one, fault):
    found = faults(notebook(one, cell(MOVES, mystnb=FIGURE)))
    assert (found == []) if fault is None else any(fault in each for each in found)


def test_one_figure_moves():
    assert faults(notebook(cell(PNG, **TOLD))) == ["no figure that moves"]


def test_time_is_from_the_first_cell_to_the_last():
    def ran(start, end):
        times = {"iopub.execute_input": start, "shell.execute_reply": end}
        return cell(execution=times)

    day = "2026-11-28T12:00:"
    book = notebook(ran(f"{day}01.5Z", f"{day}03Z"), cell(), ran(f"{day}03Z", f"{day}11.5Z"))
    assert seconds(book) == 10.0
    assert seconds(notebook(cell())) == 0


def test_a_budget_holds_for_each_and_for_all():
    assert time_faults({"a": 179.0, "b": 1.0}) == []
    assert time_faults({"a": 181.0}) == ["a: 181 s, more than 180: draw less"]
    assert time_faults({"a": 0.0}) == ["a: no times, it was not executed"]
    # Two at once, each on one of two cores.
    assert time_faults({str(i): 170.0 for i in range(17)}) == []
    assert time_faults({str(i): 170.0 for i in range(18)}) == [
        "all notebooks, 2 at once: 1530 s, more than 1500"
    ]


def test_on_a_busy_machine_the_processor_time_counts(tmp_path, monkeypatch, capsys):
    printed = cell(MOVES, mystnb=FIGURE), cell(said("torch           2\nprocessor time  95 s\n"))
    assert processor_seconds(notebook(*printed)) == 95
    assert processor_seconds(notebook(cell())) == math.inf
    nbformat.write(notebook(*printed), tmp_path / "01_a.ipynb")
    monkeypatch.setattr(executed, "seconds", lambda book: 800.0)
    assert main(tmp_path) == 0, capsys.readouterr().err


def test_a_folder_is_judged_and_timed(tmp_path, monkeypatch):
    assert main(tmp_path) == 1, "no notebooks"
    monkeypatch.setattr(executed, "seconds", lambda book: 12.0)
    nbformat.write(notebook(cell(MOVES, mystnb=FIGURE)), tmp_path / "01_a.ipynb")
    assert main(tmp_path) == 0
    told = json.loads((tmp_path / "runtimes.json").read_text())
    assert told["seconds"] == {"01_a": 12.0} and told["date"]
    nbformat.write(notebook(cell(PNG)), tmp_path / "02_b.ipynb")
    assert main(tmp_path) == 1
