"""The journey at full size: its model has SD-1.5's shapes, and a rehearsal takes every step."""

from __future__ import annotations

import pytest
import torch

from benchmarks import common, full_size
from conceptrevive.models.random_model import random_parts, scaled

pytestmark = pytest.mark.usefixtures("one_thread")

#: Parameters of Stable Diffusion 1.5's UNet, autoencoder and text encoder.
PARAMETERS = (859_520_964, 83_653_863, 123_060_480)

STEPS = "build locate prune revive obfuscate audit load draw evaluate".split()


def test_the_random_model_has_exactly_the_shapes_of_sd15():
    with torch.device("meta"):
        parts = random_parts()
    assert tuple(sum(p.numel() for p in part.parameters()) for part in parts) == PARAMETERS
    shapes = [m.weight.shape for n, m in parts[0].named_modules() if n.endswith("ff.net.2")]
    assert sorted(map(tuple, shapes)) == [(320, 1280)] * 5 + [(640, 2560)] * 5 + [(1280, 5120)] * 6


def test_a_share_keeps_whole_groups():
    assert scaled((320, 640, 1280, 1280), 1.0) == (320, 640, 1280, 1280)
    assert scaled((320, 640, 1280, 1280), 0.05) == (32, 32, 64, 64)


def test_a_rehearsal_takes_every_step(tmp_path, capsys):
    options = ["--share", "0.05", "--size", "8", "--device", "cpu", "--out", str(tmp_path)]
    assert full_size.main(options) == 0
    rows = common.read_table(tmp_path / "full-size-cpu.csv")
    assert [r["step"] for r in rows] == STEPS
    assert all(float(r["seconds"]) > 0 for r in rows)
    printed = capsys.readouterr().out.splitlines()
    assert [text.split()[0] for text in printed] == STEPS


def test_a_rehearsal_is_no_result(capsys):
    assert full_size.main(["--share", "0.05", "--device", "cpu"]) == 2
    assert "a rehearsal is no result: give --out" in capsys.readouterr().err
