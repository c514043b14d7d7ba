"""Sign accuracy by layer and by magnitude, and claims against what came true."""

import math

import pytest
import torch

from conceptrevive.experiments.reproduction.accuracy import (
    calibration,
    claims,
    fifths,
    found,
    rate,
)
from conceptrevive.experiments.reproduction.recipes import Erased
from conceptrevive.intervals import wilson
from conceptrevive.revival.signs import sign_accuracy
from conceptrevive.unlearning.masks import MaskSet

NAMES = ("a.ff.net.2", "b.ff.net.2")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def erased():
    g = torch.Generator().manual_seed(0)
    original = {
        n: torch.randn(24, 4, generator=g) @ torch.randn(4, 200, generator=g)
        + torch.randn(24, 200, generator=g)
        for n in NAMES
    }
    return Erased(original, MaskSet({n: torch.rand(24, 200, generator=g) < 0.1 for n in NAMES}), 0)


def test_fifths_by_hand():
    right = torch.tensor([True, False, True, True, False, False, True, True, False, True])
    size = torch.tensor([9.0, 0, 8, 1, 7, 2, 6, 3, 5, 4])
    found = [r.tolist() for r in fifths(right, size)]
    assert found == [[False, True], [False, True], [True, False], [True, False], [True, True]]


def test_calibration_by_hand():
    claimed = torch.tensor([0.5, 0.55, 0.95, 0.95, 0.95, 0.95])
    right = torch.tensor([True, False, True, True, True, False])
    bins, error = calibration(right, claimed)
    assert [b["n"] for b in bins] == [2, 4]
    assert bins[1]["claimed"] == pytest.approx(0.95) and bins[1]["value"] == 0.75
    assert error == pytest.approx((2 * 0.025 + 4 * 0.2) / 6)
    assert rate(right) == {"value": 4 / 6, "interval": list(wilson(4, 6)), "n": 6}
    assert rate(right[:0]) == {"value": None, "interval": [0.0, 1.0], "n": 0}


def test_the_whole_and_the_kept_are_those_of_sign_accuracy(erased):
    told = found(erased, erased.completed)
    whole, kept = sign_accuracy(erased.original, erased.completed)
    assert told["all"]["value"] == pytest.approx(whole) and told["all"]["n"] == erased.masks.count
    assert told["kept"]["value"] == pytest.approx(kept)
    assert list(told["layers"]) == list(NAMES)
    for groups in (told["completed_fifths"], told["original_fifths"]):
        assert sum(g["n"] for g in groups) == erased.masks.count and len(groups) == 5
        assert groups[-1]["value"] > groups[0]["value"]
    assert sum(b["n"] for b in told["calibration"]) == erased.masks.count
    assert told["calibration_error"] < 0.1
    assert not math.isnan(told["calibration_error"])


def test_claims_do_not_depend_on_the_weights_unit(erased):
    c = erased.completed[NAMES[0]]
    sure = claims(NAMES[0], erased.pruned[NAMES[0]], c)
    assert float(sure.min()) >= 0.5 and float(sure.max()) <= 1
    small = Erased({n: w * 2.0**-9 for n, w in erased.original.items()}, erased.masks, 0)
    again = claims(NAMES[0], small.pruned[NAMES[0]], small.completed[NAMES[0]])
    torch.testing.assert_close(again[c.mask], sure[c.mask])
