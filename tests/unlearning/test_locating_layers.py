"""Whatever is chosen is located: columns, convolutions, text encoders; or it is refused."""

from __future__ import annotations

import pytest
import torch

import conceptrevive as cr
from conceptrevive.models.adapters.choosing import adapter_of, choose_adapter
from conceptrevive.unlearning.recording import column_norms
from tests.families import SIZE, TO_BE_SIZED, build

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = (["a cat", "a cat in the park"], ["a garden", "a park"])
RUN = dict(tau=2, steps=3, guidance=3.0, seed=0, batch_size=4)
CONCEPT = cr.Concept(
    "cat", PROMPTS[0], PROMPTS[1], settings=cr.Settings(skill_ratio=0.2, tau=2, steps=3, guidance=3)
)


def small(name):
    pipe = build(name)
    if name in TO_BE_SIZED:
        choose_adapter(pipe, type(adapter_of(pipe))(size=(SIZE, SIZE)))
    return pipe


def hearing(module, z):
    return module.register_forward_pre_hook(lambda _, given: z.append(given[0].detach()))


def unit_norms(z):
    """√Σ (z/‖z‖)², over all but the last axis: the definition."""
    unit = (z / z.norm(dim=-1, keepdim=True)).nan_to_num()
    return unit.square().flatten(0, -2).sum(0).sqrt()


def test_text_encoders_are_heard_once_and_without_padding():
    pipe, inputs = small("sd15"), []
    name = "text_encoder/encoder.layers.0.mlp.fc2"
    net = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
    (module,) = cr.candidate_layers(pipe, [name]).values()
    handle = hearing(module, inputs)
    norms = column_norms(pipe, PROMPTS, layers=[name, net], **RUN)
    handle.remove()
    assert norms[name].shape == (2, 1, 64) and norms[net].shape[1] == 2
    told, untold = inputs
    lengths = [len(pipe.tokenizer(p).input_ids) for p in (*PROMPTS[0], *PROMPTS[1])]
    for group in range(2):
        mine = [
            z[i, :length]
            for i in (2 * group, 2 * group + 1)
            for z, length in ((told, lengths[i]), (untold, 2))
        ]
        torch.testing.assert_close(norms[name][group, 0], unit_norms(torch.cat(mine)))
    masks = cr.locate(pipe, CONCEPT, layers="text-mlp", batch_size=4)
    assert masks.layers == "text-mlp" and set(masks) == set(cr.read_weights(pipe, "text-mlp"))


def test_columns_of_single_blocks_are_located_and_pruned_alone():
    pipe = small("flux")
    masks = cr.locate(pipe, CONCEPT, batch_size=4)
    name = "single_transformer_blocks.1.proj_out[:,32:]"
    assert masks[name].shape == (32, 128) and masks.count > 0
    module = pipe.transformer.single_transformer_blocks[1].proj_out
    inputs, before = [], module.weight.clone()
    handle = hearing(module, inputs)
    norms = column_norms(pipe, PROMPTS, layers=[name, name.partition("[")[0]], **RUN)
    handle.remove()
    assert norms[name].shape[-1] == 128 and len(inputs) == 2
    whole = column_norms(pipe, PROMPTS, layers=[name.partition("[")[0]], **RUN)
    assert whole[name.partition("[")[0]].shape[-1] == 160
    with cr.swapped(pipe, cr.prune(cr.read_weights(pipe), masks)):
        zeroed = (module.weight == 0) & (before != 0)
        assert torch.equal(zeroed[:, 32:], masks[name]) and not zeroed[:, :32].any()


def test_convolutions_are_located_by_what_they_see():
    pipe, inputs = small("sana"), []
    name = "transformer_blocks.0.ff.conv_point"
    handle = hearing(pipe.transformer.transformer_blocks[0].ff.conv_point, inputs)
    norms = column_norms(pipe, PROMPTS, layers=[name], **RUN)
    handle.remove()
    first = inputs[0].flatten(2).transpose(1, 2)  # samples, places, channels
    for group in range(2):
        own = torch.cat([half[2 * group : 2 * group + 2] for half in first.chunk(2)])
        torch.testing.assert_close(norms[name][group, 0], unit_norms(own))
    with pytest.raises(cr.ConceptReviveError, match=r"conv_depth is a Conv2d in 160 groups, pad"):
        cr.locate(pipe, CONCEPT, layers="*.conv_depth", batch_size=4)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("vae/*.conv_in", r"vae/encoder\.conv_in does not run where this pipeline draws from a"),
        ("prior/*", r"layers 'prior/\*' matches none of"),
    ],
)
def test_what_does_not_run_is_refused(layers, message):
    with pytest.raises(cr.ConceptReviveError, match=message):
        cr.locate(small("sd15"), CONCEPT, layers=layers, batch_size=4)


@pytest.mark.parametrize("layers", ["all", "linear"])
def test_layers_for_the_time_step_are_refused_with_what_to_take_instead(layers):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"time_embedding.linear_1: activations of shape \(\d, \d+\) at denoising step 0 "
        "do not belong to 4 pictures one by one, as those of a layer for the time step: leave "
        "it out, e.g. by layers='ff-first,attention,convolutions', or locate by salun or "
        "scissorhands",
    ):
        cr.locate(small("sd15"), CONCEPT, layers=layers, batch_size=4)
