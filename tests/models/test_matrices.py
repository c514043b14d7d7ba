"""Linear layers and convolutions as matrices: all of them, there and back, and what they are of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import conceptrevive as cr
from conceptrevive.models.matrices import group_of

pytestmark = pytest.mark.usefixtures("one_thread")

ONE = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"


def state(pipe):
    return {n: p.detach().clone() for n, p in pipe.unet.state_dict().items()}


def test_every_weight_with_two_axes_or_more_and_no_other(tiny):
    there = {n for n, p in state(tiny).items() if p.ndim > 1}
    assert {f"{n}.weight" for n in cr.read_weights(tiny, "all")} == there
    assert any(p.ndim == 4 for n, p in state(tiny).items() if n in there)


def test_a_kernel_is_a_row_for_each_output(tiny):
    kernel = state(tiny)["conv_in.weight"]
    assert kernel.shape == (16, 4, 3, 3)
    (matrix,) = cr.read_weights(tiny, ["conv_in"]).values()
    assert matrix.shape == (16, 36)
    assert matrix[5, 2 * 9 + 3 + 1] == kernel[5, 2, 1, 1]


def test_all_layers_are_swapped_and_restored(tiny):
    before = state(tiny)
    old = cr.read_weights(tiny, "all")
    with cr.swapped(tiny, {n: w + 1 for n, w in old.items()}):
        for name, value in state(tiny).items():
            assert torch.equal(value, before[name] + (value.ndim > 1)), name
    after = state(tiny)
    assert all(torch.equal(after[n], before[n]) for n in before)


def test_a_matrix_that_does_not_fit_its_kernel(tiny):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"conv_in: weight of shape \(16, 35\) does not fit the layer's \(16, 36\)",
    ):
        cr.write_weights(tiny, {"conv_in": torch.zeros(16, 35)})


def test_convolutions_that_hide_their_weights(tiny):
    class Adapter(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base_layer = base

    net = nn.Module()
    net.a = Adapter(nn.Conv2d(2, 3, 3))
    with pytest.raises(cr.ConceptReviveError, match=r"a is a Adapter with an adapter \(LoRA\)"):
        cr.read_weights(net, "all")
    with pytest.raises(cr.ConceptReviveError, match=r"a is a Adapter with an adapter \(LoRA\)"):
        cr.read_weights(net, ["a"])
    net.a = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3))
    with pytest.raises(cr.ConceptReviveError, match="a: its weight is computed from other tensors"):
        cr.read_weights(net, ["a"])


@pytest.mark.parametrize(
    ("name", "axes", "group"),
    [
        (ONE, 2, "ff.net.2"),
        (ONE.replace("net.2", "net.0.proj"), 2, "ff.net.0"),
        (ONE.replace("ff.net.2", "attn2.to_out.0"), 2, "attention"),
        ("down_blocks.0.attentions.0.proj_in", 2, "other"),
        ("down_blocks.0.attentions.0.proj_in", 4, "convolution"),
        ("time_embedding.linear_1", 2, "other"),
    ],
)
def test_what_a_layer_is_part_of(name, axes, group):
    assert group_of(name, torch.zeros((1,) * axes)) == group
