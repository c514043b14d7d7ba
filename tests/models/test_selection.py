"""One selection means the same in a model, in its files and on the command line."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from torch import nn

import conceptrevive as cr
from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.selection import expect_whole
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.addresses import (
    Columns,
    bare,
    kind_pattern,
    match_names,
    split_columns,
    unwrapped_name,
)
from conceptrevive.models.feedforward import value_layers
from conceptrevive.models.layers import inventory
from conceptrevive.models.matching import grouped
from conceptrevive.models.matrices import choose, views
from conceptrevive.models.presets import Layer
from conceptrevive.models.selection import Choice, Selection, chosen_of
from tests import families

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
ONE = f"{BLOCK}.ff.net.2"
FC1 = "text_encoder/encoder.layers.0.mlp.fc1"

CONCEPT = cr.Concept(
    "cat",
    ("a cat in a room",),
    ("a room",),
    settings=cr.Settings(skill_ratio=0.5, tau=1, steps=1, guidance=2.0),
)

# --- presets: names as in diffusers' and transformers' models -------------------------------------


def layer(name, shape=(32, 32), component="transformer", denoises=True):
    return Layer(component, name, "linear" if len(shape) == 2 else "convolution", shape, denoises)


def text(name, shape=(32, 32)):
    return layer(name, shape, "text_encoder", False)


#: {architecture: (its layers, {preset: keys that it takes})}; norms and embeddings are no layers.
ARCHITECTURES = {
    "UNet2DConditionModel": (
        [
            layer(f"{BLOCK}.attn1.to_q", component="unet"),
            layer(f"{BLOCK}.attn1.to_out.0", component="unet"),
            layer(f"{BLOCK}.ff.net.0.proj", (256, 32), "unet"),
            layer(f"{BLOCK}.ff.net.2", (32, 128), "unet"),
            layer("conv_in", (32, 4, 3, 3), "unet"),
            layer("time_embedding.linear_1", component="unet"),
        ],
        {
            "feed-forward": [ONE],
            "ff-first": [f"{BLOCK}.ff.net.0.proj"],
            "attention": [f"{BLOCK}.attn1.to_q", f"{BLOCK}.attn1.to_out.0"],
            "convolutions": ["conv_in"],
        },
    ),
    "SD3Transformer2DModel": (
        [
            layer("transformer_blocks.0.attn.add_q_proj"),
            layer("transformer_blocks.0.attn.to_add_out"),
            layer("transformer_blocks.0.ff.net.0.proj", (128, 32)),
            layer("transformer_blocks.0.ff.net.2", (32, 128)),
            layer("transformer_blocks.0.ff_context.net.2", (32, 128)),
            layer("proj_out", (16, 32)),
        ],
        {
            "feed-forward": [
                "transformer_blocks.0.ff.net.2",
                "transformer_blocks.0.ff_context.net.2",
            ],
            "attention": [
                "transformer_blocks.0.attn.add_q_proj",
                "transformer_blocks.0.attn.to_add_out",
            ],
        },
    ),
    "FluxTransformer2DModel": (
        [
            layer("transformer_blocks.0.ff.net.2", (32, 128)),
            layer("single_transformer_blocks.0.proj_mlp", (128, 32)),
            layer("single_transformer_blocks.0.proj_out", (32, 160)),
            layer("proj_out", (16, 32)),
        ],
        {
            "feed-forward": [
                "transformer_blocks.0.ff.net.2",
                "single_transformer_blocks.0.proj_out[:,32:]",
            ],
            "ff-first": ["single_transformer_blocks.0.proj_mlp"],
        },
    ),
    "SanaTransformer2DModel": (
        [
            layer("transformer_blocks.0.ff.conv_inverted", (160, 32, 1, 1)),
            layer("transformer_blocks.0.ff.conv_depth", (160, 1, 3, 3)),
            layer("transformer_blocks.0.ff.conv_point", (32, 80, 1, 1)),
        ],
        {
            "feed-forward": ["transformer_blocks.0.ff.conv_point"],
            "ff-first": ["transformer_blocks.0.ff.conv_inverted"],
        },
    ),
    "Lumina2Transformer2DModel": (
        [
            *(layer(f"context_refiner.0.feed_forward.linear_{i}", (128, 32)) for i in (1, 3)),
            layer("context_refiner.0.feed_forward.linear_2", (32, 128)),
            layer("time_caption_embed.timestep_embedder.linear_2"),
        ],
        {
            "feed-forward": ["context_refiner.0.feed_forward.linear_2"],
            "ff-first": [f"context_refiner.0.feed_forward.linear_{i}" for i in (1, 3)],
        },
    ),
    "AuraFlowTransformer2DModel": (
        [
            *(layer(f"joint_transformer_blocks.0.ff.linear_{i}", (256, 32)) for i in (1, 2)),
            layer("joint_transformer_blocks.0.ff.out_projection", (32, 256)),
            layer("joint_transformer_blocks.0.ff_context.out_projection", (32, 256)),
            layer("single_transformer_blocks.0.ff.out_projection", (32, 256)),
            layer("time_step_proj.linear_1"),
        ],
        {
            "feed-forward": [
                "joint_transformer_blocks.0.ff.out_projection",
                "joint_transformer_blocks.0.ff_context.out_projection",
                "single_transformer_blocks.0.ff.out_projection",
            ],
            "ff-first": [f"joint_transformer_blocks.0.ff.linear_{i}" for i in (1, 2)],
        },
    ),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_presets_know_the_names_of_every_family(architecture):
    there, expected = ARCHITECTURES[architecture]
    for preset, keys in expected.items():
        choice = Selection.of(preset).choose(there, architecture)
        assert list(choice.layers) == keys, preset
    assert not Selection().choose(there, architecture).suspicious()
    assert list(Selection.of("all").choose(there, "").layers) == [x.name for x in there]


def test_text_encoders_of_every_kind():
    mlps = [
        "text_model.encoder.layers.0.mlp.fc1",
        "text_model.encoder.layers.0.mlp.fc2",
        "encoder.block.0.layer.1.DenseReluDense.wi_0",
        "encoder.block.0.layer.1.DenseReluDense.wo",
        "layers.0.mlp.gate_proj",
        "layers.0.mlp.down_proj",
        "encoder.layer.0.intermediate.dense",
        "encoder.layer.0.output.dense",
    ]
    others = ["encoder.layer.0.attention.output.dense", "pooler.dense", "layers.0.self_attn.q_proj"]
    there = [*map(text, [*mlps, *others]), layer("blocks.0.mlp.fc2"), layer("a.ff.net.2")]
    choice = Selection.of("text-mlp").choose(there, "x")
    assert list(choice.layers) == [f"text_encoder/{n}" for n in mlps]


@pytest.mark.parametrize(
    ("second", "value"),
    [
        ("a.ff.net.2", ["a.ff.net.0.proj"]),
        ("single_transformer_blocks.3.proj_out", ["single_transformer_blocks.3.proj_mlp"]),
        ("a.feed_forward.linear_2", ["a.feed_forward.linear_3"]),
        ("a.ff.out_projection", ["a.ff.linear_2"]),
        ("a.ff.conv_point", ["a.ff.conv_inverted"]),
        ("encoder.layer.0.output.dense", ["encoder.layer.0.intermediate.dense"]),
        ("b.DenseReluDense.wo", ["b.DenseReluDense.wi_1", "b.DenseReluDense.wi"]),
        ("proj_out", []),
        ("a.ff.net.0.proj", []),
    ],
)
def test_which_layer_makes_the_inputs(second, value):
    assert value_layers(second) == value


def test_a_model_that_no_preset_fits_shows_what_it_has():
    there = [layer(f"blocks.{i}.mixer", (8, 8)) for i in range(3)]
    with pytest.raises(
        ConceptReviveError,
        match=r"^the preset feed-forward \(second linear layer of every feed-forward block\) fits "
        r"no layer of Strange; it has 3: blocks\.\*\.mixer \(3\); choose linear, all, or name "
        r"layers by a pattern$",
    ):
        Selection().choose(there, "Strange")


# --- patterns, names, predicates ------------------------------------------------------------------

SMALL = [
    layer("a.to_k", component="unet"),
    layer("a.to_v", component="unet"),
    layer("a.proj_out", (32, 160), component="unet"),
    text("a.to_k"),
    layer("a.to_k", component="vae", denoises=False),
]


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("encoder.layers.0.fc1", "text_model.encoder.layers.0.fc1"),
        ("text_model.encoder.layers.0.fc1", "encoder.layers.0.fc1"),
    ],
)
def test_names_in_text_encoders_do_without_the_prefix_of_other_versions(asked, there):
    inventory = [*SMALL, text(there), text(there.replace("0", "1"))]
    found = Selection.of(f"text_encoder/{asked},a.to_v").choose(inventory, "small").layers
    assert list(found) == ["a.to_v", f"text_encoder/{there}"]
    with pytest.raises(ConceptReviveError, match="'text_encoder_2/x' matches none of 7 layers"):
        Selection.of("text_encoder_2/x").choose(inventory, "small")


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("to_k", ["a.to_k", "text_encoder/a.to_k"]),
        ("unet/*.to_k", ["a.to_k"]),
        ("vae/*", ["vae/a.to_k"]),
        ("to_v, vae/a.to_k", ["a.to_v", "vae/a.to_k"]),
        ("*.to_[kv].weight", ["a.to_k", "a.to_v", "text_encoder/a.to_k"]),
        ("unet/a.proj_out[:,32:]", ["a.proj_out[:,32:]"]),
        ("_orig_mod.a.to_v,a.proj_out[:,:8]", ["a.to_v", "a.proj_out[:,:8]"]),
        ("attention,vae/*", ["a.to_k", "a.to_v", "vae/a.to_k"]),
        (
            ["vae/a.to_k", "unet/a.to_v", "a.to_k.weight"],
            ["vae/a.to_k", "unet/a.to_v", "a.to_k.weight"],
        ),
        (lambda x: x.matrix[1] > 32, ["a.proj_out"]),
        (Selection(("to_v",)), ["a.to_v"]),
    ],
)
def test_what_text_names_and_functions_mean(pattern, keys):
    choice = Selection.of(pattern).choose(SMALL, "small")
    assert list(choice.layers) == keys
    assert len(choice.left_out()) == len(SMALL) - len(keys)


def test_everywhere_is_every_component():
    assert len(Selection.of("to_k").choose(SMALL, "small", everywhere=True).layers) == 3


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("", r"layers is '', which names nothing: give a preset \(feed-forward, ff-first,"),
        (5, r"layers is a int: give a preset .*; or a list of names, or a function"),
        ([1], "layers holds a int: give the names of layers as strings"),
        ([], "layers has no names: give some, or None for the default"),
        (["a.to_q"], r"small has no linear layer or convolution named 'a\.to_q': were these masks"),
        (["clip/a"], "small has no linear layer or convolution named 'clip/a'"),
        ("atention", r"matches none of 5 layers of small, of which the first is a\.to_k "
                     r"\(did you mean 'attention'\?\): give a preset"),
        ("text_encoders/*", r"none of 5 layers of small, which are of unet, text_encoder, .*"
                            r"\(did you mean 'text_encoder'\?\): give a preset"),
        ("to_k[:,32:]", r"'to_k\[:,32:\]' takes no column of .*to_k, which has 32: give some"),
        (["a.to_k[:,90:99]"], r"takes no column of .*a\.to_k, which has 32: give some of these"),
        (lambda x: False, r"the function <lambda> takes none of the 5 layers of small: a\.to_k"),
        ("text-mlp", "the preset text-mlp .* fits no layer of small"),
    ],
)  # fmt: skip
def test_what_means_nothing(layers, message):
    with pytest.raises(ConceptReviveError, match=message):
        Selection.of(layers).choose(SMALL, "small")


def is_wide(layer):
    """Chosen by a function."""
    return layer.name.endswith(("to_v", "proj_out"))


@pytest.mark.parametrize(
    ("layers", "note", "components"),
    [
        (None, None, set()),
        ("feed-forward", None, set()),
        ("attention,linear", "attention,linear", set()),
        ("to_k", "to_k", None),
        ("text-mlp", "text-mlp", None),
        (["unet/a.to_v.weight", "text_encoder/a.to_k"], "a.to_v,text_encoder/a.to_k",
         {"text_encoder"}),
        (["a.to_k", "a.proj_out[:,32:]"], "[a].to_k,a.proj_out[:,32:]", set()),
        (["all"], "[a]ll", set()),
        (is_wide, "a.to_v,a.proj_out", None),
    ],
)  # fmt: skip
def test_what_is_told_of_a_selection(layers, note, components):
    """The text that is stored means the same layers, and no others of that model."""
    selection = Selection.of(layers)
    assert selection.components == components
    if note is None:
        assert Choice(selection, "small", {}, ()).note == {}
    elif selection.names is None and selection.predicate is None:
        assert Choice(selection, "small", {}, ()).note == {"layers": note}
        assert Selection.of(note) == selection
    else:
        there = [*SMALL, layer("all", component="unet")]
        choice = selection.choose(there, "small")
        by = {"chosen_by": "tests.models.test_selection:is_wide"} if layers is is_wide else {}
        assert choice.note == {"layers": note} | by
        again = Selection.of(note).choose(there, "small").layers
        assert set(again.values()) == set(choice.layers.values())


# --- addresses ------------------------------------------------------------------------------------


def test_addresses():
    assert split_columns("a[:, 3:7]") == ("a", Columns(3, 7)) and str(Columns(3, 7)) == "[:,3:7]"
    assert split_columns("a[:,:7]") == ("a", Columns(None, 7)) and str(Columns(None, 7)) == "[:,:7]"
    assert split_columns("a.to_[kv]") == ("a.to_[kv]", None)
    assert bare("unet/a.b.weight") == "a.b" and bare("text_encoder/a.b") == "text_encoder/a.b"
    for wrapped in (
        "_orig_mod.a.b",
        "module._orig_mod.a.b",
        "base_model.model.a.base_layer.b",
        "a._orig_mod.b.base_layer",
    ):
        assert unwrapped_name(wrapped) == "a.b"
        assert unwrapped_name(f"unet/{wrapped}") == "unet/a.b"
    assert unwrapped_name("a.module.b") == "a.module.b", "a model's own"
    assert match_names(["base_model.model.a.base_layer"], ["a"]) == {
        "base_model.model.a.base_layer": "a"
    }
    assert kind_pattern("unet/3.blocks.11.ff.net.2") == "unet/*.blocks.*.ff.net.2"


# --- in a model -----------------------------------------------------------------------------------


def test_every_component_is_read_and_written_by_its_address(tiny):
    for name in (FC1, FC1.replace("encoder.layers", "text_model.encoder.layers")):
        (weight,) = cr.read_weights(tiny, [name]).values()
        assert weight.shape == (32, 16)
        with cr.swapped(tiny, {name: weight + 1}):
            own = dict(tiny.text_encoder.named_modules())
            (module,) = (m for n, m in own.items() if n.endswith("encoder.layers.0.mlp.fc1"))
            assert torch.equal(module.weight, weight + 1)
        assert torch.equal(module.weight, weight)
    keys = list(cr.read_weights(tiny, "text-mlp,attn2.to_v"))
    assert keys[-1].startswith("text_encoder/") and keys[0].endswith("attn2.to_v")


def test_columns_are_read_and_written_alone():
    net = families.flux_transformer()
    keys = [n for n in views(net) if "single" in n]
    assert keys == [f"single_transformer_blocks.{i}.proj_out[:,32:]" for i in range(2)]
    whole = {n: p.clone() for n, p in net.state_dict().items()}
    mine = cr.read_weights(net, keys[:1])
    assert torch.equal(mine[keys[0]], whole["single_transformer_blocks.0.proj_out.weight"][:, 32:])
    cr.write_weights(net, {keys[0]: torch.zeros(32, 128)})
    after = net.state_dict()
    assert not after["single_transformer_blocks.0.proj_out.weight"][:, 32:].any()
    after["single_transformer_blocks.0.proj_out.weight"][:, 32:] = mine[keys[0]]
    assert all(torch.equal(after[n], p) for n, p in whole.items())
    side = cr.read_side(net, keys[:1])[keys[0]]
    assert torch.equal(side, whole["single_transformer_blocks.0.proj_mlp.weight"].T)


def test_a_convolution_hears_what_its_matrix_is_multiplied_with():
    net = nn.Module()
    torch.manual_seed(0)
    net.a = nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False)
    net.b = nn.Conv2d(4, 4, 3, groups=4)
    picture = torch.randn(2, 3, 8, 8)
    view = views(net, ["a"])["a"]
    told = view.inputs(picture) @ view.weight.T
    torch.testing.assert_close(told, net.a(picture).flatten(2).transpose(1, 2))
    with pytest.raises(ConceptReviveError, match=r"b is a Conv2d in 4 groups, padded with 'zeros'"):
        views(net, ["b"])["b"].inputs(torch.zeros(1, 4, 8, 8))


def test_the_attack_takes_a_selection(tiny):
    original = cr.read_weights(tiny, "attention,feed-forward")
    pruned = {n: torch.where(w.abs() < w.abs().quantile(0.2), 0, w) for n, w in original.items()}
    revived = cr.revive(pruned, layers="feed-forward")
    for name, weight in pruned.items():
        assert torch.equal(revived[name], weight) != name.endswith("ff.net.2")
    for find in (cr.zero_masks, lambda w, layers: cr.guess_masks(w, 0.1, layers)):
        assert set(find(pruned, "*.attn2.to_k")) == {n for n in pruned if "attn2.to_k" in n}
    assert chosen_of({"text_encoder/a.mlp.fc1": pruned[ONE]}, "text-mlp")
    flux = {"single_transformer_blocks.0.proj_out[:,16:]": torch.ones(16, 64)}
    assert chosen_of(flux, None) == chosen_of(flux, "feed-forward") == list(flux)


def test_all_of_a_model_is_in_its_inventory(tiny):
    there = [x for x, _ in inventory(tiny)]
    assert {x.component for x in there} == {"unet", "vae", "text_encoder"}
    assert [x.key for x in there if x.denoises] == list(cr.read_weights(tiny, "all"))
    assert choose(tiny).left_out() and grouped(there, 1).endswith("more kinds")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose(tiny, "all")


def test_masks_keep_their_selection(tmp_path, tiny):
    masks = cr.MaskSet({ONE: torch.ones(2, 2, dtype=torch.bool)}, layers="attention")
    masks.save(tmp_path / "m")
    assert cr.MaskSet.load(tmp_path / "m").layers == "attention"
    assert (masks | masks).layers == "attention"
    with pytest.raises(ConceptReviveError, match="layers is a int: give the text of a selection"):
        cr.MaskSet({}, layers=3)
    with pytest.raises(
        ConceptReviveError, match="left_out is a list: give the text of a selection"
    ):
        cr.MaskSet({}, left_out=[ONE])
    with pytest.raises(ConceptReviveError, match="chosen_by is a function: give the name of a fun"):
        cr.MaskSet({}, chosen_by=is_wide)


def test_masks_located_in_named_layers_need_no_others(tmp_path, tiny, tiny_folder):
    """What was named, or chosen by a function, is stored: that is whole, and less is not."""
    other = next(name for name in cr.candidate_layers(tiny) if name != ONE)
    checkpoint = open_checkpoint(str(tiny_folder))
    for layers, by in (([ONE], None), (lambda x: x.key == ONE, "tests.models.test_selection:")):
        path = tmp_path / "masks.safetensors"
        cr.locate(tiny, CONCEPT, layers=layers, seed=0, batch_size=2).save(path)
        masks = cr.MaskSet.load(path)
        assert masks.layers == ONE and list(masks) == [ONE]
        assert masks.chosen_by is by or masks.chosen_by.startswith(by)
        expect_whole(checkpoint, masks, masks.layers)
        with pytest.raises(ConceptReviveError, match="the masks cover 1 of its"):
            expect_whole(checkpoint, masks, None)
        with pytest.raises(ConceptReviveError, match="the masks cover 1 of its 2 such layers"):
            expect_whole(checkpoint, masks, f"{ONE},{other}")


def test_a_union_says_what_both_were_located_in(tiny, tmp_path, tiny_folder):
    """In words where they are known; of masks of other origin the names of their layers."""
    attention = cr.locate(tiny, CONCEPT, layers="attention", seed=0, batch_size=2)
    default = cr.locate(tiny, CONCEPT, seed=0, batch_size=2)
    assert (attention | default).layers == "attention,feed-forward"
    assert (default & attention).layers == "feed-forward,attention"
    assert (default | default).layers is None
    other = cr.MaskSet({ONE: default[ONE]}, concept="from elsewhere")
    united = attention | other
    assert united.layers == f"attention,[{ONE[0]}]{ONE[1:]}"
    checkpoint = open_checkpoint(str(tiny_folder))
    united.save(tmp_path / "m")
    back = cr.MaskSet.load(tmp_path / "m")
    assert set(choose(tiny, back.layers).layers) == set(back)
    expect_whole(checkpoint, back, back.layers)
    with pytest.raises(ConceptReviveError, match="the masks cover 1 of its"):
        expect_whole(checkpoint, other, back.layers)


def test_what_was_left_out_is_no_lack(tiny, tiny_folder):
    checkpoint = open_checkpoint(str(tiny_folder))
    every = cr.locate(tiny, CONCEPT, seed=0, batch_size=2)
    first, second, *rest = every
    one = cr.MaskSet({first: every[first]}, left_out=",".join((second, *rest)))
    two = cr.MaskSet({second: every[second]}, left_out=",".join((first, *rest)))
    for masks in (one, two):
        expect_whole(checkpoint, masks, None, masks.left_out)
        expect_whole(checkpoint, masks, "feed-forward", f"{masks.left_out},not.there")
    both = one | two
    assert both.left_out == ",".join(rest)
    expect_whole(checkpoint, both, both.layers, both.left_out)
    with pytest.raises(ConceptReviveError, match=f"leave out {re.escape(rest[0])}: locate on this"):
        expect_whole(checkpoint, both, both.layers, ",".join(rest[1:]))
    assert (one | cr.MaskSet(dict(every))).left_out is None
