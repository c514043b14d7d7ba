"""CLIP similarity, its mean and the CLIP score against cases counted by hand."""

import random
from statistics import fmean

import pytest
import torch
from PIL import Image

from conceptrevive.errors import ConceptReviveError
from conceptrevive.evaluation.judges import Clip
from conceptrevive.evaluation.similarity import Mean, cosines, further, mean_of


def test_each_picture_is_compared_with_its_own_prompt():
    judge = Clip.load()
    images = [Image.new("RGB", (64, 64), c) for c in ("grey", "red", "white")]
    prompts = ["a cat", "a dog in the style of sepia", "a bus"]
    found = cosines(judge, images, prompts)
    assert torch.allclose(found, judge.similarity(images, prompts).diagonal(), atol=1e-6)
    with pytest.raises(ConceptReviveError, match="3 pictures against 2 prompts: give equal"):
        cosines(judge, images, prompts[:2])
    with pytest.raises(ConceptReviveError, match="0 pictures against 0 prompts"):
        cosines(judge, [], [])


def test_the_clip_score_counts_pictures_below_the_originals():
    original = (0.3, 0.2, 0.4, 0.5)
    assert further((0.2, 0.3, 0.4, 0.1), original) == (True, False, False, True)
    # Of the original against itself it is exactly 0: equal is not lower.
    assert further(original, original) == (False,) * 4
    with pytest.raises(ConceptReviveError, match="1 cosines against 4 of the original"):
        further((0.1,), original)


def test_the_mean_and_its_interval():
    values = [0.1, 0.2, 0.4, 0.7, 0.9]
    found = mean_of(values, 1)
    assert found.value == pytest.approx(0.46) and found.n == 5
    assert 0.1 < found.interval[0] < found.value < found.interval[1] < 0.9
    # Drawn by a loop, value by value.
    coin = random.Random(1)
    means = sorted(fmean(coin.choices(values, k=5)) for _ in range(20_000))
    low, high = means[500], means[-501]
    assert found.interval == pytest.approx((low, high), abs=0.02)
    assert mean_of(values, 1) == found != mean_of(values, 1, seed=1)


def test_no_difference_is_known_exactly_and_one_cluster_nothing():
    assert mean_of([0.0] * 6, 2) == Mean(0.0, (0.0, 0.0), 6)
    assert mean_of([0.25], 1) == Mean(0.25, (-1, 1), 1)
    assert mean_of([0.25, 0.5], 2, clusters="aa") == Mean(0.375, (-2, 2), 2)


def test_pictures_of_one_prompt_are_drawn_together():
    values, labels = [0.0, 0.0, 0.0, 1.0], ["a", "a", "a", "b"]
    found = mean_of(values, 1, clusters=labels)
    # Resamples are aa, ab or ba, bb: means 0, 1/4 and 1; each end has a quarter of them.
    assert found == Mean(0.25, (0.0, 1.0), 4)
    twice = mean_of([0.1, 0.5, 0.9] * 8, 1, clusters=[0, 1, 2] * 8)
    once = mean_of([0.1, 0.5, 0.9], 1)
    assert twice.interval == pytest.approx(once.interval) and twice.n == 24
    with pytest.raises(ConceptReviveError, match="2 values against 1 cluster labels"):
        mean_of([0.1, 0.2], 1, clusters="a")
    with pytest.raises(ConceptReviveError, match="0 values against 0 cluster labels"):
        mean_of([], 1)
