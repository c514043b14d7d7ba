"""Pictures: one seed each, whatever the batch; and locate's noise never meets the evaluation's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

import conceptrevive as cr
import conceptrevive.models.calling as sampling

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ["a cat", "a dog in a park", "a bus", "", "a cat"]
FEW = dict(steps=3, guidance=3.0)


def pixels(images):
    return np.stack([np.asarray(i) for i in images]).astype(int)


def test_one_picture_per_prompt(tiny):
    done = []
    images = cr.generate(tiny, PROMPTS, **FEW, batch_size=2, progress=done.append)
    assert len(images) == 5 and done == [2, 2, 1]
    assert {(i.size, i.mode) for i in images} == {((16, 16), "RGB")}
    assert cr.generate(tiny, [], **FEW) == []


def test_same_seed_same_picture_bit_for_bit(tiny):
    a, b, c = (pixels(cr.generate(tiny, PROMPTS, seed=s, **FEW)) for s in (4, 4, 5))
    assert (a == b).all()
    assert all((a[i] != c[i]).any() for i in range(5))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batch_size_does_not_matter(tiny, batch_size):
    a, b = (
        pixels(cr.generate(tiny, PROMPTS, seed=4, **FEW, batch_size=n)) for n in (16, batch_size)
    )
    # A grey value where float32 rounds the other way.
    assert np.abs(a - b).max() <= 1
    assert np.abs(a[0] - a[4]).max() > 5, "other seeds must be further away than the tolerance"


def test_schedulers_that_add_noise_take_it_from_each_pictures_seed(tiny, monkeypatch):
    monkeypatch.setattr(
        tiny, "scheduler", EulerAncestralDiscreteScheduler.from_config(tiny.scheduler.config)
    )
    a, b, c = (
        pixels(cr.generate(tiny, PROMPTS, seed=s, **FEW, batch_size=n))
        for s, n in ((4, 16), (4, 2), (5, 16))
    )
    assert np.abs(a - b).max() <= 1
    assert all(np.abs(a[i] - c[i]).max() > 5 for i in range(5))


def test_seeds_count_up_from_the_first(tiny):
    a = pixels(cr.generate(tiny, PROMPTS, seed=7, **FEW))
    b = pixels(cr.generate(tiny, PROMPTS, seed=[7, 8, 9, 10, 11], **FEW))
    c = pixels(cr.generate(tiny, PROMPTS, seed=range(7, 12), **FEW))
    assert (a == b).all() and (a == c).all()
    # Same prompt, other seed.
    assert (a[0] != a[4]).any()
    twice = pixels(cr.generate(tiny, ["a cat", "a cat"], seed=[3, 3], **FEW))
    assert np.abs(twice[0] - twice[1]).max() <= 1


def test_numpy_seeds(tiny):
    a = pixels(cr.generate(tiny, PROMPTS[:2], seed=np.int64(7), **FEW))
    assert (a == pixels(cr.generate(tiny, PROMPTS[:2], seed=7, **FEW))).all()


def test_prompts_steps_and_guidance_matter(tiny):
    base = pixels(cr.generate(tiny, ["a cat"], **FEW))
    for change in ({"steps": 5}, {"guidance": 9.0}):
        assert (pixels(cr.generate(tiny, ["a cat"], **FEW | change)) != base).any()
    assert (pixels(cr.generate(tiny, ["a dog in a park"], **FEW)) != base).any()


def test_weights_matter_and_come_back(tiny):
    base = pixels(cr.generate(tiny, ["a cat"], **FEW))
    with cr.swapped(tiny, {n: torch.zeros_like(w) for n, w in cr.read_weights(tiny).items()}):
        assert (pixels(cr.generate(tiny, ["a cat"], **FEW)) != base).any()
    assert (pixels(cr.generate(tiny, ["a cat"], **FEW)) == base).all()


def test_noise_is_one_draw_per_seed(tiny):
    noise = sampling.noise(tiny, [5, 6, 5])
    assert noise.shape == (3, 4, 8, 8) and noise.dtype == torch.float32
    assert torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
    assert torch.equal(noise[1], sampling.noise(tiny, [6])[0])
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    sampling.noise(tiny, [1])
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was used"
    assert abs(float(sampling.noise(tiny, range(50)).std()) - 1) < 0.02


def test_the_pipelines_progress_bar_setting_comes_back(tiny):
    before = dict(tiny._progress_bar_config)
    with pytest.raises(RuntimeError), sampling.quiet(tiny):
        assert tiny._progress_bar_config["disable"] is True
        raise RuntimeError
    assert tiny._progress_bar_config == before


def test_pipelines_that_draw_otherwise_are_named(tiny):
    class Other(torch.nn.Module):
        config = SimpleNamespace(in_channels=4)

    model = SimpleNamespace(transformer=Other().requires_grad_(False), _progress_bar_config={})
    with pytest.raises(
        cr.ConceptReviveError,
        match="SimpleNamespace with a Other cannot be drawn with, it lacks components, "
        "image_processor, set_progress_bar_config, sample_size in its denoiser's config, "
        "a call that draws: give a",
    ):
        sampling.noise(model, [0])


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3], []])
def test_wrong_number_of_seeds(tiny, seeds):
    with pytest.raises(
        cr.ConceptReviveError, match=f"2 prompts but {len(seeds)} seeds: give one seed per prompt"
    ):
        cr.generate(tiny, ["a cat", "a dog"], seed=seeds, **FEW)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"batch_size": -1}, "batch_size is -1: it must be at least 1"),
        ({"batch_size": 2.5}, "batch_size is a float: give how many pictures at a time"),
        ({"steps": 0}, "steps is 0: it must be at least 1"),
        ({"steps": 2.0}, "steps is a float: give a whole number of denoising steps"),
        ({"steps": "3"}, "steps is a str: give a whole number"),
        ({"guidance": float("nan")}, "guidance is nan: it must be finite"),
        ({"guidance": "7.5"}, "guidance is a str: give the guidance scale as a number"),
        ({"seed": 1.5}, "seed is a float: give a whole number, or one for each prompt"),
        ({"seed": ["1"]}, "seed is a str: give whole numbers"),
        ({"seed": 2**64}, r"seed is 18446744073709551616: torch takes seeds from -2\^63 up to"),
        ({"seed": -(2**63) - 1}, "torch takes seeds from"),
        ({"prompts": "a cat"}, "prompts is the string 'a cat': give a list of prompts"),
        ({"prompts": 3}, "prompts is a int: give a list of prompts"),
        ({"prompts": ["a cat", None]}, "prompt 1 is a NoneType: give each prompt as a string"),
    ],
    ids=str,
)
def test_settings_of_a_wrong_kind_or_size(tiny, settings, message):
    arguments = {"prompts": ["a cat"]} | FEW | settings
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.generate(tiny, arguments.pop("prompts"), **arguments)
