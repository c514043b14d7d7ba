"""Selections on whole pipelines of every family, in memory and in their files."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

import conceptrevive as cr
from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.layers import find_layers, read_layers
from conceptrevive.checkpoints.selection import choose_layers
from conceptrevive.models.matrices import choose
from conceptrevive.models.presets import PRESETS
from tests import families

pytestmark = pytest.mark.usefixtures("one_thread")

pipeline = cache(families.build)

#: Feed-forward outputs by how their names end, and how many of them there are.
OUTPUTS = {
    "sd15": {"ff.net.2": 7},
    "sdxl": {"ff.net.2": 8},
    "sd3": {"ff.net.2": 2, "ff_context.net.2": 1},
    "pixart": {"ff.net.2": 2},
    "flux": {"ff.net.2": 2, "ff_context.net.2": 2, "proj_out[:,32:]": 2},
    "chroma": {"ff.net.2": 2, "ff_context.net.2": 2, "proj_out[:,32:]": 2},
    "sana": {"ff.conv_point": 2},
    "lumina2": {"feed_forward.linear_2": 6},
    "hunyuan": {"ff.net.2": 2},
    "dit": {"ff.net.2": 2},
    "auraflow": {"ff.out_projection": 2, "ff_context.out_projection": 1},
}

WITHOUT = ("kandinsky22", "deepfloyd")


@pytest.mark.parametrize("family", OUTPUTS)
def test_a_family_in_memory_and_in_its_files(family):
    pipe, expected = pipeline(family), OUTPUTS[family]
    weights = cr.read_weights(pipe)
    assert {end: sum(n.endswith(f".{end}") for n in weights) for end in expected} == expected
    assert len(weights) == sum(expected.values()) and not choose(pipe).suspicious()
    side = cr.read_side(pipe)
    assert {n: s.shape[1] for n, s in side.items()} == {n: w.shape[1] for n, w in weights.items()}
    before = state(pipe)
    with cr.swapped(pipe, {n: torch.zeros_like(w) for n, w in weights.items()}):
        changed = {n for n, p in state(pipe).items() if not torch.equal(p, before[n])}
        assert changed == {f"{n.partition('[')[0]}.weight" for n in weights}
    assert all(torch.equal(p, before[n]) for n, p in state(pipe).items())
    checkpoint = open_checkpoint(families.folder(family), components=None)
    for preset in PRESETS:
        mine, theirs = taken(choose, pipe, preset), taken(choose_layers, checkpoint, preset)
        assert without_prefix(mine) == without_prefix(theirs), preset
    read = read_layers(find_layers(checkpoint, weights))
    assert all(torch.equal(read[n], w) for n, w in weights.items())


def state(pipe):
    net = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
    return {n: p.clone() for n, p in net.state_dict().items()}


def without_prefix(layers):
    """Versions of transformers differ by this prefix, in modules and in files."""
    return {n.replace("/text_model.", "/"): shape for n, shape in layers.items()}


def taken(how, model, preset):
    """Keys and shapes, or what is told where the preset fits nothing."""
    try:
        return {n: x.matrix for n, x in how(model, preset).layers.items()}
    except cr.ConceptReviveError as error:
        assert f"the preset {preset} " in str(error)
        return {}


@pytest.mark.parametrize("family", WITHOUT)
def test_a_family_without_feed_forward_blocks_says_what_it_has(family):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"the preset feed-forward .* fits no layer of UNet2DConditionModel; it has \d+: .*"
        r"\(\d\).*; choose attention, convolutions, linear, all, or name layers by a pattern",
    ):
        cr.read_weights(pipeline(family))
    assert all(".to_" in n or ".add_" in n for n in cr.read_weights(pipeline(family), "attention"))


def test_text_encoders_of_flux_are_read_together():
    weights = cr.read_weights(pipeline("flux"), "text-mlp")
    ends = {n.partition("/")[0]: n.rpartition(".")[2] for n in weights}
    assert ends == {"text_encoder": "fc2", "text_encoder_2": "wo"}
    assert all(w.ndim == 2 for w in weights.values())
    side = cr.read_side(pipeline("flux"), "*.fc2,*.DenseReluDense.wo")
    assert all(s.shape[1] == weights[n].shape[1] for n, s in side.items())


def test_nothing_outside_of_a_lone_denoiser():
    net = pipeline("sd3").transformer
    assert isinstance(net, nn.Module) and len(cr.read_weights(net)) == 3
    with pytest.raises(cr.ConceptReviveError, match=r"the preset text-mlp .* fits no layer of SD3"):
        cr.read_weights(net, "text-mlp")
