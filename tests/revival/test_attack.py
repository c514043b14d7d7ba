"""Top-K signs, the three magnitude rules, and that the attack sees pruned weights alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import conceptrevive as cr
from conceptrevive.revival.attack import revive_layer
from conceptrevive.revival.defaults import SOLVERS
from conceptrevive.revival.magnitude import neuron_magnitude
from conceptrevive.revival.positions import redrawn_positions

pytestmark = pytest.mark.usefixtures("one_thread")
solvers = pytest.mark.parametrize("solver", SOLVERS)
rules = pytest.mark.parametrize("magnitude", ["max", "average", "sample"])


def layers(seed=0, dtype=torch.float32):
    """Two low-rank layers and masks of a tenth of their entries."""
    g = torch.Generator().manual_seed(seed)
    weights, masks = {}, {}
    for name, shape in {"a.ff.net.2": (12, 48), "b.ff.net.2": (16, 64)}.items():
        weights[name] = (
            torch.randn(shape[0], 3, generator=g) @ torch.randn(3, shape[1], generator=g)
        ).to(dtype)
        masks[name] = torch.rand(shape, generator=g) < 0.1
    return weights, masks


#: A completion by hand: five pruned entries, completed to 0.1, −0.5, 0.3, −0.2 and 0.4.
BY_HAND = cr.Completion(
    weight=torch.tensor([[0.1, 2.0, -0.5, -1.0], [3.0, 0.3, -0.2, 0.4], [-4.0, 1.0, 0.5, 0.0]]),
    mask=torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool),
    solver="paper",
    iterations=1,
    converged=True,
)


# --- Top-K ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top_k", "expected"),
    [
        (0.2, [[0, 0, -1, 0], [0, 0, 0, 0]]),
        (0.4, [[0, 0, -1, 0], [0, 0, 0, 1]]),
        (0.6, [[0, 0, -1, 0], [0, 1, 0, 1]]),
        (0.8, [[0, 0, -1, 0], [0, 1, -1, 1]]),
        (1.0, [[1, 0, -1, 0], [0, 1, -1, 1]]),
    ],
)
def test_the_largest_completed_entries_keep_their_signs(top_k, expected):
    kept = cr.retain_signs(BY_HAND, top_k)
    assert torch.equal(kept, torch.tensor([*expected, [0, 0, 0, 0]], dtype=torch.float32))


def test_the_papers_share_is_the_default():
    assert torch.equal(cr.retain_signs(BY_HAND), cr.retain_signs(BY_HAND, 0.6))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("top_k", [0.2, 0.6, 1.0])
def test_counts_and_order_on_a_completed_layer(dtype, top_k):
    weights, masks = layers(dtype=dtype)
    for name, c in cr.complete(weights, masks).items():
        kept = cr.retain_signs(c, top_k)
        assert kept.dtype == dtype
        assert int((kept != 0).sum()) == round(top_k * int(masks[name].sum()))
        assert (kept[~c.mask] == 0).all()
        assert torch.equal(kept[kept != 0], c.weight[kept != 0].sign())
        dropped = c.mask & (kept == 0)
        if dropped.any():
            assert c.weight[kept != 0].abs().min() >= c.weight[dropped].abs().max()


@pytest.mark.parametrize("top_k", [0, -0.5, 1.1, math.nan])
def test_top_k_out_of_range(top_k):
    message = rf"top_k is {top_k}: it is the share of signs kept, in \(0, 1\]"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.retain_signs(BY_HAND, top_k)
    weights, masks = layers()
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.revive(weights, masks, top_k=top_k)


# --- magnitudes -----------------------------------------------------------------------------------


def test_neuron_max_and_average_by_hand():
    size = neuron_magnitude(BY_HAND.weight, BY_HAND.mask, "max")
    assert size.tolist() == [[2.0], [3.0], [4.0]]
    size = neuron_magnitude(BY_HAND.weight, BY_HAND.mask, "average")
    assert size.tolist() == [[1.5], [3.0], [5.5 / 4]]


def test_neuron_sample_is_the_rows_gaussian():
    # Survivors 2 and −1: mean 0.5, standard deviation 1.5; the second row has one survivor, so no
    # spread.
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(5))
    size = neuron_magnitude(
        BY_HAND.weight, BY_HAND.mask, "sample", torch.Generator().manual_seed(5)
    )
    torch.testing.assert_close(size[0], (0.5 + 1.5 * noise[0]).abs())
    assert size[1].tolist() == [3.0] * 4


def test_neuron_sample_has_the_right_moments():
    # Far from 0 the absolute value does nothing.
    weight, mask = torch.full((1, 40_000), 5.0), torch.zeros(1, 40_000, dtype=torch.bool)
    weight[0, ::2] = 6.0
    mask[0, :4000] = True
    weight[mask] = 1e6
    size = neuron_magnitude(weight, mask, "sample", torch.Generator().manual_seed(0))
    assert abs(size.mean() - 5.5) < 0.015 and abs(size.std() - 0.5) < 0.01


@rules
def test_masked_values_do_not_set_the_magnitude(magnitude):
    other = BY_HAND.weight.masked_fill(BY_HAND.mask, 1e6)
    a, b = (
        neuron_magnitude(w, BY_HAND.mask, magnitude, torch.Generator().manual_seed(0))
        for w in (BY_HAND.weight, other)
    )
    assert torch.equal(a, b)


@rules
def test_a_row_without_survivors_gives_zero(magnitude):
    size = neuron_magnitude(
        torch.ones(2, 3), torch.tensor([[True] * 3, [False] * 3]), magnitude, torch.Generator()
    )
    assert (size[0] == 0).all() and (size[1] != 0).all()


def test_unknown_magnitude():
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"magnitude 'min' is unknown: choose one of max, average, sample$",
    ):
        neuron_magnitude(BY_HAND.weight, BY_HAND.mask, "min")


def test_a_rule_of_ones_own():
    """One size a row; the signs stay the completion's, survivors are untouched."""

    def third(weight, mask, generator):
        assert torch.equal(weight, BY_HAND.weight) and torch.equal(mask, BY_HAND.mask)
        return torch.tensor([[1.5], [2.5], [9.0]])

    expected = torch.tensor([[0.0, 2.0, -1.5, -1.0], [3.0, 2.5, 0.0, 2.5], [-4.0, 1.0, 0.5, 0.0]])
    assert torch.equal(revive_layer(BY_HAND, 0.6, third), expected)

    def as_sampled(weight, mask, generator):
        return neuron_magnitude(weight, mask, "sample", generator)

    w, masks = layers()
    shipped = cr.revive(w, masks, magnitude="sample", seed=3)
    own = cr.revive(w, masks, magnitude=as_sampled, seed=3)
    assert all(torch.equal(own[n], shipped[n]) for n in w)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (lambda w: 1.0, "a.ff.net.2: what the magnitude rule returned is a float: return a torch"),
        (
            lambda w: w[0],
            r"returned sizes of shape \(48,\): return one a row, \(12, 1\), or one an",
        ),
        (lambda w: -w.abs(), "the magnitude rule returned -[0-9.e-]+: sizes are finite and ≥ 0"),
        (lambda w: w / 0, "the magnitude rule returned -?(inf|nan): sizes are finite"),
    ],
)
def test_what_is_no_size_is_told(size, message):
    w, masks = layers()
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.revive(w, masks, magnitude=lambda weight, mask, generator: size(weight))


def test_a_layer_revived_by_hand():
    expected = torch.tensor([[0.0, 2.0, -2.0, -1.0], [3.0, 3.0, 0.0, 3.0], [-4.0, 1.0, 0.5, 0.0]])
    assert torch.equal(revive_layer(BY_HAND, 0.6, "max"), expected)


def test_expected_leaves_the_completed_values():
    expected = torch.tensor([[0.0, 2.0, -0.5, -1.0], [3.0, 0.3, 0.0, 0.4], [-4.0, 1.0, 0.5, 0.0]])
    assert torch.equal(revive_layer(BY_HAND, 0.6, "expected"), expected)


# --- revive ---------------------------------------------------------------------------------------


@solvers
@rules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_attack_sees_nothing_but_the_pruned_weights(solver, magnitude, dtype):
    """Originals that differ at the pruned positions only are one and the same once pruned."""
    weights, masks = layers(dtype=dtype)
    noisy = {n: torch.where(masks[n], torch.randn_like(w) * 100, w) for n, w in weights.items()}
    a, b = (
        cr.revive(cr.prune(w, masks), solver=solver, magnitude=magnitude, seed=3)
        for w in (weights, noisy)
    )
    # With the mask given, values left at its positions must not leak either.
    c = cr.revive(noisy, masks, solver=solver, magnitude=magnitude, seed=3)
    for n in weights:
        assert not torch.equal(weights[n], noisy[n])
        assert torch.equal(a[n], b[n]) and torch.equal(a[n], c[n])


@solvers
def test_revive_brings_low_rank_signs_back_at_neuron_max(solver):
    weights, masks = layers()
    pruned = cr.prune(weights, masks)
    revived = cr.revive(pruned, solver=solver)
    for n, mask in masks.items():
        assert torch.equal(revived[n][~mask], weights[n][~mask])
        assert revived[n].dtype == weights[n].dtype
        back = mask & (revived[n] != 0)
        assert int(back.sum()) == round(0.6 * int(mask.sum()))
        # These masks are random, and "prior" takes pruned entries for the largest.
        assert (revived[n].sign() == weights[n].sign())[back].float().mean() > (
            0.85 if solver == "prior" else 0.95
        )
        largest = pruned[n].abs().amax(1, keepdim=True).expand_as(mask)
        assert torch.equal(revived[n].abs()[back], largest[back])


def test_the_mask_is_read_off_exact_zeros():
    weights, masks = layers()
    pruned = cr.prune(weights, masks)
    a, b = cr.revive(pruned), cr.revive(pruned, masks)
    assert all(torch.equal(a[n], b[n]) for n in weights)
    zeros = cr.zero_masks(pruned)
    assert all(torch.equal(zeros[n], masks[n]) for n in weights)


@rules
def test_one_matrix_gives_what_a_dictionary_gives(magnitude):
    weights, masks = layers()
    w, mask = weights["a.ff.net.2"], masks["a.ff.net.2"]
    for given in (mask, None):
        one = cr.revive_matrix(w.masked_fill(mask, 0), given, magnitude=magnitude, seed=2)
        both = cr.revive(
            {"weight": w.masked_fill(mask, 0)},
            None if given is None else {"weight": given},
            magnitude=magnitude,
            seed=2,
        )
        assert torch.equal(one, both["weight"])


def test_layers_without_a_mask_are_copied():
    weights, masks = layers()
    revived = cr.revive(weights, {"a.ff.net.2": masks["a.ff.net.2"]})
    assert torch.equal(revived["b.ff.net.2"], weights["b.ff.net.2"])
    assert revived["b.ff.net.2"].data_ptr() != weights["b.ff.net.2"].data_ptr()
    assert list(revived) == list(weights)


def test_a_model_without_zeros_is_left_as_it_is():
    weights, _ = layers()
    assert all(torch.equal(w, weights[n]) for n, w in cr.revive(weights).items())


def test_sample_depends_on_the_seed_alone():
    weights, masks = layers()
    a, b, c = (cr.revive(weights, masks, magnitude="sample", seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert not any(torch.equal(a[n], c[n]) for n in a)


def test_errors_name_the_layer():
    weights, masks = layers()
    with pytest.raises(
        cr.ConceptReviveError, match=r"c.ff.net.2: the mask has no such layer in the model"
    ):
        cr.revive(weights, {"c.ff.net.2": masks["a.ff.net.2"]})
    with pytest.raises(
        cr.ConceptReviveError, match=r"a.ff.net.2: mask \(16, 64\) does not fit weight \(12, 48\)"
    ):
        cr.revive(weights, {"a.ff.net.2": masks["b.ff.net.2"]})
    weights["b.ff.net.2"][0, 0] = math.nan
    with pytest.raises(
        cr.ConceptReviveError, match=r"b.ff.net.2: surviving entries hold NaN or Inf"
    ):
        cr.revive(weights, {n: m & False for n, m in masks.items()})


# --- what the attacker may guess, and how well he does --------------------------------------------


def test_guess_masks_takes_the_smallest_of_each_row():
    weights = {
        "a": torch.tensor([[4.0, -1.0, 2.0, -3.0], [0.1, 0.2, -0.05, 9.0]]),
        "b": torch.tensor([[1.0, -2.0]]),
    }
    guess = cr.guess_masks(weights, 0.5)
    assert guess["a"].int().tolist() == [[0, 1, 1, 0], [1, 0, 1, 0]]
    assert guess["b"].int().tolist() == [[1, 0]]
    guess = cr.guess_masks(weights, {"a": 0.25, "b": 0.0})
    assert guess["a"].int().tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]
    assert not guess["b"].any()
    assert guess.concept == "guess: smallest magnitudes"


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_guess_masks_fraction_out_of_range(fraction):
    with pytest.raises(
        cr.ConceptReviveError,
        match=rf"a: fraction is {fraction}; it is a share of the entries, in \[0, 1\]",
    ):
        cr.guess_masks({"a": torch.ones(2, 2)}, fraction)


def test_guess_masks_feeds_revive():
    weights, masks = layers()
    hidden = cr.obfuscate(weights, masks, sigma=0.01)
    assert not cr.zero_masks(hidden).count
    guess = cr.guess_masks(hidden, {n: float(m.float().mean()) for n, m in masks.items()})
    revived = cr.revive(hidden, guess)
    for n in weights:
        assert torch.equal(revived[n][~guess[n]], hidden[n][~guess[n]])
        # Noise far smaller than the weights is easy to find.
        assert (guess[n] & masks[n]).sum() > 0.6 * masks[n].sum()


def test_sign_accuracy_by_hand():
    # Pruned truths: +, −, −, 0 (not counted), −; completed: +, −, +, −, +. The top 0.6 are −0.5,
    # 0.4 and 0.3.
    truth = torch.tensor([[9.0, 2.0, -9.0, -1.0], [3.0, -9.0, 0.0, -9.0], [-4.0, 1.0, 0.5, 0.0]])
    assert cr.sign_accuracy({"a": truth}, {"a": BY_HAND}) == (2 / 4, 1 / 3)
    assert cr.sign_accuracy({"a": truth}, {"a": BY_HAND}, top_k=1.0) == (2 / 4, 2 / 4)
    assert cr.sign_accuracy({"a": truth}, {"a": BY_HAND}, top_k=0.2) == (2 / 4, 1.0)


def test_sign_accuracy_pools_layers_by_entries():
    truth = torch.tensor([[9.0, 2.0, -9.0, -1.0], [3.0, -9.0, 0.0, -9.0], [-4.0, 1.0, 0.5, 0.0]])
    small = cr.Completion(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[True, False]]), "paper", 1, True
    )
    both = cr.sign_accuracy(
        {"a": truth, "b": torch.tensor([[7.0, 2.0]])}, {"a": BY_HAND, "b": small}
    )
    assert both == (3 / 5, 2 / 4)


def test_one_matrix_takes_its_side_as_one_matrix():
    g = torch.Generator().manual_seed(0)
    weight, side = torch.randn(12, 48, generator=g), torch.randn(6, 48, generator=g)
    mask = torch.rand(12, 48, generator=g) < 0.1
    alone = cr.revive_matrix(weight, mask, side=side)
    assert torch.equal(alone, cr.revive({"w": weight}, {"w": mask}, side={"w": side})["w"])


def test_transposed_weights():
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 12, generator=g).masked_fill(torch.rand(48, 12, generator=g) < 0.1, 0)
    assert torch.equal(cr.revive_matrix(weight.T), cr.revive_matrix(weight.T.contiguous()))


# --- half precision -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@solvers
def test_estimates_are_ranked_before_they_are_rounded(dtype, solver):
    """In bfloat16 many estimates round to one value; their order is float32's all the same."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 6, generator=g) @ torch.randn(6, 256, generator=g)
    mask = torch.rand(64, 256, generator=g) < 0.2
    weight = weight.to(dtype)
    half = cr.complete_matrix(weight, mask, solver=solver)
    single = cr.complete_matrix(weight.float(), mask, solver=solver)
    assert half.weight.dtype == dtype and half.unrounded.dtype == torch.float32
    assert torch.equal(half.weight, single.weight.to(dtype))
    assert half.weight[mask].abs().unique().numel() < 0.9 * int(mask.sum()), "no ties to break"
    for top_k in (0.2, 0.6, 1.0):
        kept = cr.retain_signs(half, top_k)
        assert kept.dtype == dtype
        assert torch.equal(kept.float(), cr.retain_signs(single, top_k))
    truth = {"w": torch.randn(64, 256, generator=g)}
    assert cr.sign_accuracy(truth, {"w": half}) == cr.sign_accuracy(truth, {"w": single})


def test_signs_that_rounding_takes_away_are_kept():
    """Estimates below half precision's smallest number have a sign, though no value."""
    weight, mask = torch.zeros(1, 4, dtype=torch.float16), torch.ones(1, 4, dtype=torch.bool)
    tiny = torch.tensor([[1e-9, -1e-9, 2e-9, -3e-9]])
    c = cr.Completion(weight, mask, "conditional", 1, True, estimate=tiny)
    assert cr.retain_signs(c, 1.0).tolist() == [[1, -1, 1, -1]]
    assert cr.retain_signs(c, 0.5).tolist() == [[0, 0, 1, -1]]


# --- input of the wrong kind ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2**70}, rf"seed is {2**70}: give one from 0 up to 2\^63 - 1"),
        ({"seed": -1}, r"seed is -1: give one from 0 up to 2\^63 - 1"),
        ({"seed": 0.5}, "seed is a float: give a whole number"),
        ({"top_k": "0.6"}, "top_k is a str: give a number"),
        (
            {"magnitude": "min"},
            "magnitude 'min' is unknown: choose one of max, average, sample, exp",
        ),
        ({"magnitude": ["max"]}, "magnitude is a list: choose one of max, average, sample, exp"),
        ({"magnitude": "mox"}, r"magnitude 'mox' is unknown \(did you mean 'max'\?\)"),
        ({"solver": "joint"}, "solver 'joint' is unknown: choose one of conditional, prior, paper"),
        ({"side": torch.ones(2, 48)}, r"side is a Tensor: give \{module name: matrix\}"),
        (
            {"side": {"a.ff.net.2": torch.ones(2, 48)}},
            "b.ff.net.2: side has nothing for this layer",
        ),
        ({"side": dict.fromkeys(layers()[0], "x")}, "a.ff.net.2: the weight is a str: give a"),
    ],
)
def test_options_of_the_wrong_kind(options, message):
    """Also where nothing was pruned, and they would have had no effect."""
    weights, masks = layers()
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.revive(weights, masks, **options)
    if "side" not in options:
        with pytest.raises(cr.ConceptReviveError, match=message):
            cr.revive(weights, **options)


def test_signs_want_completions():
    weights, masks = layers()
    done = cr.complete(weights, masks)
    with pytest.raises(
        cr.ConceptReviveError, match="completion is a Tensor: give what `complete_m"
    ):
        cr.retain_signs(weights["a.ff.net.2"])
    with pytest.raises(cr.ConceptReviveError, match=r"completions is a Completion: give \{module"):
        cr.sign_accuracy(weights, done["a.ff.net.2"])
    with pytest.raises(
        cr.ConceptReviveError, match=r"original is a Tensor: give \{module name: mat"
    ):
        cr.sign_accuracy(weights["a.ff.net.2"], done)
    message = r"b.ff.net.2: the original has no such layer of shape \(16, 64\): give the weights of"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.sign_accuracy({"a.ff.net.2": weights["a.ff.net.2"]}, done)
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.sign_accuracy(weights | {"b.ff.net.2": torch.ones(4, 4)}, done)


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        ("0.1", "a: fraction is a str: give a number"),
        ({"b": 0.1}, "a: fraction has no share for this layer: give one for each, or one for all"),
        ({"a": None}, "a: fraction is a NoneType: give a number"),
        (True, "a: fraction is a bool: give a number"),
    ],
)
def test_guessed_fractions_of_the_wrong_kind(fraction, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.guess_masks({"a": torch.ones(2, 2)}, fraction)


@pytest.mark.parametrize(
    "call", [cr.zero_masks, lambda w: cr.guess_masks(w, 0.1), lambda w: redrawn_positions(w, 0)]
)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(2, 2), "weights is a Tensor: give"),
        ({"a": np.ones((2, 2))}, "a: the weight is a ndarray: give a torch tensor"),
        (
            {"a": torch.ones(3)},
            r"a: a torch.float32 of shape \(3,\) is no matrix of weights: give two",
        ),
        ({"a": torch.ones(2, 2).int()}, "a: a torch.int32 of shape .* is no matrix of weights"),
    ],
)
def test_positions_are_read_off_matrices(call, weights, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        call(weights)


def test_redrawing_takes_a_seed_and_a_distance():
    weights = {"a": torch.ones(2, 2)}
    with pytest.raises(cr.ConceptReviveError, match="seed is -1: give one from 0"):
        redrawn_positions(weights, -1)
    for tolerance in (0, 1, math.nan):
        with pytest.raises(cr.ConceptReviveError, match=r"tolerance is .*: it is a relative dist"):
            redrawn_positions(weights, 0, tolerance)


def test_float8_can_be_guessed_in():
    weights = {"a": torch.tensor([[4.0, -1.0, 2.0, -3.0]]).to(torch.float8_e4m3fn)}
    assert cr.guess_masks(weights, 0.5)["a"].int().tolist() == [[0, 1, 1, 0]]
