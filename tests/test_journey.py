"""The whole journey by the command line, files included, on a tiny random pipeline of each family.

Models lie where a download from the hub would, and nothing is fetched.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.models.layers import denoiser
from tests.families import FAMILIES, SIZE, TO_BE_SIZED, folder

pytestmark = pytest.mark.usefixtures("one_thread")

#: Where a family has no feed-forward layers.
LAYERS = {"kandinsky22": "attention", "deepfloyd": "attention"}

GREY = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
SIZED = {"height": SIZE, "width": SIZE}

#: What plain diffusers is asked besides a prompt.
ASKED = {
    "inpaint": {"image": GREY, "mask_image": GREY},
    "img2img": {"image": GREY, "strength": 1.0},
    "controlnet": {"image": GREY},
    "pix2pix": {"image": GREY},
    "pixart": {"use_resolution_binning": False},
    "pixalpha": {"use_resolution_binning": False},
    "sana": {"use_resolution_binning": False, **SIZED},
    "hunyuan": {"use_resolution_binning": False},
    "kandinsky22": {"prior_num_inference_steps": 2, **SIZED},
    **dict.fromkeys(TO_BE_SIZED, SIZED),
}


@pytest.fixture
def run(capsys):
    """Run a command; return what it printed as JSON, and what else it said."""

    def run(*argv, code=0):
        capsys.readouterr()
        got = main([*map(str, argv), "--json"])
        out = capsys.readouterr()
        assert got == code, out.err
        return json.loads(out.out), out.err

    return run


@pytest.fixture
def concept(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        f"name: tabby\njudge: {folder('judge')}\n"
        "target_prompts: [a tabby, a tabby in a garden]\n"
        "base_prompts: [a church, a church in a garden]\n"
        "clip_pair: [a tabby, a church]\n"
        "settings: {skill_ratio: 0.3, tau: 2, steps: 2, guidance: 3.0}\n"
    )
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_the_whole_journey(name, run, concept, tmp_path):
    folder(name)
    model, masks = f"tiny/{name}", tmp_path / "masks.safetensors"
    size = ["--size", SIZE] if name in TO_BE_SIZED else []
    chosen = ["--layers", LAYERS[name]] if name in LAYERS else []
    found, said = run("locate", model, "--concept", concept, "--out", masks, *size, *chosen)
    assert found["pruned"] > 0 and found["layers"] > 0
    assert "Hub" not in said, "that nothing was fetched is no news"

    pruned, revived, hidden = (tmp_path / n for n in ("pruned", "revived", "hidden"))
    done, _ = run("prune", model, "--masks", masks, "--out", pruned)
    assert done["pruned"] == found["pruned"] and done["zeros"] >= done["pruned"]
    done, _ = run("revive", pruned, "--out", revived)
    assert done["revived"] > 0
    run("obfuscate", model, "--masks", masks, "--out", hidden)

    # As written, so loaded by diffusers alone.
    located = cr.MaskSet.load(masks)
    before, after, noisy = (plain(path) for path in (folder(name), pruned, hidden))
    files = {key: parameter(key) for key in located}
    others = before.keys() - files.values()
    assert others and all(torch.equal(before[k], after[k]) for k in others)
    for key, mask in located.items():
        old, new, hid = (columns(key, tensors[files[key]]) for tensors in (before, after, noisy))
        assert (new[mask] == 0).all() and (hid[mask] != 0).all()
        assert torch.equal(new[~mask], old[~mask]) and torch.equal(hid[~mask], old[~mask])
    assert np.isfinite(drawn(name, revived)).all()

    told, _ = run(
        "evaluate", revived, "--concept", concept, "--images", 2, "--batch-size", 2, *size
    )
    assert told["n"] == 2
    report, _ = run("audit", pruned, code=1)
    assert report["exit_code"] == 1
    assert any("zero" in str(finding).lower() for finding in report["findings"])


def loaded(path):
    import diffusers

    loader = diffusers.DiffusionPipeline
    pipe = loader.from_pretrained(path, use_safetensors=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def plain(path):
    return {k: v.float() for k, v in denoiser(loaded(path)).state_dict().items()}


def parameter(key):
    """The tensor that a layer's key means; of some columns alone it ends with them."""
    return key.partition("[")[0] + ".weight"


def columns(key, tensor):
    """The columns that a key means: all, or those of `…[:,64:]`."""
    first, _, last = key.partition("[:,")[2].rstrip("]").partition(":")
    return tensor.flatten(1)[:, int(first or 0) : int(last) if last else None]


@torch.no_grad()
def drawn(name, path):
    """One picture, as its model card would ask for it."""
    said = {"class_labels": [281]} if name == "dit" else {"prompt": "a tabby"}
    given = dict(num_inference_steps=2, output_type="np", guidance_scale=3.0)
    generator = torch.Generator().manual_seed(0)
    return loaded(path)(**said, **given, generator=generator, **ASKED.get(name, {})).images[0]
