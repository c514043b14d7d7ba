"""Workflows run what `.ci/run` runs, and nothing else."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RUN = (ROOT / ".ci/run").read_text(encoding="utf-8")
PHASES = re.findall(r"^        (\w+)\) phase ", RUN, re.M)
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def steps(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_ci_calls(path):
    for step in steps(path):
        if "run" in step:
            program, *names = step["run"].split()
            assert program == ".ci/run" and set(names) <= set(PHASES)
        else:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_together_they_call_every_phase():
    called = {n for p in WORKFLOWS for s in steps(p) for n in s.get("run", "").split()[1:]}
    everything = re.search(r"set -- (.+)$", RUN, re.M)[1].split()
    assert called | set(everything) == set(PHASES)
    assert any(s.get("run") == ".ci/run" for p in WORKFLOWS for s in steps(p))


def test_every_supported_python_is_tested():
    matrix = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    versions = matrix["jobs"]["tests"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == f">={versions[0]}"


def test_phases_are_targets_and_an_unknown_one_is_refused():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z-]+)", RUN):
        assert re.search(rf"^{target}:", makefile, re.M), target
    refused = subprocess.run([ROOT / ".ci/run", "nothing"], capture_output=True, text=True)
    assert refused.returncode == 2 and "no phase nothing: choose of tests" in refused.stderr
