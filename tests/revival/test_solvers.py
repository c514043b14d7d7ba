"""What is inside the solvers: covariance, ridge, gathered systems, the loop, side, prior."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import conceptrevive as cr
import conceptrevive.revival.completion.conditional as conditional
import conceptrevive.revival.completion.covariance as covariance
import conceptrevive.revival.completion.ridge as ridges
import conceptrevive.revival.completion.right_sides as right_sides
from conceptrevive.revival.completion.holdout import hide_largest, thresholds
from conceptrevive.revival.completion.occupancy import places_of
from conceptrevive.revival.completion.prior import (
    choose_trust,
    expected_value,
    mean_field,
    sign_probability,
)
from conceptrevive.revival.completion.problems import _say_once, working_device
from conceptrevive.revival.completion.ridge import RIDGES, leave_one_out_ridge
from conceptrevive.revival.completion.softimpute import soft_impute
from tests.revival.layers import layer, share_right

pytestmark = pytest.mark.usefixtures("one_thread")


# --- covariance -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 40), (20, 8)])
def test_ledoit_wolf_equals_its_definition(shape):
    z = layer(0, *shape, rank=2)[0]
    samples = z.numpy().T
    s = samples.T @ samples / len(samples)
    target = np.trace(s) / len(s) * np.eye(len(s))
    noise = sum(np.sum((np.outer(x, x) - s) ** 2) for x in samples) / len(samples) ** 2
    share = min(1, noise / np.sum((s - target) ** 2))
    assert 0 < share < 1
    assert float(covariance.ledoit_wolf(z)) == pytest.approx(share / (1 - share), rel=1e-9)


@pytest.mark.parametrize("noise", [0.02, 0.5, 3.0])
def test_ridge_is_the_best_of_those_tried_at_predicting_what_is_left_out(noise):
    truth, mask = layer(1, 8, 40, rank=2, noise=noise)
    z = truth.masked_fill(mask, 0).numpy()
    errors = []
    for ridge in RIDGES:
        level, total = ridge * np.sum(z * z) / z.size, 0.0
        for j in range(40):
            others = np.delete(z, j, axis=1)
            c = others @ others.T / 40 + level * np.eye(8)
            for i in np.flatnonzero(z[:, j]):
                rest = np.delete(np.arange(8), i)
                total += (
                    z[i, j] - c[i, rest] @ np.linalg.solve(c[np.ix_(rest, rest)], z[rest, j])
                ) ** 2
        errors.append(total)
    chosen = float(leave_one_out_ridge(truth.masked_fill(mask, 0)[None]))
    assert chosen == RIDGES[int(np.argmin(errors))]


@pytest.mark.parametrize("noise", [0.02, 0.5, 3.0])
def test_the_slope_of_the_error_is_its_derivative(monkeypatch, noise):
    truth, mask = layer(1, 12, 60, rank=2, noise=noise)
    z = truth.masked_fill(mask, 0)[None]
    monkeypatch.setattr(ridges, "RIDGES", (1.0, math.exp(1e-5), math.exp(-1e-5)))
    known = ridges._Errors(z, covariance.gram(z) / 60)
    for i in range(3):
        known.look(i, [0])
    up, down = (math.log(known.errors[0][i]) for i in (1, 2))
    assert known.slope(0, 0) == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-7)
    assert abs(known.slope(0, 0)) > ridges.SLIGHT, "a slope of nothing compares nothing"


def test_no_ridge_is_looked_at_uphill(monkeypatch):
    looked = []
    look = ridges._Errors.look
    monkeypatch.setattr(
        ridges._Errors, "look", lambda self, i, layers: (looked.append(i), look(self, i, layers))
    )
    z = torch.stack([layer(0, noise=v)[0] for v in (0.01, 3.0)])
    chosen = leave_one_out_ridge(z)
    assert chosen[0] < 1 < chosen[1]
    looked.clear()
    leave_one_out_ridge(z[1:])
    start = RIDGES.index(1.0)
    last = max(looked)  # the one chosen, or the one after it, which is no better
    assert min(looked) == start and chosen[1] in RIDGES[last - 1 : last + 1]


def test_where_the_error_is_nearly_level_the_ridge_stays(monkeypatch):
    looked = []
    look = ridges._Errors.look
    monkeypatch.setattr(
        ridges._Errors, "look", lambda self, i, layers: (looked.append(i), look(self, i, layers))
    )
    monkeypatch.setattr(ridges._Errors, "slope", lambda self, j, i: ridges.SLIGHT / 2)
    assert leave_one_out_ridge(layer(0)[0][None]) == 1 and looked == [RIDGES.index(1.0)]


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_ridge_chosen_is_nearly_the_best(noise, seed):
    z = layer(seed, noise=noise)[0][None]
    known = ridges._Errors(z, covariance.gram(z) / z.shape[-1])
    for i in range(len(RIDGES)):
        known.look(i, [0])
    chosen = min(range(len(RIDGES)), key=lambda i: abs(RIDGES[i] - float(leave_one_out_ridge(z))))
    assert known.errors[0][chosen] <= 1.01 * min(known.errors[0].values())


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5), (2, 8), (7, 9), (40, 33)])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_places_are_those_of_nonzero(shape, offset):
    count = math.prod(shape)
    whole = torch.rand(count + offset, generator=torch.Generator().manual_seed(0)) < 0.3
    for flags in (whole, torch.zeros_like(whole), torch.ones_like(whole)):
        mask = flags[offset:].view(shape)
        assert torch.equal(places_of(mask), mask.flatten().nonzero().squeeze(1))
        assert torch.equal(places_of(mask.T), mask.T.flatten().nonzero().squeeze(1))


@pytest.mark.parametrize("rows", [7, 160, 161, 330])
def test_gram_by_halves_is_the_product(rows):
    z = torch.randn(2, rows, 9, generator=torch.Generator().manual_seed(rows)).double()
    torch.testing.assert_close(covariance.gram(z), z @ z.mT)


def test_ridge_grows_with_noise():
    ridges = [float(leave_one_out_ridge(layer(0, noise=v)[0][None])) for v in (0.01, 0.5, 3.0)]
    assert ridges[0] < ridges[1] < ridges[2]
    shrinkage = [float(covariance.ledoit_wolf(layer(0, noise=v)[0])) for v in (0.01, 0.5, 3.0)]
    assert shrinkage[0] < shrinkage[1] < shrinkage[2]


@pytest.mark.parametrize(("noise", "dtype"), [(0.5, torch.float32), (1e-5, torch.float64)])
def test_precision_follows_the_condition_number(noise, dtype):
    truth, mask = layer(1, rank=4, noise=noise, largest=False)
    single = truth.float().masked_fill(mask, 0)
    k, _ = covariance.column_model(single[None], ridge=1e-9)
    assert k.dtype == dtype
    a, b = (
        cr.complete_matrix(single, mask, ridge=1e-9),
        cr.complete_matrix(single.double(), mask, ridge=1e-9),
    )
    assert a.weight.dtype == torch.float32
    assert float((a.weight - b.weight)[mask].norm() / b.weight[mask].norm()) < 1e-3


def test_a_singular_covariance_is_named():
    with pytest.raises(
        cr.ConceptReviveError, match=r"layer: the covariance with ridge 0\.0 is singular: raise the"
    ):
        mask = torch.zeros(4, 8, dtype=torch.bool)
        mask[0, 0] = True
        cr.complete_matrix(torch.ones(4, 8), mask, ridge=0.0, name="layer")


# --- conditional ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "entries"), [(0.0, 1 << 24), (1.0, 1 << 24), (1.0, 100), (0.1, 1000)]
)
def test_how_columns_are_gathered_does_not_matter(monkeypatch, share, entries):
    truth, mask = layer(2)
    expected = cr.complete_matrix(truth, mask, tolerance=1e-12).weight
    monkeypatch.setattr(conditional, "GATHER_SHARE", share)
    parts = conditional.Missing.few
    monkeypatch.setattr(conditional.Missing, "few", lambda self, limit: parts(self, limit, entries))
    torch.testing.assert_close(
        cr.complete_matrix(truth, mask, tolerance=1e-12).weight, expected, rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sampled", [0.0, 1.0], ids=["dense", "sampled"])
def test_every_column_equals_its_own_dense_solution(monkeypatch, sampled, dtype):
    """Rows of few and of many gaps, a column of none, one of a single survivor, two layers."""
    monkeypatch.setattr(right_sides, "SAMPLED_SHARE", sampled)
    monkeypatch.setattr(conditional, "GATHER_SHARE", 0.3)
    z = torch.stack([layer(i, 24, 60)[0] for i in range(2)])
    missing = torch.stack([layer(i, 24, 60, share=0.2, largest=False)[1] for i in range(2)])
    missing[:, :, 7] = False
    missing[0, 1:, 9] = True
    z = z.masked_fill(missing, 0).to(dtype)
    x, steps, converged = conditional.conditional_mean(
        z.clone(), missing, ridge=0.2, tolerance=1e-12 if dtype == torch.float64 else 1e-6
    )
    assert converged.all() and steps > 0, "some columns are to be solved by steps"
    for i in range(2):
        c = (z[i] @ z[i].T).double().numpy() / 60
        k = np.linalg.inv(c + 0.2 * np.mean(np.diag(c)) * np.eye(24))
        expected = z[i].double().numpy().copy()
        for j in range(60):
            lost = np.flatnonzero(missing[i, :, j].numpy())
            expected[lost, j] = -np.linalg.solve(k[np.ix_(lost, lost)], (k @ expected[:, j])[lost])
        close = dict(rtol=1e-7, atol=1e-9) if dtype == torch.float64 else dict(rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(x[i].double().numpy(), expected, **close)


def test_factored_columns_take_no_steps_and_leave_no_residual():
    truth, _ = layer(4, 40, 60)
    mask = torch.zeros_like(truth, dtype=torch.bool)
    mask[[3, 17, 17], [5, 5, 20]] = True
    done = cr.complete_matrix(truth, mask, max_iterations=1, tolerance=1e-300)
    assert (done.iterations, done.converged) == (0, True)


def test_columns_at_rest_are_left_out_and_keep_their_solution(monkeypatch):
    g = torch.Generator().manual_seed(0)
    a = torch.randn(30, 60, generator=g, dtype=torch.float64)
    k, right = a @ a.T / 60, torch.randn(50, 30, generator=g, dtype=torch.float64)
    right[:20] *= 0  # at rest from the start
    served = []

    def narrow(rows):
        served.append(len(rows))
        return lambda p: p @ k

    goal = (lambda p: p @ k, right, k.diagonal().expand_as(right), 200, 1e-11)
    found, steps, settled = conditional.conjugate_gradients(*goal, narrow)
    plain, same_steps, _ = conditional.conjugate_gradients(*goal)
    assert served[0] == 30 and served == sorted(served, reverse=True) and steps == same_steps
    assert settled.all() and (found[:20] == 0).all()
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found @ k, right, rtol=1e-8, atol=1e-9)


def test_layers_solved_together_equal_layers_solved_alone():
    cases = {
        f"{i}": layer(i, *shape) for i, shape in enumerate([(16, 64)] * 3 + [(12, 64), (16, 64)])
    }
    cases["3"][1][:, 5] = True  # one with a fully pruned column, one without a gap
    cases["4"][1][:] = False
    weights, masks = ({n: c[i] for n, c in cases.items()} for i in (0, 1))
    together = cr.complete(weights, masks, tolerance=1e-12)
    assert list(together) == list(weights)
    for n, done in together.items():
        alone = cr.complete_matrix(weights[n], masks[n], tolerance=1e-12)
        torch.testing.assert_close(done.weight, alone.weight, rtol=1e-8, atol=1e-10)


def test_each_layer_reports_its_own_sweeps():
    cases = {
        n: layer(i, 16, 64, noise=noise)
        for i, (n, noise) in enumerate({"a": 0.1, "b": 5.0}.items())
    }
    weights, masks = ({n: c[i] for n, c in cases.items()} for i in (0, 1))
    together = cr.complete(weights, masks, solver="paper")
    alone = {n: cr.complete_matrix(weights[n], masks[n], solver="paper").iterations for n in cases}
    assert {n: c.iterations for n, c in together.items()} == alone and alone["a"] != alone["b"]


def test_estimates_too_large_for_the_dtype_are_named():
    # Rank one: the missing entry is twice the one above it, 120 000.
    row = torch.linspace(1000, 60000, 32)
    weight = torch.stack([row, row.clamp_max(32000) * 2])
    weight[:, 16:-1] *= 0.5
    weight[1] = weight[0] * 2
    mask = torch.zeros(2, 32, dtype=torch.bool)
    mask[1, -1] = True
    weight[1, -1] = 0
    with pytest.raises(
        cr.ConceptReviveError,
        match="layer: completed entries are not finite in float16: complete the",
    ):
        cr.complete_matrix(weight.half(), mask, ridge=1e-7, name="layer")


def test_apples_gpu_is_completed_on_the_cpu_and_says_so_once():
    _say_once.cache_clear()
    with pytest.warns(UserWarning, match="completion runs on the CPU: Apple's GPU has no float64"):
        assert working_device(torch.device("mps")) == torch.device("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert working_device(torch.device("mps")) == torch.device("cpu")
        assert working_device(torch.device("cuda")) == torch.device("cuda")


# --- the loop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)], ids=["wide", "tall"])
def test_both_forms_of_the_loop_agree(shape):
    truth, mask = layer(3, *shape, largest=False)
    z = truth.masked_fill(mask, 0)
    (a, n, _), (b, m, _) = (soft_impute(z, mask, 60, 1e-5, form) for form in ("gram", "svd"))
    assert n == m > 3
    torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


# --- side information -----------------------------------------------------------------------------


def test_side_information_equals_the_dense_conditional_mean(monkeypatch):
    """With all of the cross-covariance believed it is one Gaussian over both's rows."""
    monkeypatch.setattr(
        covariance, "cross_share", lambda z, _side, _cross: torch.ones(z.shape[:-2], dtype=z.dtype)
    )
    truth, mask = layer(5, 8, 60, rank=3)
    side = torch.cat([truth[:3] + 1, truth[5:6] - truth[6:7]])
    z = truth.masked_fill(mask, 0)
    done = cr.complete_matrix(z, mask, side=side, ridge=0.1, tolerance=1e-13)
    both = torch.cat([z, side]).numpy()
    c = both @ both.T / 60
    c[range(8), range(8)] += 0.1 * np.mean(np.diag(c)[:8])
    c[range(8, 12), range(8, 12)] += float(leave_one_out_ridge(side[None])) * np.mean(
        np.diag(c)[8:]
    )
    expected = z.numpy().copy()
    for j in range(60):
        lost = np.flatnonzero(mask[:, j].numpy())
        kept = np.setdiff1d(np.arange(12), lost)
        expected[lost, j] = c[np.ix_(lost, kept)] @ np.linalg.solve(
            c[np.ix_(kept, kept)], both[kept, j]
        )
    np.testing.assert_allclose(done.weight.numpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["conditional", "prior"])
def test_side_information_helps_where_it_informs_and_is_ignored_where_it_does_not(solver):
    plain, told, misled = [], [], []
    for seed in range(4):
        truth, mask = layer(seed)
        g = torch.Generator().manual_seed(seed)
        noise = torch.randn(truth.shape, generator=g, dtype=torch.float64)
        for out, side in ((plain, None), (told, truth + noise), (misled, noise)):
            out.append(
                share_right(
                    cr.complete_matrix(truth, mask, solver=solver, side=side).weight, truth, mask
                )
            )
    assert np.mean(told) > np.mean(plain) + 0.03
    assert abs(np.mean(misled) - np.mean(plain)) < 0.02


def test_side_information_that_does_not_fit():
    truth, mask = layer(0)
    for side in (truth[:, :9], truth[0], truth * math.nan):
        with pytest.raises(
            cr.ConceptReviveError, match=r"layer: side information .* must be finite, a row of 128"
        ):
            cr.complete_matrix(truth, mask, side=side, name="layer")
    with pytest.raises(cr.ConceptReviveError, match="solver 'paper' takes no side information"):
        cr.complete_matrix(truth, mask, side=truth, solver="paper")


def test_read_side_is_the_value_half_of_the_layer_before(tiny):
    side = cr.read_side(tiny)
    for name, weight in cr.read_weights(tiny).items():
        first = tiny.unet.get_submodule(name.replace("net.2", "net.0.proj"))
        x = torch.randn(3, weight.shape[0])
        value, gate = first(x).chunk(2, dim=-1)
        geglu = tiny.unet.get_submodule(name.replace("net.2", "net.0"))(x)
        torch.testing.assert_close(geglu, value * torch.nn.functional.gelu(gate))
        torch.testing.assert_close(x @ side[name] + first.bias[: weight.shape[1]], value)
    with pytest.raises(
        cr.ConceptReviveError, match=r"to_out.0: no layer before it makes its inputs"
    ):
        cr.read_side(tiny, [name.replace("ff.net.2", "attn1.to_out.0")])


# --- prior ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [-3.0, -0.2, 0.0, 0.7, 40.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0])
def test_sign_and_expectation_by_integration(mean, threshold):
    x = torch.linspace(-80, 80, 400_001, dtype=torch.float64)
    density = torch.exp(-0.5 * ((x - mean) / 1.3) ** 2) * (x.abs() > threshold)
    given = [torch.tensor(v, dtype=torch.float64) for v in (mean, 1.3, threshold)]
    positive = float(density[x > 0].sum() / density.sum())
    value, logit = expected_value(*given)
    assert float(torch.sigmoid(logit)) == pytest.approx(positive, abs=1e-4)
    assert float(value) == pytest.approx(float((x * density).sum() / density.sum()), abs=1e-3)


def test_expectation_is_sound_far_out_in_float32():
    for mean in (0.0, 1e-3, -2.0):
        value, _ = expected_value(torch.tensor(mean), torch.tensor(1e-3), torch.tensor(5.0))
        assert abs(float(value)) <= 5.01
    assert float(value) == pytest.approx(-5, abs=0.01)


def test_without_trust_the_prior_is_the_conditional_mean():
    truth, mask = layer(6)
    z = truth.masked_fill(mask, 0)[None]
    x, _, settled, logit = mean_field(z, mask[None], trust=0.0, tolerance=1e-6, limit=500)
    assert settled
    torch.testing.assert_close(x[0], cr.complete_matrix(truth, mask).weight, rtol=1e-4, atol=1e-5)
    assert torch.equal(logit[0].sign()[mask], x[0].sign()[mask]) and (logit[0][~mask] == 0).all()


def test_thresholds_and_hidden_entries_by_hand():
    z = torch.tensor([[3.0, 1.0, 0.0, 2.0], [0.0, -2.0, 4.0, 1.0]])
    mask = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
    theta = torch.tensor([(9 + 1 + 4) / 3, (4 + 16 + 1) / 3]).sqrt()
    # Columns 0 and 2 hold a pruned entry: a_0 = 3/θ_0, a_2 = 4/θ_1.
    expected = torch.stack(
        [theta * 3 / theta[0], torch.zeros(2), theta * 4 / theta[1], torch.zeros(2)], dim=1
    )
    torch.testing.assert_close(thresholds(z, mask), expected)
    assert hide_largest(z, mask, share=0.5).int().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]


def test_hidden_entries_are_survivors_and_as_many_as_asked():
    truth, mask = layer(7, share=0.08)
    hidden = hide_largest(truth.masked_fill(mask, 0), mask)
    assert not (hidden & mask).any()
    assert torch.equal(hidden.sum(1), (mask.sum(1) * 0.25).ceil().long())
    assert truth.abs()[hidden].mean() > 1.3 * truth.abs()[~mask].mean()


def test_prior_beats_the_conditional_mean_where_the_largest_were_pruned():
    gains, errors = [], []
    for seed in range(8):
        truth, mask = layer(seed)
        a, b = (cr.complete_matrix(truth, mask, solver=s).weight for s in ("prior", "conditional"))
        gains.append(share_right(a, truth, mask) - share_right(b, truth, mask))
        errors.append(float((a - truth)[mask].norm() / (b - truth)[mask].norm()))
    assert np.mean(gains) > 0.01
    assert np.mean(errors) < 0.9


def test_trust_and_probability_come_from_survivors_alone():
    truth, mask = layer(8)
    noisy = torch.where(mask, torch.randn_like(truth) * 100, truth)
    for w in (truth, noisy):
        z = w.masked_fill(mask, 0)
        assert choose_trust(z[None], mask[None]) > 0
    a, b = (sign_probability(w.masked_fill(mask, 0), mask) for w in (truth, noisy))
    assert torch.equal(a.probability, b.probability) and (a.trust, a.temperature) == (
        b.trust,
        b.temperature,
    )
    assert a.hidden == int(hide_largest(truth.masked_fill(mask, 0), mask).sum())


def test_sign_probabilities_are_calibrated():
    said, right = [], []
    for seed in range(12):
        truth, mask = layer(seed)
        p = sign_probability(truth.masked_fill(mask, 0), mask)
        assert ((p.probability[mask] >= 0.5) & (p.probability[mask] <= 1)).all()
        assert (p.probability[~mask] == 0.5).all() and (p.sign[~mask] == 0).all()
        said.append(p.probability[mask])
        right.append((p.sign == truth.sign())[mask])
    said, right = torch.cat(said), torch.cat(right).double()
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        these = (said >= low) & (said <= high)
        assert these.sum() > 300
        # Four standard errors of a few hundred, and what the model leaves out.
        assert abs(float(right[these].mean() - said[these].mean())) < 0.08


@pytest.mark.parametrize("seed", [60, 129, 144, 156, 168, 180, 237, 264, 273, 276])
def test_rounding_does_not_choose_the_ridge(seed, one_thread):
    """Several ridges predict such a small matrix equally well: its order must not choose."""
    g = torch.Generator().manual_seed(seed)
    d, n = 2 + seed % 3, 2 + seed % 4
    w, mask = torch.randn(d, n, generator=g).double(), torch.zeros(d, n, dtype=torch.bool)
    mask.view(-1)[torch.randperm(d * n, generator=g)[: 1 + seed % 2]] = True
    rows, columns = torch.randperm(d, generator=g), torch.randperm(n, generator=g)
    once = cr.complete_matrix(w, mask).weight[rows][:, columns]
    again = cr.complete_matrix(w[rows][:, columns], mask[rows][:, columns]).weight
    torch.testing.assert_close(again, once, rtol=1e-6, atol=1e-6 * float(w.abs().max()))
