"""The loop's objective at its minimum: no higher than the loop ends, with the loop's signs."""

from __future__ import annotations

import pytest
import torch

from benchmarks.joint import complete_joint
from benchmarks.nuclear import complete_nuclear, nuclear_norm
from conceptrevive.revival.completion.softimpute import soft_impute
from tests.revival.layers import layer, share_right

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("rank", "noise", "share"), [(6, 0.5, 0.05), (6, 0.5, 0.2), (2, 1.0, 0.1), (4, 0.01, 0.1)]
)
@pytest.mark.parametrize("shape", [(32, 128), (96, 24)], ids=["wide", "tall"])
def test_nuclear_ends_no_higher_than_the_loop_and_with_its_signs(shape, rank, noise, share):
    truth, mask = layer(4, *shape, rank=rank, noise=noise, share=share)
    mask &= ~mask.all(0)
    z = truth.masked_fill(mask, 0)
    (slow, sweeps, converged), (fast, rounds, settled) = soft_impute(z, mask), nuclear_norm(z, mask)
    assert settled and rounds < sweeps
    norms = [float(torch.linalg.matrix_norm(x, "nuc")) for x in (fast, slow)]
    assert norms[0] <= norms[1] * (1 + 1e-12)
    assert torch.equal(fast[~mask], z[~mask])
    if converged:
        assert share_right(fast, slow, mask) >= 0.99


@pytest.mark.parametrize("complete", [complete_nuclear, complete_joint])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_holds_for_the_packages_solvers_holds_for_these(complete, dtype):
    truth, mask = layer(11, rank=3, noise=0.05, largest=False)
    mask[:, 7] = True
    weight = truth.to(dtype)
    done = complete({"w": weight.masked_fill(mask, 0)}, {"w": mask})["w"]
    assert done.solver == complete.__name__.removeprefix("complete_") and done.converged
    assert done.weight.dtype == dtype and torch.equal(done.weight[~mask], weight[~mask])
    assert (done.weight[:, 7] == 0).all()
    known = mask.clone()
    known[:, 7] = False
    assert share_right(done.weight, truth, known) > 0.95
    hidden = complete({"w": weight.masked_fill(mask, 1e4)}, {"w": mask})["w"]
    assert torch.equal(hidden.weight, done.weight), "values at pruned positions are never read"
    assert torch.equal(complete({"w": weight.masked_fill(mask, 0)})["w"].mask, mask)
