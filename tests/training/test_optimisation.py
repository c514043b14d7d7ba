"""Decay by part of the name, rescaling once, and the moving average."""

from __future__ import annotations

import copy

import pytest
import torch

from conceptrevive.errors import ConceptReviveError
from training.optimisation import Averages, build_optimiser, named_parameters, rescale
from training.stages import Rescale, read_stage


def test_every_parameter_decays_by_the_first_part_that_fits(tiny):
    stage = read_stage("v7")
    parameters = named_parameters(tiny)
    groups = build_optimiser(parameters, stage).param_groups
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert len(decay) == len(parameters)
    found = {name: decay[id(p)] for name, p in parameters.items()}
    block = "unet.down_blocks.0.attentions.0.transformer_blocks.0."
    expected = {
        "unet.conv_in.weight": 0.5,
        "unet.conv_in.bias": 0.0,
        block + "norm1.weight": 0.0,
        block + "attn1.to_q.weight": 0.5,
        block + "attn1.to_v.weight": 2.0,
        block + "attn2.to_out.0.weight": 4.0,
        block + "attn2.to_out.0.bias": 0.0,
        block + "ff.net.0.proj.weight": 0.0,
        block + "ff.net.2.weight": 0.1,
    }
    assert {name: found[name] for name in expected} == expected
    text = {name: d for name, d in found.items() if name.startswith("text_encoder.")}
    assert {d for n, d in text.items() if "fc1.weight" in n} == {0.01}
    assert {d for n, d in text.items() if "embedding" in n} == {0.0}


def test_a_part_that_nothing_is_named_after_is_refused(tiny):
    stage = read_stage("v7").model_copy(update={"decays": {"ff.net.9": 1.0}})
    with pytest.raises(
        ConceptReviveError, match=r"^stage v7: decays: no parameter is named 'ff\.net\.9'$"
    ):
        build_optimiser(named_parameters(tiny), stage)
    with pytest.raises(ConceptReviveError, match=r"^rescale: no linear layer is named 'gates'$"):
        rescale(tiny.unet, [Rescale(part="gates")])


def test_gates_and_values_are_rescaled_apart(tiny):
    """The halves are those of diffusers' GEGLU: values first, gates second."""
    unet = copy.deepcopy(tiny.unet)
    layers = [m for n, m in unet.named_modules() if n.endswith("ff.net.0")]
    x = torch.randn(5, layers[0].proj.in_features, generator=torch.Generator().manual_seed(0))
    value, gate = layers[0].proj(x).chunk(2, -1)
    rescale(
        unet,
        [
            Rescale(part="ff.net.0", half="gate", scale=2.5, bias_scale=2.5, bias_shift=-0.5),
            Rescale(part="ff.net.0", half="value", scale=0.5, bias_scale=0.5),
        ],
    )
    expected = value * 0.5 * torch.nn.functional.gelu(gate * 2.5 - 0.5)
    torch.testing.assert_close(layers[0](x), expected)
    before, after = dict(tiny.unet.named_parameters()), dict(unet.named_parameters())
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed and all("ff.net.0" in n for n in changed)


@torch.no_grad()
def test_averages_follow_and_can_be_put_in_place(tiny):
    parameters = named_parameters(copy.deepcopy(tiny))
    averages = Averages(parameters)
    name, p = next(iter(parameters.items()))
    first = p.clone()
    p += 1
    averages.update(step=10)
    torch.testing.assert_close(averages.values[name], first + 0.5)
    moved = p.clone()
    with averages.in_place():
        torch.testing.assert_close(p, first + 0.5)
    assert torch.equal(p, moved)
