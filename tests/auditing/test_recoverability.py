"""Signs that completion would find, estimated from the pruned weights alone."""

from __future__ import annotations

import math

import pytest
import torch

import conceptrevive as cr
import conceptrevive.auditing.recoverability as recoverability
from conceptrevive.auditing.recoverability import estimate_recoverability, hide_like_pruned
from tests.detectors.test_detectors import clean, wanda

pytestmark = pytest.mark.usefixtures("one_thread")


def test_hidden_entries_survive_and_look_like_the_pruned():
    w = clean()
    mask = wanda(w, 0.06)
    hidden = hide_like_pruned(w.masked_fill(mask, 0), mask)
    assert not (hidden & mask).any() and hidden.sum() > 0.3 * mask.sum()
    spread = w / w.square().mean(1, keepdim=True).sqrt()
    assert float(spread[hidden].abs().mean()) == pytest.approx(
        float(spread[mask].abs().mean()), rel=0.25
    )
    counts = mask.sum(0).sort(descending=True).values[: hidden.any(0).sum() * 2 : 2]
    assert torch.equal(hidden.sum(0)[hidden.any(0)].sort(descending=True).values, counts)


def test_the_estimate_of_sign_accuracy_is_near_the_truth_and_sees_no_pruned_value():
    for rank_share in (0.0, 0.5, 2.0):
        g = torch.Generator().manual_seed(7)
        w = rank_share * torch.randn(64, 4, generator=g) @ torch.randn(
            4, 512, generator=g
        ) / 2 + torch.randn(64, 512, generator=g)
        mask = wanda(w, 0.06)
        true = cr.sign_accuracy({"w": w}, {"w": cr.complete_matrix(w, mask)})
        told = estimate_recoverability(w.masked_fill(mask, 0))
        assert told.signs.value == pytest.approx(true[0], abs=0.1)
        assert told.kept.value == pytest.approx(true[1], abs=0.12)
        other = w.clone()
        other[mask] = 123.0
        again = estimate_recoverability(other, mask)
        assert again.signs.value == told.signs.value and again.kept.value == told.kept.value


def test_nothing_pruned_nothing_hidden():
    told = estimate_recoverability(clean())
    assert told.signs.n == 0 and math.isnan(told.signs.value)


def test_what_is_hidden_of_a_small_matrix():
    """Column 0 gave up two entries, column 1 one; of the idle half, 2 and 3, the larger borrows."""
    weight = torch.tensor(
        [[0, 1.0, 5, 2], [0, 1, 7, 2], [1, 0, 6, 2], [1, 1, 4, 2]], dtype=torch.float32
    )
    hidden = hide_like_pruned(weight, weight == 0)
    # Column 0 lends its two to column 2, whose largest entries for their rows are hidden.
    assert hidden.sum(0).tolist() == [0, 0, 2, 0]
    size = weight / weight.square().mean(1, keepdim=True).sqrt()
    assert hidden[size[:, 2].argsort(descending=True)[:2], 2].all()


def test_of_a_large_matrix_some_rows_and_columns_are_taken(monkeypatch):
    weight = clean(1).masked_fill(wanda(clean(1), 0.06), 0)
    whole = estimate_recoverability(weight)
    seen = []
    monkeypatch.setattr(
        recoverability,
        "hide_like_pruned",
        lambda w, mask: seen.append((w, mask)) or hide_like_pruned(w, mask),
    )
    monkeypatch.setattr(recoverability, "MOST", (48, 200))
    first, again, _other = (estimate_recoverability(weight, seed=s) for s in (0, 0, 1))
    assert all(w.shape == (48, 200) and torch.equal(m, w == 0) for w, m in seen)
    assert torch.equal(seen[0][0], seen[1][0]) and not torch.equal(seen[0][0], seen[2][0])
    assert first.signs == again.signs and 0 < first.signs.n < whole.signs.n


def test_rows_and_columns_that_are_gone_are_left_out():
    weight = clean(2)
    weight = weight.masked_fill(wanda(weight, 0.06), 0)
    weight[5], weight[:, 7] = 0, 0
    told = estimate_recoverability(weight)
    without = weight[[i for i in range(96) if i != 5]][:, [j for j in range(384) if j != 7]]
    assert told.signs == estimate_recoverability(without).signs


def test_agreement_is_positive_where_the_sign_is_right():
    weight = clean(3).masked_fill(wanda(clean(3), 0.06), 0)
    told = estimate_recoverability(weight)
    assert len(told.agreement) == min(20000, told.signs.n)
    assert float((told.agreement > 0).float().mean()) == pytest.approx(told.signs.value)
    assert told.kept.n == pytest.approx(0.6 * told.signs.n, abs=1)
    assert told.kept.value > told.signs.value
