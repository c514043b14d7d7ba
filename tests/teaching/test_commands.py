"""What a cell prints of a command and of a refusal."""

from __future__ import annotations

import os

import pytest

from conceptrevive.cli import main
from conceptrevive.errors import ConceptReviveError
from conceptrevive.teaching.commands import refused, run_command


def test_a_command_is_shown_with_what_it_says(capsys, tmp_path):
    before = os.getcwd()
    run_command(main, tmp_path, "list solvers", first=1)
    first, line, more, code, _ = capsys.readouterr().out.split("\n", 4)
    assert (first, code) == ("$ conceptrevive list solvers", "[exit code 0]")
    assert line.startswith("conditional") and more.startswith("… and ")
    assert os.getcwd() == before


def test_places_of_this_machine_are_left_out(capsys, tmp_path):
    (tmp_path / "masks.safetensors").write_bytes(b"none")
    run_command(main, tmp_path, f"prune pocket --masks {tmp_path}/masks.safetensors --out pruned")
    run_command(main, tmp_path, "list layers pocket", first=1)
    said = [x for x in capsys.readouterr().out.splitlines() if not x.startswith("$")]
    assert said[0].startswith("conceptrevive prune: cannot read masks from masks.safetensors (")
    assert "model   pocket" in said


def test_a_command_that_fails_is_shown_too(capsys, tmp_path):
    (tmp_path / "own.yaml").write_text("name: [\n")
    run_command(main, tmp_path, "evaluate pocket --concept 'own.yaml'")
    said = capsys.readouterr()
    assert said.err == ""
    assert "cannot read a concept from own.yaml" in said.out and "[exit code 2]" in said.out
    assert max(map(len, said.out.splitlines())) <= 78


def test_a_refusal(capsys):
    def refuse(what, why=""):
        raise ConceptReviveError(f"{what}: {why}" + " word" * 40)

    refused(refuse, "no", why="so it is")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("✗ no: so it is word") and said[1].startswith("    word")
    with pytest.raises(AssertionError, match="was to be refused, and was not"):
        refused(str, 3)
    with pytest.raises(ZeroDivisionError):  # other errors are faults of the cell
        refused(lambda: 1 / 0)
