"""The audit as a program: its verdict is printed whatever becomes of the report; 1 is evidence."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from conceptrevive.cli import main

PROGRAM = [sys.executable, "-m", "conceptrevive", "audit"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A clean checkpoint, and one pruned by Wanda's rule, row by row."""
    folder = tmp_path_factory.mktemp("audited")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(128, 256, generator=generator) * 0.05
    save_file({"a.ff.net.2.weight": weight}, folder / "clean.safetensors")
    score = weight.abs() * torch.rand(256, generator=generator) ** 2
    mask = torch.zeros_like(weight, dtype=torch.bool)
    mask.scatter_(1, score.topk(25, dim=1).indices, True)
    save_file({"a.ff.net.2.weight": weight.masked_fill(mask, 0)}, folder / "pruned.safetensors")
    return folder


@pytest.mark.parametrize(("name", "code"), [("clean", 0), ("pruned", 1)])
def test_the_verdict_is_printed_where_the_report_cannot_be_written(name, code, files, capsys):
    path = str(files / f"{name}.safetensors")
    assert main(["audit", path]) == code
    verdict = capsys.readouterr().out.splitlines()[0]
    assert main(["audit", path, "--html", "/proc/nope/r.html"]) == 2
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == verdict
    assert shown.err.startswith("conceptrevive audit: cannot write /proc/nope/r.html")
    assert shown.err.count("\n") == 1


def test_a_report_may_be_written_again(files, tmp_path, capsys):
    report = tmp_path / "r.html"
    for _ in range(2):
        assert main(["audit", str(files / "pruned.safetensors"), "--html", str(report)]) == 1
    assert "evidence of pruning" in report.read_text(encoding="utf-8")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_no_evidence_is_told_by_a_full_disk(files, tmp_path):
    report = tmp_path / "r.html"
    argv = [*PROGRAM, str(files / "clean.safetensors"), "--html", str(report)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "No space left on device (standard output)" in done.stderr
    assert report.exists(), "the report is not lost with the text"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_the_verdict_in_old_encodings(encoding, files):
    done = subprocess.run(
        [*PROGRAM, str(files / "pruned.safetensors")],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"evidence of pruning" in done.stdout and b"? " in done.stdout


def test_names_in_a_checkpoint_give_the_terminal_no_orders(tmp_path, capsys):
    path = tmp_path / "named.safetensors"
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    weight[0, 0] = float("nan")
    save_file({"a\x1b[2J.weight": weight}, path)
    main(["audit", str(path)])
    shown = capsys.readouterr()
    assert "\\x1b[2J" in shown.out and "\x1b" not in shown.out + shown.err
