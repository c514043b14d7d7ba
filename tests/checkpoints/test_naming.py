"""Layers are found under every name that other code gives them, and other layouts are named."""

from __future__ import annotations

import pytest

from conceptrevive.checkpoints.naming import components_of, layer_kind, layout_remedy
from conceptrevive.models.addresses import match_names

NAMES = ("blocks.0.ff.net.2", "blocks.1.ff.net.2")


def prefixed(prefix, names=NAMES):
    return [f"{prefix}{n}" for n in names]


@pytest.mark.parametrize("prefix", ["text_model.", "_orig_mod.", "module.", "model.unet."])
def test_a_prefix_that_one_side_has(prefix):
    """transformers 5 against hub files; a compiled or parallel module's state dictionary."""
    longer = prefixed(prefix)
    assert match_names(NAMES, longer) == dict(zip(NAMES, longer, strict=True))
    assert match_names(longer, NAMES) == dict(zip(longer, NAMES, strict=True))


@pytest.mark.parametrize(
    ("names", "there", "found"),
    [
        (NAMES, [*NAMES, *prefixed("x.")], NAMES),
        (NAMES, prefixed("x.", NAMES[:1]), []),
        (NAMES, [*prefixed("x."), *prefixed("y.")], []),
        (["ff.net.2"], NAMES, []),
        (NAMES, prefixed("x"), []),
        ([*NAMES, "blocks.2.ff.net.2"], NAMES, NAMES),
        ([*NAMES[:1], *prefixed("x.", NAMES[1:])], NAMES, NAMES[:1]),
        ([], NAMES, []),
        (NAMES, [], []),
    ],
    ids=[
        "itself first",
        "of one only",
        "two prefixes",
        "the end of several",
        "no dot",
        "one too many",
        "mixed forms",
        "nothing asked",
        "nothing there",
    ],
)
def test_what_is_taken_and_what_is_no_match(names, there, found):
    assert match_names(names, there) == {n: n for n in found}


def test_components_are_what_stands_before_the_slash():
    names = ["a.ff.net.2", "text_encoder/encoder.layers.0.mlp.fc1", "text_encoder_2/x", "vae/a/b"]
    assert components_of(names) == {"text_encoder", "text_encoder_2", "vae"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("down_blocks.0.attentions.1.transformer_blocks.0.{}", "ff.net.2"),
        ("mid_block.attentions.0.transformer_blocks.9.{}", "ff.net.0.proj"),
        ("down_blocks.2.attentions.0.transformer_blocks.0.{}", "attn1.to_out.0"),
        ("up_blocks.1.attentions.2.transformer_blocks.0.{}", "attn2.to_k"),
        ("transformer_blocks.11.{}", "ff_context.net.2"),
    ],
)
def test_kinds_of_layers_of_transformer_blocks(name, kind):
    """Layers of one kind are pruned together; a number in a layer's own name is no block's."""
    assert layer_kind(name.format(kind)) == f"transformer_blocks.{kind}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("single_transformer_blocks.37.proj_out", "single_transformer_blocks.proj_out"),
        ("mid_block.resnets.0.conv1", "resnets.conv1"),
        ("up_blocks.0.upsamplers.0.conv", "upsamplers.conv"),
        ("text_encoder/text_model.encoder.layers.3.mlp.fc2", "layers.mlp.fc2"),
        ("text_encoder_3/encoder.block.0.layer.1.DenseReluDense.wo", "layer.DenseReluDense.wo"),
        ("time_embedding.linear_1", "time_embedding.linear_1"),
        ("proj_out", "proj_out"),
        ("add_embedding.1", "add_embedding.1"),
    ],
)
def test_kinds_of_other_layers(name, kind):
    assert layer_kind(name) == kind


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["model.diffusion_model.input_blocks.1.1.proj_in", "cond_stage_model.x"],
            ["the original Stable Diffusion (LDM)", "StableDiffusionPipeline.from_single_file"],
        ),
        (
            ["model.diffusion_model.input_blocks.1.1.proj_in", "conditioner.embedders.0.x"],
            ["the original Stable Diffusion XL", "StableDiffusionXLPipeline.from_single_file"],
        ),
        (
            ["double_blocks.0.img_mlp.2"],
            ["the original Flux", "FluxTransformer2DModel.from_single_file"],
        ),
        (
            ["model.diffusion_model.double_blocks.0.img_mlp.2"],
            ["the original Flux", "FluxTransformer2DModel.from_single_file"],
        ),
        (
            ["model.diffusion_model.joint_blocks.0.x_block.mlp.fc2"],
            ["the original Stable Diffusion 3", "SD3Transformer2DModel.from_single_file"],
        ),
        (
            ["diffusion_model.input_blocks.1.1.proj_in"],
            ["(diffusion_model.…), which diffusers does not convert", "model.diffusion_model."],
        ),
        (
            ["input_blocks.1.1.proj_in"],
            ["(input_blocks.…), which diffusers does not convert", "give the file of the whole"],
        ),
        (["lora_unet_down_blocks_0_ff_net_2.lora_down"], ["it is a LoRA", "fuse it into one"]),
        (["diffusion_model.double_blocks.0.img_mlp.2.lora_A"], ["it is a LoRA"]),
        (["unet.down_blocks.0.ff.net.2.lora.up", "a.lora_B.default"], ["it is a LoRA"]),
    ],
)
def test_layouts_of_other_code_are_named_with_what_converts_them(names, said):
    remedy = layout_remedy(names)
    assert all(text in remedy for text in said), remedy


@pytest.mark.parametrize("names", [NAMES, [], ["transformer_blocks.0.ff.net.2", "proj_out"]])
def test_nothing_is_said_of_diffusers_own(names):
    assert layout_remedy(names) == ""
