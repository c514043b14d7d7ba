"""Every solver: against known truth, literal dense oracles, and what holds for any matrix."""

from __future__ import annotations

import math
import warnings
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

import conceptrevive as cr
from conceptrevive.revival.completion.softimpute import soft_impute, soft_impute_sweeps
from conceptrevive.revival.defaults import SOLVERS

pytestmark = pytest.mark.usefixtures("one_thread")
solvers = pytest.mark.parametrize("solver", SOLVERS)
#: `prior` takes pruned entries for the largest; where they are not, it may do worse than the
#: others.
at_random = pytest.mark.parametrize("solver", [s for s in SOLVERS if s != "prior"])
dtypes = pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16]
)


def matrix(rows, columns, rank, missing, seed=0):
    """A random matrix of the given rank (None: i.i.d. noise) and a mask of independent entries."""
    g = torch.Generator().manual_seed(seed)
    if rank is None:
        truth = torch.randn(rows, columns, generator=g, dtype=torch.float64)
    else:
        left = torch.randn(rows, rank, generator=g, dtype=torch.float64)
        truth = left @ torch.randn(rank, columns, generator=g, dtype=torch.float64)
    return truth, torch.rand(rows, columns, generator=g) < missing


def bits(x):
    """The raw bits, so that −0.0 and 0.0 differ."""
    return x.view({8: torch.int64, 4: torch.int32, 2: torch.int16}[x.element_size()])


def sign_share(a, b, mask):
    return float((a.sign() == b.sign())[mask].double().mean())


# --- known truth ----------------------------------------------------------------------------------


@at_random
@pytest.mark.parametrize(
    ("rows", "columns", "rank", "missing"), [(32, 128, 4, 0.1), (32, 128, 4, 0.2), (24, 96, 4, 0.1)]
)
def test_low_rank_signs_come_back(solver, rows, columns, rank, missing):
    truth, mask = matrix(rows, columns, rank, missing)
    done = cr.complete_matrix(truth.masked_fill(mask, 0), mask, solver=solver)
    assert sign_share(done.weight, truth, mask) > 0.95


def test_conditional_mean_finds_the_value_where_all_other_columns_are_whole():
    truth, _ = matrix(24, 400, 2, 0)
    mask = torch.zeros(24, 400, dtype=torch.bool)
    mask[[5, 9, 20], [7, 7, 300]] = True
    done = cr.complete_matrix(truth.masked_fill(mask, 0), mask, ridge=1e-6)
    assert float((done.weight - truth)[mask].norm() / truth[mask].norm()) < 0.05


@solvers
def test_noise_holds_nothing_to_recover(solver):
    shares = []
    for seed in range(4):
        truth, mask = matrix(32, 128, None, 0.1, seed)
        shares.append(
            sign_share(cr.complete_matrix(truth, mask, solver=solver).weight, truth, mask)
        )
    # About 1600 coin tosses: 0.05 is four standard deviations.
    assert abs(np.mean(shares) - 0.5) < 0.05


# --- dense oracles --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 40), (20, 20), (30, 10)])
@pytest.mark.parametrize("ridge", [1e-3, 1e-1])
def test_conditional_equals_dense_conditional_mean(shape, ridge):
    truth, mask = matrix(*shape, 5, 0.2)
    done = cr.complete_matrix(truth, mask, ridge=ridge, max_iterations=2000, tolerance=1e-13)
    z, m = truth.masked_fill(mask, 0).numpy(), mask.numpy()
    rows, columns = shape
    c = z @ z.T / columns
    k = np.linalg.inv(c + ridge * np.mean(np.diag(c)) * np.eye(rows))
    expected = z.copy()
    for j in range(columns):
        lost, kept = np.flatnonzero(m[:, j]), np.flatnonzero(~m[:, j])
        if len(lost):
            expected[lost, j] = np.linalg.solve(
                k[np.ix_(lost, lost)], -k[np.ix_(lost, kept)] @ z[kept, j]
            )
    assert done.converged
    np.testing.assert_allclose(done.weight.numpy(), expected, rtol=1e-6, atol=1e-8)


def literal_soft_impute(z, m, limit=500, tolerance=1e-5):
    """Released code: singular values shrunk by the smallest, observed entries restored."""
    x = z.copy()
    for j in range(z.shape[1]):
        kept = z[~m[:, j], j]
        x[m[:, j], j] = kept.mean() if len(kept) else 0
    for sweep in range(1, limit + 1):
        u, sigma, vt = np.linalg.svd(x, full_matrices=False)
        new = np.where(m, u @ np.diag(np.maximum(sigma - sigma[-1], 0)) @ vt, z)
        change = np.linalg.norm(new - x) / np.linalg.norm(x)
        x = new
        if change < tolerance:
            return x, sweep, True
    return x, limit, False


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)], ids=["wide", "tall"])
@pytest.mark.parametrize("missing", [0.02, 0.2])
def test_paper_equals_literal_svd_loop(shape, missing):
    truth, mask = matrix(*shape, None, missing, seed=3)
    done = cr.complete_matrix(truth, mask, solver="paper")
    expected, sweeps, converged = literal_soft_impute(
        truth.masked_fill(mask, 0).numpy(), mask.numpy()
    )
    assert (done.iterations, done.converged) == (sweeps, converged)
    assert sweeps > 3, "a loop that stops at once compares nothing"
    np.testing.assert_allclose(done.weight.numpy(), expected, rtol=1e-6, atol=1e-8)


def test_paper_lowers_the_nuclear_norm():
    truth, mask = matrix(16, 64, None, 0.2)
    norms = [
        float(
            torch.linalg.matrix_norm(
                cr.complete_matrix(truth, mask, solver="paper", max_iterations=n).weight, "nuc"
            )
        )
        for n in (1, 5, 50)
    ]
    assert norms[0] > norms[1] > norms[2]


def test_iteration_limit_is_kept_and_reported():
    truth, mask = matrix(16, 64, None, 0.2)
    for solver in ("paper", "conditional"):
        done = cr.complete_matrix(truth, mask, solver=solver, max_iterations=2)
        assert (done.iterations, done.converged, done.solver) == (2, False, solver)


# --- invariants -----------------------------------------------------------------------------------


@solvers
@dtypes
def test_survivors_are_bitwise_unchanged_and_dtype_and_shape_kept(solver, dtype):
    truth, mask = matrix(16, 64, 3, 0.1)
    weight = truth.to(dtype)
    weight[0, 0], mask[0, 0] = -0.0, False
    before = weight.clone()
    done = cr.complete_matrix(weight, mask, solver=solver)
    assert (done.weight.dtype, done.weight.shape, done.weight.device) == (
        dtype,
        weight.shape,
        weight.device,
    )
    assert torch.equal(bits(done.weight)[~mask], bits(weight)[~mask])
    assert torch.equal(done.mask, mask)
    assert torch.isfinite(done.weight).all()
    assert (done.weight[mask] != 0).double().mean() > 0.99
    assert torch.equal(weight, before), "the argument was written to"


@solvers
@dtypes
def test_empty_mask_is_identity(solver, dtype):
    weight = matrix(8, 32, None, 0)[0].to(dtype)
    done = cr.complete_matrix(weight, torch.zeros(8, 32, dtype=torch.bool), solver=solver)
    assert torch.equal(done.weight, weight)
    assert (done.iterations, done.converged) == (0, True)


@solvers
def test_values_at_pruned_positions_never_matter(solver):
    truth, mask = matrix(16, 64, 3, 0.1)
    expected = cr.complete_matrix(truth.masked_fill(mask, 0), mask, solver=solver).weight
    for value in (1.0, 1e30, math.inf, math.nan):
        assert torch.equal(
            cr.complete_matrix(truth.masked_fill(mask, value), mask, solver=solver).weight, expected
        )


@solvers
def test_no_mask_reads_exact_zeros(solver):
    truth, mask = matrix(16, 64, 3, 0.1)
    pruned = truth.masked_fill(mask, 0)
    done = cr.complete_matrix(pruned, solver=solver)
    assert torch.equal(done.mask, mask)
    assert torch.equal(done.weight, cr.complete_matrix(pruned, mask, solver=solver).weight)


@solvers
def test_runs_reproduce_bit_for_bit(solver):
    truth, mask = matrix(16, 64, 3, 0.1)
    a, b = (cr.complete_matrix(truth, mask, solver=solver).weight for _ in range(2))
    assert torch.equal(a, b)


@solvers
@pytest.mark.parametrize("what", ["rows", "columns"])
def test_permuting_first_or_last_is_the_same(solver, what):
    # Few sweeps: rounding must not move the sweep at which the rule stops.
    truth, mask = matrix(16, 64, 3, 0.1)
    g = torch.Generator().manual_seed(9)
    order = torch.randperm(16 if what == "rows" else 64, generator=g)
    take = (lambda x: x[order]) if what == "rows" else (lambda x: x[:, order])
    options = dict(solver=solver, max_iterations=20)
    a = take(cr.complete_matrix(truth, mask, **options).weight)
    b = cr.complete_matrix(take(truth), take(mask), **options).weight
    torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@solvers
@pytest.mark.parametrize("scale", [2.0**-12, 2.0**8])
def test_scaling_by_a_power_of_two_scales_the_estimate(solver, scale):
    truth, mask = matrix(16, 64, 3, 0.1)
    a, b = (
        cr.complete_matrix(truth, mask, solver=solver),
        cr.complete_matrix(truth * scale, mask, solver=solver),
    )
    assert a.iterations == b.iterations
    torch.testing.assert_close(a.weight * scale, b.weight, rtol=1e-9, atol=0)


@solvers
@pytest.mark.parametrize(
    ("dtype", "exponent"), [(torch.float64, 700), (torch.float32, 100), (torch.float32, -100)]
)
def test_squares_out_of_range_do_no_harm(solver, dtype, exponent):
    truth, mask = matrix(16, 64, 3, 0.1)
    plain, scaled = (truth * 2.0**e for e in (0, exponent))
    a, b = (
        cr.complete_matrix(w.to(dtype), mask, solver=solver).weight.double()
        for w in (plain, scaled)
    )
    assert torch.equal(a * 2.0**exponent, b)


@solvers
def test_survivors_that_are_all_zero_say_nothing(solver):
    mask = torch.zeros(4, 8, dtype=torch.bool)
    mask[1, 2] = True
    assert (cr.complete_matrix(torch.zeros(4, 8), mask, solver=solver).weight == 0).all()


# --- fully pruned rows and columns ----------------------------------------------------------------


@solvers
def test_fully_pruned_rows_stay_zero_and_the_rest_is_recovered(solver):
    truth, mask = matrix(32, 128, 4, 0.2)
    dead = mask.clone()
    dead[[3, 7]] = True
    with pytest.warns(
        UserWarning, match="layer: 2 fully pruned rows have nothing to go by and stay 0"
    ):
        done = cr.complete_matrix(truth, dead, solver=solver, name="layer")
    assert (done.weight[[3, 7]] == 0).all()
    mask[[3, 7]] = False
    assert sign_share(done.weight, truth, mask) > (0.9 if solver == "prior" else 0.95)
    # What is left does not know that there were other rows.
    live = torch.tensor([i for i in range(32) if i not in (3, 7)])
    assert torch.equal(
        done.weight[live], cr.complete_matrix(truth[live], dead[live], solver=solver).weight
    )


@solvers
def test_a_matrix_with_nothing_left(solver):
    with pytest.warns(UserWarning, match="weight: 4 fully pruned rows"):
        done = cr.complete_matrix(
            torch.ones(4, 8), torch.ones(4, 8, dtype=torch.bool), solver=solver
        )
    assert (done.weight == 0).all() and done.converged


@solvers
@pytest.mark.parametrize("shape", [(32, 128), (128, 32)], ids=["wide", "tall"])
def test_fully_pruned_columns_are_filled_with_zero_and_the_rest_is_recovered(solver, shape):
    truth, mask = matrix(*shape, 4, 0.2)
    without = truth.masked_fill(mask, 0)
    columns = [2, 5]
    dead = mask.clone()
    dead[:, columns] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = cr.complete_matrix(without, dead, solver=solver)
    assert (done.weight[:, columns] == 0).all()
    mask[:, columns] = False
    assert sign_share(done.weight, truth, mask) > 0.9


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "shape"),
    [
        (torch.zeros(4), r"\(4,\)"),
        (torch.zeros(2, 3, 4), r"\(2, 3, 4\)"),
        (torch.zeros(2, 3, dtype=torch.int64), r"\(2, 3\)"),
        (torch.zeros(2, 3, dtype=torch.complex64), r"\(2, 3\)"),
    ],
)
def test_only_float_matrices(weight, shape):
    with pytest.raises(
        cr.ConceptReviveError,
        match=f"layer: completion needs a float matrix, not {shape}: pass one layer's",
    ):
        cr.complete_matrix(weight, name="layer")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            torch.zeros(3, 2, dtype=torch.bool),
            r"mask \(3, 2\) does not fit weight \(2, 3\): locate",
        ),
        (torch.zeros(3).bool(), r"mask \(3,\) does not fit weight \(2, 3\): locate"),
        (torch.zeros(2, 3), r"the mask is torch\.float32: make it boolean, True where pruned"),
        (torch.zeros(2, 3, dtype=torch.uint8), r"the mask is torch\.uint8: make it boolean"),
        (np.zeros((2, 3), dtype=bool), r"the mask is a ndarray: give a torch\.bool tensor, True ="),
    ],
)
def test_masks_that_do_not_fit(mask, message):
    with pytest.raises(cr.ConceptReviveError, match=f"layer: {message}"):
        cr.complete_matrix(torch.ones(2, 3), mask, name="layer")


def test_one_form_each():
    """Mappings go to `complete` and `revive`; a matrix given to them is told where to go."""
    weight = torch.randn(4, 8)
    for call in (cr.complete, cr.revive):
        message = (
            r"weights is a Tensor: give \{module name: matrix\}, see `read_weights`; "
            f"for one matrix there is `{call.__name__}_matrix`"
        )
        with pytest.raises(cr.ConceptReviveError, match=message):
            call(weight)
    for call in (cr.complete_matrix, cr.revive_matrix):
        with pytest.raises(
            cr.ConceptReviveError, match="layer: the weight is a ndarray: give a torch tensor"
        ):
            call(weight.numpy(), name="layer")


@solvers
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_survivors(solver, value):
    weight, mask = torch.ones(4, 8), torch.zeros(4, 8, dtype=torch.bool)
    mask[0, 0], weight[1, 1] = True, value
    with pytest.raises(
        cr.ConceptReviveError,
        match="layer: surviving entries hold NaN or Inf: the checkpoint is damaged",
    ):
        cr.complete_matrix(weight, mask, solver=solver, name="layer")


@pytest.mark.parametrize("missing", [0, 0.1], ids=["nothing to do", "something to do"])
def test_unknown_solver(missing):
    truth, mask = matrix(8, 32, 2, missing)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"solver 'magic' is unknown: choose one of conditional, prior, paper$",
    ):
        cr.complete_matrix(truth, mask, solver="magic")


def test_what_cannot_be_completed_is_named():
    weight = torch.randn(4, 8)
    with pytest.raises(cr.ConceptReviveError, match="max_iterations is 0: it must be at least 1"):
        cr.complete_matrix(weight, max_iterations=0)
    with pytest.raises(cr.ConceptReviveError, match="b: the mask has no such layer"):
        cr.complete({"a": weight}, {"b": weight > 0})
    with pytest.raises(
        cr.ConceptReviveError, match="float8_e4m3fn cannot be computed with: convert the weight"
    ):
        cr.complete_matrix(weight.to(torch.float8_e4m3fn))
    assert cr.revive_matrix(torch.zeros(3, 0)).shape == (3, 0)


def test_a_layer_that_does_not_settle_leaves_the_others_verdict(one_thread):
    """Solved together, each layer still has its own `converged`."""
    g = torch.Generator().manual_seed(0)
    easy, hard = torch.randn(16, 64, generator=g), torch.randn(16, 64, generator=g)
    masks = {
        "easy": torch.zeros(16, 64, dtype=torch.bool),
        "hard": torch.rand(16, 64, generator=g) < 0.4,
    }
    masks["easy"][0, 0] = True
    done = cr.complete({"easy": easy, "hard": hard}, masks, max_iterations=2, ridge=1e-3)
    assert done["easy"].converged and not done["hard"].converged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iterations": 2.5}, "max_iterations is a float: give a whole number"),
        ({"max_iterations": True}, "max_iterations is a bool: give a whole number"),
        ({"tolerance": 0}, "tolerance is 0: it is a relative change or residual, above 0"),
        ({"tolerance": math.nan}, "tolerance is nan: it is"),
        ({"tolerance": "small"}, "tolerance is a str: give a number"),
        ({"ridge": -0.1}, "ridge is -0.1: it is a share of the covariance's mean diagonal, 0 or"),
        ({"ridge": math.inf}, "ridge is inf: it is a share"),
        ({"ridge": "auto"}, "ridge is a str: give a number"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.complete_matrix(torch.randn(4, 8), **options)


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)], ids=["wide", "tall"])
def test_the_loop_can_be_watched_sweep_by_sweep(shape):
    truth, mask = matrix(*shape, 3, 0.1)
    z = truth.masked_fill(mask, 0)
    filled, sweeps, converged = soft_impute(z, mask, limit=200, tolerance=1e-3)
    assert converged and sweeps > 3
    seen = list(islice(soft_impute_sweeps(z, mask), sweeps))
    assert torch.equal(seen[-1][0], filled)
    assert [change < 1e-3 for _, change in seen] == [False] * (sweeps - 1) + [True]
    for (x, _), (y, change) in pairwise(seen):
        assert torch.equal(y[~mask], z[~mask])
        assert change == pytest.approx(float((y - x).norm() / x.norm()))
