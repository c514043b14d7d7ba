"""What the marks mean in words: every number in them, on layers made by hand."""

from dataclasses import replace

import pytest
import torch

from conceptrevive.auditing.marks import find_marks
from conceptrevive.auditing.measurement import Layer
from conceptrevive.auditing.recoverability import Recoverability
from conceptrevive.auditing.scan import TensorScan
from conceptrevive.detectors.evidence import Evidence
from conceptrevive.intervals import Rate

NOTHING = torch.empty(0)


def layer(found, evidence, shape=(40, 160), count=0, **more):
    scan = TensorScan("a", shape, "F32", count, 0, 0, 0.0, 1.0)
    return Layer(scan, "deep", tuple(evidence), NOTHING, NOTHING, found=found, **more)


def pruned(zeros=64, gap=0.0, log_p=-20.0, **more):
    return layer(("zeros",), [Evidence("zeros", log_p, 0.0, {"gap": gap})], count=zeros, **more)


def repeated(effect, rows, at_maximum, log_p=-9.0):
    detail = {"rows": rows, "at_maximum": at_maximum}
    return layer(("repeats",), [Evidence("repeats", log_p, effect, detail)])


def signs(right, n):
    return Recoverability(Rate.of([True] * right + [False] * (n - right)), Rate.of([True]))


def text(*layers):
    (mark,) = find_marks(layers)
    return mark.text


def test_the_share_of_zeros_is_that_of_all_weights():
    (mark,) = find_marks([pruned(64, log_p=-20.0), pruned(128, log_p=-30.0, shape=(40, 320))])
    assert mark.effect == 192 / (40 * 160 + 40 * 320) == 0.01
    assert mark.text.startswith("1.00% of these layers' weights are exactly 0, scattered")
    assert mark.log_p == -30.0 and mark.unit == "of the weights" and mark.kind == "pruning"


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ((0.02, 0.02, 0.0), "The smallest weights are missing"),
        ((0.02, 0.0), "Small weights are still there"),  # half is no majority
        ((0.01, 0.01), "Small weights are still there"),  # the limit itself is no gap
        ((0.02, 0.0, 0.0), "Small weights are still there"),
    ],
)
def test_sizes_are_what_most_layers_say(gaps, words):
    assert words in text(*(pruned(gap=gap) for gap in gaps))


def test_a_family_is_several_layers_as_wide_for_their_height():
    assert "4 times as wide as high" in text(pruned(), pruned(shape=(80, 320)))
    for several in ([pruned()], [pruned(), pruned(shape=(80, 80))], [pruned(shape=(4, 2, 2))] * 2):
        assert "family" not in text(*several)


def test_fingerprints_are_counted():
    wanda, none = (replace(pruned(), zeros={"wanda": told}) for told in (1, 0))
    assert "In 2 of 3 the zeros are spread evenly" in text(wanda, none, wanda)
    assert "spread evenly" not in text(none, pruned())


def test_signs_are_weighed_by_their_number_and_trusted_where_all_beat_a_coin():
    told = text(pruned(recoverability=signs(90, 100)), pruned(recoverability=signs(210, 300)))
    assert "in 75% of 400 cases" in told and told.endswith("; so could the pruned ones.")
    told = text(pruned(recoverability=signs(90, 100)), pruned(recoverability=signs(52, 100)))
    assert "in 71% of 200 cases" in told and "so could" not in told
    assert "coin" not in text(pruned(recoverability=signs(0, 0)))


@pytest.mark.parametrize(
    ("rows", "share", "words"),
    [
        # Weighed by rows: (30 × 0.8 + 10 × 0.2) / 40 = 0.65.
        (((0.5, 30, 0.8), (0.1, 10, 0.2)), "30%", "neuron-max"),
        (((0.5, 10, 0.8), (0.1, 30, 0.2)), "30%", "averages"),
        (((0.4, 10, 0.5),), "40%", "averages"),  # half is no majority
    ],
)
def test_repeats_are_the_largest_or_an_average(rows, share, words):
    (mark,) = find_marks([repeated(*row) for row in rows])
    assert f"In {share} of these layers' rows" in mark.text and words in mark.text
    assert mark.kind == "revival" and mark.unit == "of the rows" and mark.log_p == -9.0


def test_noise_counts_where_nothing_else_does():
    noise = Evidence("noise", -12.0, 0.7)
    alone = [layer(("noise",), [noise]), layer(("noise",), [Evidence("noise", -8.0, 0.9)])]
    (mark,) = find_marks(alone)
    assert (mark.effect, mark.log_p, mark.kind) == (0.9, -12.0, "pruning")
    beside = layer(("zeros", "noise"), [Evidence("zeros", -20.0, 0.0, {"gap": 0}), noise], count=64)
    (mark,) = find_marks([beside])
    assert mark.title == "scattered exact zeros" and mark.layers == ("a",)
