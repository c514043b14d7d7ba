"""Chapter 16: with a GPU and the hub it loads Stable Diffusion 1.5 in half precision.

The rest of its cells run with the stand-in when the notebooks do; here its other branch is taken,
up to the model that it loads.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
import torch

import conceptrevive as cr
from conceptrevive.models.random_model import random_sd15
from pages.conventions import Chapter
from tests import families

CHAPTER = Path(__file__).parents[2] / "notebooks/16_stable_diffusion_gpu.py"
HUB = "stable-diffusion-v1-5/stable-diffusion-v1-5"
#: Named in the hub's index, and not to be loaded.
CHECKER = {
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": [None, None],
}


@pytest.fixture
def hub(monkeypatch):
    """The model in the cache of the hub: its layout and its shapes, narrow, in float16 only."""
    repository = families.CACHE / f"models--{HUB.replace('/', '--')}"
    if not repository.exists():
        families.CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=families.CACHE) as temporary:
            files, made = Path(temporary, "files"), Path(temporary, "repository")
            narrow = random_sd15(dtype=torch.float16, size=8, share=0.05)
            narrow.save_pretrained(files, variant="fp16")
            index = json.loads((files / "model_index.json").read_text())
            (files / "model_index.json").write_text(json.dumps(index | CHECKER))
            families._as_in_the_hub(files, made)
            os.rename(made, repository)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return repository


def cells_until(name):
    """Run the chapter's code from its first cell until `name` is there; all that is defined."""
    space = {}
    for cell in Chapter.read(CHAPTER).code:
        exec(compile(cell.source, str(CHAPTER), "exec"), space)
        if name in space:
            return space
    raise AssertionError(f"no cell defines {name}")


def test_with_a_gpu_the_hubs_model_is_loaded_in_half_precision(hub, monkeypatch):
    load, asked = cr.load_pipeline, []

    def on_the_processor(model, *, device, **given):
        asked.append((model, device, given))
        return load(model, device="cpu", **given)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cr, "load_pipeline", on_the_processor)
    space = cells_until("pipe")
    assert asked == [(HUB, "cuda", {"dtype": torch.float16, "variant": "fp16"})]
    pipe, concept = space["pipe"], space["concept"]
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.float16
    assert pipe.safety_checker is None
    assert concept == cr.get_concept("parachute", "paper") and concept.settings.steps == 50
    assert len(cr.candidate_layers(pipe)) == 16


@pytest.mark.parametrize("offline", [False, True])
def test_without_a_gpu_or_the_hub_a_stand_in_takes_its_place(monkeypatch, offline):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: offline)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if offline else "")
    space = cells_until("pipe")
    pipe, concept = space["pipe"], space["concept"]
    assert not space["REAL"] and pipe.unet.dtype == torch.float32
    assert len(cr.candidate_layers(pipe)) == 16
    assert concept.target_prompts == cr.get_concept("parachute", "paper").target_prompts


def test_slices_of_attention_and_decoding_do_not_move_masks():
    """What the chapter says of `enable_attention_slicing`, and of a smaller batch."""
    concept = cr.Concept(
        "parachute",
        ("a parachute in a room", "a parachute in a park"),
        ("a room", "a park"),
        settings=cr.Settings(0.1, 1, 2),
    )
    pipe = random_sd15(size=8, share=0.05)
    whole = cr.locate(pipe, concept)
    pipe.enable_attention_slicing()
    pipe.vae.enable_slicing()
    sliced = cr.locate(pipe, concept, batch_size=2)
    equal = sum(int((whole[n] == sliced[n]).sum()) for n in whole)
    assert equal / sum(m.numel() for m in whole.values()) > 0.999
