"""Layers under wrappers have their own names; weights that are not plain are refused by name."""

from __future__ import annotations

import warnings
from copy import copy, deepcopy

import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook, dispatch_model
from diffusers import ModelMixin
from torch import nn
from torch.nn.utils import prune

import conceptrevive as cr
from conceptrevive.models.layers import denoiser
from conceptrevive.models.wrappers import named_modules
from tests import families

pytestmark = pytest.mark.usefixtures("one_thread")
BLOCK = "attentions.0.transformer_blocks.0.ff.net.2"
ONE = f"down_blocks.0.{BLOCK}"
FEW = dict(steps=2, guidance=3.0)


@pytest.fixture
def mine(tiny):
    """`tiny` with a denoiser of its own, to be wrapped and spoilt."""
    pipe = copy(tiny)
    pipe.unet = deepcopy(tiny.unet)
    return pipe


# --- seen through ---------------------------------------------------------------------------------


def compiled(pipe):
    pipe.unet = torch.compile(pipe.unet, backend="eager")


def compiled_in_place(pipe):
    pipe.unet.compile(backend="eager")


def compiled_in_part(pipe):
    pipe.unet.down_blocks[0] = torch.compile(pipe.unet.down_blocks[0], backend="eager")
    pipe.unet.mid_block = torch.compile(pipe.unet.mid_block, backend="eager")


def parallel(pipe):
    pipe.unet = nn.DataParallel(pipe.unet)


def compiled_and_parallel(pipe):
    pipe.unet = torch.compile(nn.DataParallel(pipe.unet), backend="eager")


def peft_model(pipe):
    """As `peft.get_peft_model`, whose adapters are merged."""
    lora = nn.Module()
    lora.model = pipe.unet
    pipe.unet = nn.Module()
    pipe.unet.base_model = lora
    fused(pipe, lora.model)


def fused(pipe, unet=None):
    """As after `pipe.fuse_lora()`: the layers are still within their adapters."""
    block = (unet or pipe.unet).get_submodule(ONE.removesuffix(".2"))
    for layers, name in ((block, "2"), (block[0], "proj")):
        setattr(layers, name, Adapter(getattr(layers, name), merged=True))


WRAPPERS = (
    compiled,
    compiled_in_place,
    compiled_in_part,
    parallel,
    compiled_and_parallel,
    fused,
    peft_model,
)


@pytest.mark.parametrize("wrap", WRAPPERS, ids=lambda f: f.__name__)
def test_names_and_weights_are_those_of_the_bare_model(tiny, mine, wrap):
    bare = cr.read_weights(tiny)
    side = cr.read_side(tiny)
    wrap(mine)
    weights = cr.read_weights(mine)
    assert list(weights) == list(bare)
    assert all(torch.equal(w, bare[n]) for n, w in weights.items())
    assert all(torch.equal(w, side[n]) for n, w in cr.read_side(mine).items())
    cr.write_weights(mine, {ONE: torch.zeros_like(bare[ONE])})
    assert not cr.read_weights(mine, [ONE])[ONE].any()
    assert list(cr.candidate_layers(mine.unet)) == list(bare)


def test_names_are_torchs_own_where_nothing_is_wrapped(tiny):
    assert named_modules(tiny.unet) == dict(tiny.unet.named_modules())


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="torch before 2.6")
def test_a_compiled_model_draws_with_the_weights_it_is_given(tiny, mine):
    compiled(mine)
    zeros = {n: torch.zeros_like(w) for n, w in cr.read_weights(tiny).items()}
    # No compiler is run: the wrapper is what is tested.
    with torch.compiler.set_stance("force_eager"), cr.swapped(tiny, zeros):
        own = cr.generate(tiny, ["a cat"], **FEW)[0]
    with torch.compiler.set_stance("force_eager"), cr.swapped(mine, zeros):
        assert cr.generate(mine, ["a cat"], **FEW)[0].tobytes() == own.tobytes()


def test_a_fused_adapter_that_is_switched_off_is_refused(mine):
    """PEFT takes its adapter out again before such a layer runs."""
    fused(mine)
    mine.unet.get_submodule(ONE).disable_adapters = True
    with pytest.raises(cr.ConceptReviveError, match=f"{ONE} is a Adapter with an adapter"):
        cr.read_weights(mine)


def test_data_parallel_cannot_draw(mine):
    parallel(mine)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"the unet is wrapped in DataParallel, with which diffusers cannot draw: "
        r"set pipe\.unet = pipe\.unet\.module",
    ):
        cr.generate(mine, ["a cat"], **FEW)


# --- refused by name ------------------------------------------------------------------------------


class Adapter(nn.Module):
    """As PEFT's: the layer moves into `base_layer`."""

    def __init__(self, layer, merged=False):
        super().__init__()
        self.base_layer, self.merged = layer, merged
        self.lora_A = nn.Linear(layer.in_features, 2, bias=False)

    def forward(self, x):
        return self.base_layer(x)


class QuantLinear(nn.Module):
    """As GPTQ's and AWQ's: no nn.Linear."""

    def __init__(self, layer):
        super().__init__()
        self.register_buffer("qweight", torch.zeros(2, 2, dtype=torch.int32))


class Linear4bit(nn.Linear):
    """As bitsandbytes': an nn.Linear whose weight is packed."""

    def __init__(self, layer):
        super().__init__(1, 1)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        packed = torch.zeros(layer.weight.numel() // 2, 1, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)


class Packed(nn.Parameter):
    """As torchao's and quanto's: a parameter that only looks like a matrix."""


def quantised_parameter(layer):
    layer.weight = Packed(layer.weight.data, requires_grad=False)
    return layer


def float8(layer):
    return layer.to(torch.float8_e4m3fn)


def parametrised(layer):
    return nn.utils.parametrizations.weight_norm(layer)


def pruned_by_torch(layer):
    return prune.l1_unstructured(layer, "weight", 0.5)


REFUSED = {
    Adapter: r"is a Adapter with an adapter \(LoRA\) that is not fused: call pipe\.fuse_lora\(\)",
    QuantLinear: "is a QuantLinear, no plain linear layer: load the model without quantisation",
    Linear4bit: r"is a Linear4bit whose weight is a Parameter of torch\.uint8, quantised or",
    quantised_parameter: r"is a Linear whose weight is a Packed of torch\.float32, quantised",
    float8: r"is a Linear whose weight is a Parameter of torch\.float8_e4m3fn, quantised",
    parametrised: "its weight is computed from other tensors: remove the parametrisation",
    pruned_by_torch: "its weight is computed from other tensors: remove the parametrisation",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "act",
    [
        cr.candidate_layers,
        cr.read_weights,
        cr.read_side,
        lambda m: cr.read_weights(m, [ONE]),
        lambda m: cr.write_weights(m, {ONE: torch.zeros(16, 64)}),
    ],
    ids=["candidates", "read", "side", "read one", "write"],
)
def test_layers_that_hide_their_weights(mine, change, act):
    feed_forward = mine.unet.get_submodule(ONE.removesuffix(".2"))
    feed_forward[2] = change(feed_forward[2])
    with pytest.raises(
        cr.ConceptReviveError, match=f"^UNet2DConditionModel: {ONE}:? {REFUSED[change]}"
    ):
        act(mine)


def test_side_information_under_an_adapter(mine):
    first = mine.unet.get_submodule(ONE.removesuffix("2") + "0")
    first.proj = Adapter(first.proj)
    with pytest.raises(cr.ConceptReviveError, match=r"0\.proj is a Adapter with an adapter"):
        cr.read_side(mine)
    assert len(cr.read_weights(mine)) == 7, "the candidates themselves are plain"


@pytest.mark.parametrize(
    "empty",
    [lambda net: net.to("meta"), lambda net: cpu_offload(net, torch.device("cpu"))],
    ids=["meta", "sequential offload"],
)
@pytest.mark.parametrize(
    "act",
    [
        cr.read_weights,
        lambda m: cr.write_weights(m, {ONE: torch.zeros(16, 64)}),
        lambda m: cr.generate(m, ["a cat"], **FEW),
    ],
    ids=["read", "write", "draw"],
)
def test_weights_that_are_not_in_memory(mine, empty, act):
    empty(mine.unet)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"the weights are not in memory \(device meta\): load the model",
    ):
        act(mine)


@pytest.mark.skipif(not hasattr(ModelMixin, "enable_group_offload"), reason="diffusers before 0.33")
def test_group_offloading_is_seen_through_but_for_the_disk(tiny, mine, tmp_path):
    here = dict(onload_device=torch.device("cpu"), offload_type="leaf_level")
    mine.unet.enable_group_offload(**here)
    before = cr.read_weights(tiny)
    assert all(torch.equal(w, before[n]) for n, w in cr.read_weights(mine).items())
    with cr.swapped(mine, {n: w * 0 for n, w in before.items()}):
        changed = cr.generate(mine, ["a cat"], **FEW)[0].tobytes()
        assert not any(w.any() for w in cr.read_weights(mine).values())
    assert cr.generate(mine, ["a cat"], **FEW)[0].tobytes() != changed
    disk = copy(tiny)
    disk.unet = deepcopy(tiny.unet)
    disk.unet.enable_group_offload(**here, offload_to_disk_path=str(tmp_path))
    with pytest.raises(
        cr.ConceptReviveError, match=r"UNet2D.*: the weights of unet are offloaded to .*: load"
    ):
        cr.read_weights(disk)


def test_a_model_offloaded_whole_or_spread_by_a_map_is_read_and_written(tiny, mine):
    """As by `enable_model_cpu_offload` and `device_map`: weights are in memory, hooks move them."""
    cpu_offload_with_hook(mine.unet, torch.device("cpu"))
    spread = dispatch_model(deepcopy(tiny.unet), {"": "cpu"}, force_hooks=True)
    for model in (mine, spread):
        before = cr.read_weights(tiny)
        assert all(torch.equal(w, before[n]) for n, w in cr.read_weights(model).items())
        with cr.swapped(model, {ONE: before[ONE] * 0}):
            assert not cr.read_weights(model)[ONE].any()


@pytest.mark.skipif(
    not hasattr(ModelMixin, "enable_layerwise_casting"), reason="diffusers before 0.33"
)
def test_weights_stored_in_eight_bits_still_draw(mine):
    """Diffusers' layerwise casting: pictures are those of the rounded weights; none is pruned."""
    mine.unet.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
    )
    assert len(cr.generate(mine, ["a cat"], **FEW)) == 1
    with pytest.raises(
        cr.ConceptReviveError, match=r"of torch\.float8_e4m3fn, quantised or sharded"
    ):
        cr.read_weights(mine)


# --- which layers are candidates ------------------------------------------------------------------


def test_layers_that_are_joined_compute_no_more(mine):
    """What is written into them would have no effect, and nobody would be told."""
    before = cr.read_weights(mine, "attention")
    mine.fuse_qkv_projections()
    for act in (cr.read_weights, cr.candidate_layers):
        with pytest.raises(
            cr.ConceptReviveError,
            match=r"UNet2DConditionModel: .*to_[qkv] is joined with the layers beside it, and "
            r"computes no more: call pipe\.unfuse_qkv_projections\(\) first",
        ):
            act(mine, "attention")
    assert cr.read_weights(mine).keys() == cr.read_weights(mine, "feed-forward").keys()
    mine.unfuse_qkv_projections()
    after = cr.read_weights(mine, "attention")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[n], w) for n, w in before.items())


def test_the_text_stream_is_taken_too():
    found = cr.candidate_layers(families.sd3_transformer())
    # The last block has no text stream.
    names = [f"transformer_blocks.{i}.{ff}.net.2" for i, ff in ((0, "ff"), (0, "ff_context"))]
    assert list(found) == [*names, "transformer_blocks.1.ff.net.2"]


def test_what_is_left_out_is_said():
    net = families.sd3_transformer()
    net.mlp = nn.Sequential(nn.Linear(16, 64), nn.Linear(64, 16))
    with pytest.warns(
        UserWarning,
        match=r"feed-forward takes 3 layers of SD3Transformer2DModel; left out, though they look "
        r"like feed-forward outputs: mlp\.1 \(1\)",
    ):
        assert len(cr.candidate_layers(net)) == 3


def test_nothing_is_said_where_nothing_is_left_out(tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cr.candidate_layers(tiny)
        cr.candidate_layers(families.sd3_transformer())
        cr.candidate_layers(families.flux_transformer(), "proj_out")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "weights is a list: give {module name: tensor}, as `read_weights` returns"),
        ({ONE: [[1.0]]}, f"the weight of {ONE} is a list: give a torch tensor"),
        ({ONE: torch.zeros(16, 64).numpy()}, "is a ndarray: give a torch tensor"),
        (
            {ONE: torch.zeros(16, 64, dtype=torch.bool)},
            r"the weight is of torch\.bool on cpu: give",
        ),
        ({ONE: torch.zeros(16, 64, device="meta")}, r"the weight is of torch\.float32 on meta"),
    ],
    ids=["list", "lists", "numpy", "masks", "meta"],
)
@pytest.mark.parametrize("act", [cr.write_weights, lambda m, w: cr.swapped(m, w).__enter__()])
def test_weights_of_a_wrong_kind(tiny, act, weights, message):
    before = cr.read_weights(tiny)
    with pytest.raises(cr.ConceptReviveError, match=message):
        act(tiny, weights)
    assert all(torch.equal(w, before[n]) for n, w in cr.read_weights(tiny).items())


def test_the_denoiser_itself_is_a_model(tiny):
    assert denoiser(tiny) is denoiser(tiny.unet) is tiny.unet
