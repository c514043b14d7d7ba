"""The denoiser as a function of weights: what a pipeline tells it, and who cannot be asked."""

from __future__ import annotations

import copy

import pytest
import torch
from PIL import Image

import conceptrevive as cr
from conceptrevive.unlearning.arguments import joined, row_of
from conceptrevive.unlearning.denoising import Batch, NoisePredictor
from conceptrevive.unlearning.examples import encoded
from tests.families import build
from tests.unlearning.literal import CONCEPT, LAYERS

pytestmark = pytest.mark.usefixtures("one_thread")


def batch(*shape, prompts=("a cat", "a dog")):
    latents = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    return Batch(latents, torch.tensor([10, 900]), torch.randn(2, *shape), prompts)


def test_guidance_mixes_the_predictions_for_the_prompt_and_for_none(tiny):
    predictor, asked = NoisePredictor(tiny, LAYERS), batch(4, 8, 8)
    with torch.no_grad():
        told, mixed = (predictor.predict(predictor.weights, asked, g) for g in (0, 2.0))
        untold = predictor.predict(predictor.weights, asked, prompts=["", ""])
    torch.testing.assert_close(mixed, 3 * told - 2 * untold)
    assert not torch.allclose(told, untold)


def test_other_weights_predict_as_if_they_were_the_models(tiny):
    predictor, asked = NoisePredictor(tiny, LAYERS), batch(4, 8, 8)
    other = {n: w * 0.5 for n, w in predictor.weights.items()}
    with torch.no_grad():
        out = predictor.predict(other, asked)
        with cr.swapped(tiny, other):
            inside = NoisePredictor(tiny, LAYERS)
            assert torch.equal(inside.predict(inside.weights, asked), out)
        assert not torch.equal(predictor.predict(predictor.weights, asked), out)


def test_some_columns_of_a_layer(tiny):
    name = f"{LAYERS[0]}[:,8:24]"
    predictor, asked = NoisePredictor(tiny, [name]), batch(4, 8, 8)
    other = {n: (w * 0.5).requires_grad_() for n, w in predictor.weights.items()}
    assert other[name].shape[1] == 16
    out = predictor.predict(other, asked)
    out.square().sum().backward()
    assert other[name].grad.any()
    with torch.no_grad(), cr.swapped(tiny, other):
        assert torch.equal(NoisePredictor(tiny, LAYERS).predict({}, asked), out)


def test_gradient_checkpointing_does_not_bring_the_models_own_weights_back(tiny):
    """What is computed again in the backward pass must be so with the weights handed in."""
    pipe, asked, found = copy.copy(tiny), batch(4, 8, 8), []
    pipe.unet = copy.deepcopy(tiny.unet)
    for checkpointing in (False, True):
        if checkpointing:
            pipe.unet.enable_gradient_checkpointing()
        predictor = NoisePredictor(pipe, LAYERS)
        other = {n: (w * 0.5).requires_grad_() for n, w in predictor.weights.items()}
        predictor.losses(other, asked).sum().backward()
        found.append([w.grad for w in other.values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert pipe.unet.is_gradient_checkpointing


def test_a_pipeline_without_guidance_is_asked_without():
    pipe = build("lcm")
    predictor = NoisePredictor(pipe, [n for n in LAYERS if "ff" in n])
    assert predictor.predict(predictor.weights, batch(4, 16, 16)).shape == (2, 4, 16, 16)
    with pytest.raises(
        cr.ConceptReviveError, match="draws without classifier-free guidance: set guidance to 0"
    ):
        predictor.predict(predictor.weights, batch(4, 16, 16), 7.5)


def test_latents_of_another_shape_are_refused(tiny):
    predictor = NoisePredictor(tiny, LAYERS)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"UNet2DConditionModel works on \(4, 8, 8\), and the autoencoder makes \(4, 4, 8\)",
    ):
        predictor.predict(predictor.weights, batch(4, 4, 8))


def test_pictures_of_a_pipeline_without_autoencoder_are_refused(tiny):
    pipe = copy.copy(tiny)
    pipe.vae = None
    with pytest.raises(
        cr.ConceptReviveError, match="Pipeline has no autoencoder with a scaling_factor: pictures"
    ):
        encoded(pipe, [Image.new("RGB", (16, 16))])


def test_brain_floats_are_differentiated_and_kept(tiny):
    pipe = copy.copy(tiny)
    for name in ("vae", "text_encoder", "unet"):
        setattr(pipe, name, copy.deepcopy(getattr(tiny, name)).bfloat16())
    given = dict(layers=LAYERS, pictures=2, guidance=0, batch_size=2)
    assert cr.locate_salun(pipe, CONCEPT, ratio=0.5, **given).count > 0
    out = cr.unlearn_salun(pipe, CONCEPT, **given, retained=2, steps=1, lr=1e-2)
    before = cr.read_weights(pipe, LAYERS)
    assert all(w.dtype == torch.bfloat16 for w in out.values())
    assert any(not torch.equal(w, before[n]) for n, w in out.items())


def test_what_a_pipeline_tells_is_taken_apart_and_put_together():
    told = {"a": torch.tensor([[1], [2]]), "b": {"c": torch.tensor([3, 4])}, "d": None}
    told["e"], told["f"] = [torch.tensor([5, 6])], torch.ones(7)
    rows = [row_of(told, i, 2) for i in range(2)]
    assert rows[1]["a"].tolist() == [[2]] and rows[0]["b"]["c"].tolist() == [3]
    again = joined([rows[1], rows[0], rows[1]])
    assert again["a"].tolist() == [[2], [1], [2]] and again["b"]["c"].tolist() == [4, 3, 4]
    assert again["e"][0].tolist() == [6, 5, 6] and again["d"] is None and len(again["f"]) == 7
