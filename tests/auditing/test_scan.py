"""What the first pass counts, against counting by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import conceptrevive.auditing.scan as scan_module
from conceptrevive.auditing.scan import EVERY, SAMPLED, TensorScan, scan
from conceptrevive.checkpoints.headers import read_header

ONE = TensorScan("w", (8, 16), "F32", 0, 0, 0, 0.0, 1.0)


def scanned(tmp_path, **tensors):
    save_file(tensors, tmp_path / "m.safetensors")
    return {s.name: s for s in scan(read_header(tmp_path / "m.safetensors"))}


@pytest.mark.parametrize(
    ("shape", "matrix"),
    [
        ((4, 16), True),
        ((16, 4), True),
        ((3, 100), False),
        ((100, 3), False),
        ((7, 9), False),  # 63 entries
        ((4, 4, 2, 2), True),
        ((64,), False),
    ],
)
def test_what_is_large_enough_for_the_tests(shape, matrix):
    assert replace(ONE, shape=shape).is_matrix is matrix


def test_levels_are_distinct_magnitudes_over_entries_of_a_row(tmp_path):
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn(40, 64, generator=generator)
    coarse = torch.randint(-3, 4, (40, 64), generator=generator).float()
    found = scanned(tmp_path, fine=fine, coarse=coarse, zeros=torch.zeros(40, 64))
    assert found["fine"].levels == 1.0
    seen = [len(set(row[row > 0].tolist())) / int((row > 0).sum()) for row in coarse.abs()]
    assert min(seen) <= found["coarse"].levels <= max(seen) < 0.1
    assert found["zeros"].levels == 1.0


def test_a_few_rows_are_looked_at_from_the_whole_of_a_buffer(tmp_path):
    """The others are coarse: a look at the first rows would say so."""
    w = torch.ones(SAMPLED * 5, 64)
    w[::5] = torch.rand(SAMPLED, 64, generator=torch.Generator().manual_seed(0)) + 0.5
    assert scanned(tmp_path, w=w)["w"].levels == 1.0


def test_ties_are_counted_in_every_fourth_buffer(tmp_path, monkeypatch):
    monkeypatch.setattr(scan_module, "BUFFER", 4 * 16 * 2)  # two rows of sixteen floats
    w = torch.arange(1.0, 17.0).repeat(16, 1)
    w[0, :3] = 16.0  # three more at the maximum, in the first buffer
    w[2, :5] = 16.0  # not looked at
    w[2 * EVERY, 0] = -16.0
    # Rows 0 and 1, then 8 and 9: four rows with 3 + 1 ties.
    assert EVERY == 4 and scanned(tmp_path, w=w)["w"].ties == 1.0


def test_zeros_dead_rows_and_rows_that_are_not_finite(tmp_path):
    w = torch.ones(6, 16)
    w[0] = 0
    w[1, :4] = -0.0
    w[2, 3], w[3, 5], w[3, 6] = torch.nan, torch.inf, -torch.inf
    found = scanned(tmp_path, w=w, none=torch.empty(0, 4))
    assert (found["w"].zeros, found["w"].dead_rows, found["w"].nonfinite) == (20, 1, 2)
    none = found["none"]
    assert (none.zeros, none.dead_rows, none.nonfinite, none.levels) == (0, 0, 0, 1.0)


def test_a_vector_that_is_too_long_for_a_row_is_counted_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(scan_module, "LONGEST", 400)
    monkeypatch.setattr(scan_module, "BUFFER", 256)
    w = torch.rand(2, 101, generator=torch.Generator().manual_seed(0)) + 0.5
    w[0, 5] = w[1, 100] = 0
    found = scanned(tmp_path, w=w)["w"]
    assert (found.zeros, found.nonfinite, found.shape) == (2, 0, (2, 101))
    w[1, 100] = np.inf  # in the last piece, which is no whole row
    assert scanned(tmp_path, w=w)["w"].nonfinite == 1
