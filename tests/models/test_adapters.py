"""Pipelines of every family draw, a picture a seed; one's own adapter takes the family's place."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import conceptrevive as cr
from conceptrevive import extensions
from conceptrevive.models.adapters import choosing
from conceptrevive.models.adapters.adapter import Adapter
from conceptrevive.models.adapters.choosing import adapter_of, choose_adapter, drawn_with
from conceptrevive.models.adapters.families import SHIPPED
from conceptrevive.models.calling import Stop, run_pipeline
from conceptrevive.models.generation import picture_size
from tests.families import FAMILIES, SIZE, TO_BE_SIZED, build
from tests.models.whispered import Whispered

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = dict(steps=2, guidance=3.0)
PIXELS = {name: 64 if name in ("hunyuan", "lumina2") else SIZE for name in FAMILIES}


def pixels(image):
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_draws(name, capfd):
    pipe = build(name)
    if name in TO_BE_SIZED:
        assert picture_size(pipe) > SIZE
        choose_adapter(pipe, replace(adapter_of(pipe), size=(SIZE, SIZE)))
    if name == "kandinsky22":
        few = {"prior_num_inference_steps": 2}
        choose_adapter(pipe, replace(adapter_of(pipe), arguments=few))
    prompts = ["a tabby", "", "the golden retriever of a king"]
    capfd.readouterr()
    steps = list(cr.denoise_steps(pipe, prompts, seed=3, **FEW))
    drawn = steps[-1].pictures
    assert {(i.size, i.mode) for i in drawn} == {((PIXELS[name],) * 2, "RGB")}
    assert len(steps) == 2 + (name == "sd15"), "PNDM takes one more"
    assert len(steps[0].pictures) == 3 and steps[0].pictures[0].size == drawn[0].size
    # One by one: the same picture; another prompt or another seed is further away than rounding.
    alone, other, later = (
        cr.generate(pipe, [prompt], seed=seed, **FEW)[0]
        for prompt, seed in ((prompts[2], 5), (prompts[0], 5), (prompts[2], 6))
    )
    assert np.abs(pixels(alone) - pixels(drawn[2])).max() <= 1
    assert (pixels(other) != pixels(alone)).any()
    assert np.abs(pixels(later) - pixels(alone)).max() > 5
    assert picture_size(pipe) == PIXELS[name]
    said = capfd.readouterr()
    assert "caption" not in said.err, "what is not installed is told once by its package, not here"


def test_what_is_not_finite_is_told_without_an_image_processor():
    pipe = build("dit")
    pipe.vae.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(cr.ConceptReviveError, match=r"picture 0 \('tabby', seed 0\) is not finite"):
        cr.generate(pipe, ["tabby"], **FEW)


def test_classes_by_name_and_by_number():
    pipe = build("dit")
    named = cr.generate(pipe, ["the Tabby cat of a king", "tabby", ""], seed=[1, 1, 2], **FEW)
    same = cr.generate(pipe, ["281", "281", ""], seed=[1, 1, 2], **FEW)
    assert [i.tobytes() for i in named] == [i.tobytes() for i in same]
    for prompt in ("tabbi", "1000"):
        with pytest.raises(
            cr.ConceptReviveError,
            match=rf"DiTPipeline draws classes, and the prompt '{prompt}' names none of its 1002"
            ".*: write a class's name into it, or give a number below 1000",
        ):
            cr.generate(pipe, [prompt], **FEW)


def test_sizes(tiny):
    for size in ((8, 24), (16, 16)):
        (image,) = cr.generate(tiny, ["a cat"], **FEW, adapter=Adapter(size=size))
        assert image.size == (size[1], size[0])
    with pytest.raises(
        cr.ConceptReviveError,
        match="size is 7 × 8: StableDiffusionPipeline draws pictures whose sides are multiples of "
        "2 pixels",
    ):
        cr.generate(tiny, ["a cat"], **FEW, adapter=Adapter(size=(7, 8)))
    with pytest.raises(cr.ConceptReviveError, match=r"this DiTPipeline draws 32 × 32 pixels and"):
        pipe = build("dit")
        cr.generate(pipe, ["tabby"], **FEW, adapter=replace(adapter_of(pipe), size=(16, 16)))


def test_arguments_of_ones_own():
    """A picture is handed over once for each prompt, in place of the empty one."""
    pipe = build("img2img")
    grey = cr.generate(pipe, ["a cat", "a dog"], **FEW)
    ramp = Image.linear_gradient("L").resize((SIZE, SIZE)).convert("RGB")
    own = replace(adapter_of(pipe), arguments={"image": ramp, "strength": 0.5})
    mine = cr.generate(pipe, ["a cat", "a dog"], **FEW, adapter=own)
    assert all((pixels(a) != pixels(b)).any() for a, b in zip(grey, mine, strict=True))
    assert cr.generate(pipe, ["a cat"], **FEW)[0].tobytes() == grey[0].tobytes(), "but only there"


def test_an_adapter_of_ones_own(tiny, monkeypatch):
    wanted = cr.generate(tiny, ["a cat, whispered"], **FEW)[0].tobytes()
    plain = cr.generate(tiny, ["a cat"], **FEW)[0].tobytes()
    # By argument, for one call.
    assert cr.generate(tiny, ["a cat"], **FEW, adapter=Whispered())[0].tobytes() == wanted
    assert cr.generate(tiny, ["a cat"], **FEW)[0].tobytes() == plain != wanted
    # Chosen for the pipeline; what is given by argument goes before, and the choice comes back.
    with drawn_with(tiny, Whispered()):
        with pytest.raises(ZeroDivisionError), drawn_with(tiny, Adapter()):
            assert cr.generate(tiny, ["a cat"], **FEW)[0].tobytes() == plain
            raise ZeroDivisionError
        assert cr.generate(tiny, ["a cat"], **FEW)[0].tobytes() == wanted
    assert type(adapter_of(tiny)) is Adapter
    # Registered by another package.
    register(monkeypatch, "StableDiffusionPipeline", "tests.models.whispered:Whispered")
    assert cr.generate(tiny, ["a cat"], **FEW)[0].tobytes() == wanted


def register(monkeypatch, name, value):
    entry = EntryPoint(name, value, "conceptrevive.adapters")
    monkeypatch.setattr(extensions, "entry_points", lambda group: [entry])
    choosing.registered.cache_clear()


@pytest.fixture(autouse=True)
def forgotten():
    yield
    choosing.registered.cache_clear()


def test_an_entry_point_of_another_kind(tiny, monkeypatch):
    register(monkeypatch, "StableDiffusionPipeline", "collections:OrderedDict")
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"adapter 'collections:OrderedDict' is no subclass of conceptrevive\.Adapter: name ",
    ):
        cr.generate(tiny, ["a cat"], **FEW)
    register(monkeypatch, "StableDiffusionPipeline", "no_such_module:Mine")
    with pytest.raises(cr.ConceptReviveError, match="there is no module 'no_such_module'"):
        cr.generate(tiny, ["a cat"], **FEW)


def test_an_adapter_of_a_wrong_kind(tiny):
    with pytest.raises(
        cr.ConceptReviveError, match=r"adapter is a str: give an instance of conceptrevive\.Adapter"
    ):
        cr.generate(tiny, ["a cat"], **FEW, adapter="flux")


def test_subclasses_of_a_pipeline_draw_as_it_does(tiny):
    class Own(type(tiny)):
        pass

    Own.__name__ = "DiTPipeline"
    assert (
        type(adapter_of(Own(**tiny.components, requires_safety_checker=False)))
        is SHIPPED["DiTPipeline"]
    )
    assert set(SHIPPED) > {type(build(n)).__name__ for n in ("flux", "sana", "pix2pix")}


def test_a_stopped_pipeline_is_as_it_was(tiny):
    """What a hook has seen enough of ends at once; offloaded parts go back to their place."""
    calls, freed = [], []

    def stop(*_):
        calls.append(1)
        raise Stop

    handle = tiny.unet.register_forward_pre_hook(stop)
    free, tiny.maybe_free_model_hooks = tiny.maybe_free_model_hooks, lambda: freed.append(1)
    try:
        assert run_pipeline(tiny, ["a cat"], [0], steps=3, guidance=3.0) is None
    finally:
        handle.remove()
        del tiny.maybe_free_model_hooks
    assert tiny.maybe_free_model_hooks == free
    assert calls == freed == [1]
    assert len(cr.generate(tiny, ["a cat"], **FEW)) == 1


def test_a_pipeline_whose_steps_cannot_be_followed(tiny, monkeypatch):
    with pytest.raises(cr.ConceptReviveError, match="has no scheduler whose steps could be"):
        with Adapter().steps(SimpleNamespace(), print):
            pass
    heard = []
    with pytest.raises(ZeroDivisionError), Adapter().steps(tiny, heard.append):
        raise ZeroDivisionError
    assert "step" not in vars(tiny.scheduler)
    cr.generate(tiny, ["a cat"], **FEW)
    assert not heard and torch.is_grad_enabled()
