"""How many lines stand on their own, and that the tests have no answer where few do."""

from __future__ import annotations

import pytest
import torch

import conceptrevive as cr
from conceptrevive.auditing.verdict import NOTHING, audit
from conceptrevive.detectors.lines import evened, independence
from conceptrevive.detectors.noise import find_noise
from conceptrevive.detectors.repeats import find_repeats
from tests.detectors.test_detectors import clean, wanda

pytestmark = pytest.mark.usefixtures("one_thread")


def collapsed(seed, rank=3, rows=128, columns=128):
    """As heavy decay leaves a matrix: few directions of very different size."""
    g = torch.Generator().manual_seed(seed)
    size = torch.tensor([3.0**-i for i in range(rank)])
    return torch.randn(rows, rank, generator=g) * size @ torch.randn(rank, columns, generator=g)


def test_independence_is_the_share_of_equal_directions():
    assert independence(torch.eye(40)) == pytest.approx(1.0)
    assert independence(torch.ones(40, 90)) == pytest.approx(1 / 40, rel=1e-3)
    half = torch.eye(40)[:, :20].repeat(1, 2)
    assert independence(half) == independence(half.T) == pytest.approx(0.5)
    g = torch.Generator().manual_seed(0)
    assert independence(torch.randn(64, 256, generator=g)) > 0.9


def test_scaling_and_order_of_lines_change_nothing():
    w = clean(1)
    moved = w[torch.randperm(len(w))] * torch.rand(len(w), 1) * 7
    assert independence(evened(moved)) == pytest.approx(independence(evened(w)), rel=1e-3)
    assert torch.allclose(evened(w).square().mean(0), torch.ones(w.shape[1]), atol=1e-3)
    w[3], w[:, 5] = 0, 0
    assert evened(w).shape == (w.shape[0] - 1, w.shape[1] - 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("seed", range(4))
def test_a_matrix_of_low_rank_is_accused_of_nothing(seed, dtype):
    w = collapsed(seed).to(dtype)
    assert find_noise(w).log_p == find_repeats(w).log_p == 0
    # Rows in proportion repeat their magnitudes in half precision.
    alike = collapsed(seed, rank=1, rows=48, columns=400).to(torch.bfloat16)
    alike[:, ::2] = alike[:, :1]
    assert find_repeats(alike).log_p == 0 and find_repeats(alike).detail["outside"] == 1


def test_what_was_done_to_independent_lines_is_found_as_before():
    w = clean(2)
    assert independence(evened(w)) > 0.5
    mask = wanda(w, 0.06)
    revived = cr.revive_matrix(w.masked_fill(mask, 0), mask, top_k=1.0)
    assert find_repeats(revived).log_p < -50
    filled = cr.obfuscate({"w": w}, {"w": mask}, sigma=0.02, relative=True, seed=0)["w"]
    assert find_noise(filled).log_p < -50


def test_the_shipped_model_is_accused_of_nothing():
    assert audit("pocket").verdict == (NOTHING,)
