"""Rows and columns modelled together, against the dense matrix normal."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import conceptrevive as cr
import conceptrevive.revival.completion.covariance as covariance
from benchmarks.joint import choose_multiple, complete_joint, joint_mean
from tests.revival.layers import layer, share_right

pytestmark = pytest.mark.usefixtures("one_thread")


def test_joint_equals_the_dense_matrix_normal():
    truth, mask = layer(9, 6, 14, rank=2, largest=False)
    z = truth.masked_fill(mask, 0)
    x, _, converged = joint_mean(z, mask, multiple=2.0, tolerance=1e-12)
    assert converged
    rows = np.linalg.inv(covariance.column_model(z[None])[0][0].numpy())
    level = 2 * float(covariance.ledoit_wolf(z.T)) * float(z.square().sum()) / (6 * 14)
    columns = z.numpy().T @ z.numpy() / 6 + level * np.eye(14)
    c, m = np.kron(rows, columns), mask.numpy().ravel()
    expected = z.numpy().ravel().copy()
    expected[m] = c[np.ix_(m, ~m)] @ np.linalg.solve(c[np.ix_(~m, ~m)], expected[~m])
    np.testing.assert_allclose(x.numpy().ravel(), expected, rtol=1e-6, atol=1e-9)


def test_joint_without_columns_is_the_conditional_mean():
    truth, mask = layer(10)
    z = truth.masked_fill(mask, 0)
    x, _, _ = joint_mean(z, mask, multiple=math.inf, tolerance=1e-10)
    torch.testing.assert_close(x, cr.complete_matrix(z, mask).weight, rtol=1e-6, atol=1e-8)


def test_joint_listens_to_columns_that_go_together():
    # Columns in nearly equal pairs, rows independent: only the columns know.
    gains = []
    for seed in range(6):
        g = torch.Generator().manual_seed(seed)
        half = torch.randn(64, 16, generator=g, dtype=torch.float64)
        truth = torch.cat(
            [half, half + 0.1 * torch.randn(64, 16, generator=g, dtype=torch.float64)], dim=1
        )
        mask = torch.rand(truth.shape, generator=g) < 0.1
        z = truth.masked_fill(mask, 0)
        assert choose_multiple(z, mask) < math.inf
        joint = complete_joint({"w": z}, {"w": mask})["w"]
        plain = cr.complete_matrix(z, mask)
        gains.append(
            share_right(joint.weight, truth, mask) - share_right(plain.weight, truth, mask)
        )
    assert np.mean(gains) > 0.01
