"""Pictures that are none are refused; steps lead to the picture that `generate` draws."""

from __future__ import annotations

import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from diffusers import HeunDiscreteScheduler, PNDMScheduler
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor

import conceptrevive as cr
from conceptrevive.cli.handler import exit_code
from conceptrevive.models.pictures import decoded

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = dict(steps=3, guidance=3.0)
PROMPTS = ["a cat", "a dog", "a bus"]


def broken(tiny, value, channel=slice(None)):
    """`tiny` with an autoencoder of its own whose last bias is `value`."""
    pipe = type(tiny)(
        **tiny.components | {"vae": deepcopy(tiny.vae)}, requires_safety_checker=False
    )
    pipe.vae.decoder.conv_out.bias.data[channel] = value
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("channel", [slice(None), 1], ids=["all", "one channel"])
def test_pictures_that_are_not_finite(tiny, value, channel):
    pipe = broken(tiny, value, channel)
    message = r"picture 0 \('a cat', seed 7\) is not finite \(NaN or Inf\), so it cannot be judged"
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.generate(pipe, PROMPTS, seed=7, **FEW)
    with pytest.raises(cr.ConceptReviveError, match="is not finite"):
        list(cr.denoise_steps(pipe, PROMPTS, seed=7, **FEW))


def test_numpy_says_nothing_of_its_own(tiny, capsys):
    """The one line that the user sees is ours, not a warning of a cast."""

    def draw():
        cr.generate(broken(tiny, float("nan")), PROMPTS[:1], **FEW)

    assert exit_code("x", draw) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("x: picture 0 ('a cat', seed 0) is not finite")
    assert said.err.count("\n") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded(broken(tiny, float("nan")), torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize("slices", [False, True])
def test_the_one_picture_is_named_whatever_the_batch(tiny, slices):
    pipe = broken(tiny, 0.0)
    if slices:
        pipe.vae.enable_slicing()
    plain = pipe.image_processor.postprocess

    def spoil(image, **kwargs):
        return plain(image, **kwargs)

    pipe.image_processor.postprocess = spoil
    cr.generate(pipe, PROMPTS, **FEW)
    assert pipe.image_processor.postprocess is spoil, "the user's own comes back"
    decode, calls = pipe.vae.decode, []

    def third_fails(latents, **kwargs):
        calls.append(len(latents))
        (pixels,) = decode(latents, **kwargs)
        if sum(calls) == 3:
            pixels[-1, 0, 0, 0] = float("nan")
        return (pixels,)

    pipe.vae.decode = third_fails
    for size in (1, 2, 3):
        calls.clear()
        with pytest.raises(cr.ConceptReviveError, match=r"picture 2 \('a bus', seed 2\) is not"):
            cr.generate(pipe, PROMPTS, batch_size=size, **FEW)


def test_watching_changes_no_picture(tiny):
    arguments = dict(num_inference_steps=3, guidance_scale=3.0)
    draw = torch.Generator().manual_seed(4)
    latents = torch.randn(4, 8, 8, generator=draw)[None]
    own = tiny(["a cat"], latents=latents, generator=[draw], **arguments).images[0]
    assert cr.generate(tiny, ["a cat"], seed=4, **FEW)[0].tobytes() == own.tobytes()
    assert "postprocess" not in vars(tiny.image_processor)


def checked_by(tiny, checker):
    class Checked(type(tiny)):
        def run_safety_checker(self, image, device, dtype):
            return checker(image)

    pipe = Checked(**tiny.components, requires_safety_checker=False)
    pipe.safety_checker = checker
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("honest", [True, False], ids=["flags", "silent"])
def test_pictures_blackened_by_a_safety_checker(tiny, honest):
    """Stable Diffusion's says which it replaced; others black them out without a word."""

    def checker(image):
        image = image.clone()
        image[1] = -1
        return image, [False, honest, False]

    with pytest.raises(
        cr.ConceptReviveError,
        match=r"picture 1 \('a dog', seed 1\) was replaced by the safety checker, so it cannot be "
        r"judged: set pipe\.safety_checker = None",
    ):
        cr.generate(checked_by(tiny, checker), PROMPTS, **FEW)


def test_a_safety_checker_that_finds_nothing_is_let_be(tiny):
    plain = cr.generate(tiny, PROMPTS, **FEW)
    pipe = checked_by(tiny, lambda image: (image, [False] * len(image)))
    assert [i.tobytes() for i in cr.generate(pipe, PROMPTS, **FEW)] == [i.tobytes() for i in plain]


@pytest.mark.parametrize("finds", [False, True])
def test_the_safety_checker_of_stable_diffusion(tiny, finds):
    """The real one hands the pictures to the image processor too, before it judges them."""
    vision = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, patch_size=8)
    config = CLIPConfig(vision_config=vision | {"num_attention_heads": 2, "image_size": 32})
    checker = StableDiffusionSafetyChecker(config).eval()
    for concepts in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        concepts.data.fill_(-2.0 if finds else 2.0)  # how near a picture must be
    extractor = CLIPImageProcessor(crop_size=32, size=32)
    pipe = type(tiny)(
        **tiny.components | {"safety_checker": checker, "feature_extractor": extractor}
    )
    pipe.set_progress_bar_config(disable=True)
    if finds:
        with pytest.raises(cr.ConceptReviveError, match=r"picture 0 .* by the safety checker"):
            cr.generate(pipe, PROMPTS, **FEW)
    else:
        assert len(cr.generate(pipe, PROMPTS, **FEW)) == 3


def test_a_dark_picture_without_a_safety_checker_is_a_picture(tiny):
    black = cr.generate(broken(tiny, -1e6), ["a cat"], **FEW)[0]
    assert not np.asarray(black).any()


def test_two_pictures_for_one_prompt(tiny):
    class Twice(type(tiny)):
        def __call__(self, *args, **kwargs):
            result = super().__call__(*args, **kwargs)
            result.images *= 2
            return result

    pipe = Twice(**tiny.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(
        cr.ConceptReviveError, match="Twice returned 2 pictures for 1 prompts, of which 1 passed"
    ):
        cr.generate(pipe, ["a cat"], **FEW)


# --- step by step ---------------------------------------------------------------------------------


def test_the_last_step_is_the_picture(tiny):
    steps = list(cr.denoise_steps(tiny, PROMPTS, seed=5, **FEW))
    assert [s.index for s in steps] == [0, 1, 2] and {s.total for s in steps} == {3}
    final = cr.generate(tiny, PROMPTS, seed=5, **FEW)
    assert [p.tobytes() for p in steps[-1].pictures] == [p.tobytes() for p in final]
    # Decoded like every other step, the last gives the same pictures: the steps' own are right.
    again = decoded(tiny, steps[-1].latents)
    assert [p.tobytes() for p in again] == [p.tobytes() for p in final]
    assert all(s.latents.shape == (3, 4, 8, 8) and len(s.pictures) == 3 for s in steps)
    assert len({s.pictures[0].tobytes() for s in steps}) == 3, "every step changes the picture"


@pytest.mark.parametrize(
    ("scheduler", "total"), [(HeunDiscreteScheduler, 5), (PNDMScheduler, 4)], ids=["Heun", "PNDM"]
)
def test_schedulers_that_take_more_steps(tiny, monkeypatch, scheduler, total):
    own = scheduler.from_config(tiny.scheduler.config, skip_prk_steps=True)
    monkeypatch.setattr(tiny, "scheduler", own)
    steps = list(cr.denoise_steps(tiny, ["a cat"], **FEW))
    assert len(steps) == steps[0].total == total
    assert steps[-1].pictures[0].tobytes() == cr.generate(tiny, ["a cat"], **FEW)[0].tobytes()


def test_steps_of_nothing(tiny):
    assert list(cr.denoise_steps(tiny, [], **FEW)) == []
    with pytest.raises(cr.ConceptReviveError, match="steps is 0: it must be at least 1"):
        next(cr.denoise_steps(tiny, ["a cat"], steps=0))
