"""Layers of the original Stable Diffusion's files are found, pruned and written by their names."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.layers import find_layers
from conceptrevive.checkpoints.ldm import diffusers_names
from conceptrevive.checkpoints.selection import choose_layers, read_candidates
from conceptrevive.cli import main
from tests.checkpoints.originals import LDM as UNET
from tests.checkpoints.small import masked, saved
from tests.checkpoints.wholes import ldm_unet

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP = "cond_stage_model.transformer."


@pytest.fixture(scope="module")
def file(tiny, tmp_path_factory):
    """`tiny`'s UNet and text encoder as one file of the original code."""
    weights = {n: p.clone() for n, p in ldm_unet(tiny.unet.state_dict()).items()}
    assert len(weights) == len(tiny.unet.state_dict())
    for name, p in tiny.text_encoder.state_dict().items():
        weights[f"{CLIP}text_model.{name.removeprefix('text_model.')}"] = p.clone()
    weights["first_stage_model.decoder.conv_in.weight"] = torch.ones(8, 4, 3, 3)
    return saved(tmp_path_factory.mktemp("ldm") / "model.safetensors", weights)


def test_diffusers_reads_the_same_from_it(tiny, tiny_folder, file):
    """Diffusers' own loader is the oracle for every name."""
    from diffusers import UNet2DConditionModel

    net = UNet2DConditionModel.from_single_file(
        str(file), config=str(tiny_folder), subfolder="unet", local_files_only=True
    )
    mine = tiny.unet.state_dict()
    assert all(torch.equal(p, mine[n]) for n, p in net.state_dict().items())


@pytest.mark.parametrize("layers", [None, "all", "attention", "text-mlp", "unet/*.to_k,*.fc2"])
def test_names_and_weights_are_those_of_the_pipeline(layers, tiny, file):
    wanted = cr.read_weights(tiny, layers)
    weights = read_candidates(file, layers)
    short = {n.replace("/text_model.", "/"): w for n, w in weights.items()}
    assert short.keys() == {n.replace("/text_model.", "/") for n in wanted}
    for name, weight in wanted.items():
        assert torch.equal(short[name.replace("/text_model.", "/")], weight), name
    again = find_layers(open_checkpoint(file), wanted)
    assert list(again) and set(again) == set(wanted), "by the pipeline's own names"


def test_what_is_pruned_is_written_under_the_old_names(tiny, file, tmp_path, capsys):
    names = ["unet/" + next(iter(cr.read_weights(tiny))), "text_encoder/encoder.layers.0.mlp.fc2"]
    masks = tmp_path / "masks"
    cr.MaskSet(
        {n: torch.eye(*w.shape, dtype=torch.bool) for n, w in cr.read_weights(tiny, names).items()}
    ).save(masks)
    out = tmp_path / "out.safetensors"
    argv = ["prune", str(file), "--masks", str(masks), "--out", str(out), "--partial"]
    assert main(argv) == 0
    capsys.readouterr()
    before, after = load_file(file), load_file(out)
    assert before.keys() == after.keys()
    changed = {n for n, w in after.items() if not torch.equal(w, before[n])}
    assert changed == {
        *ldm_unet({names[0].removeprefix("unet/") + ".weight": torch.empty(0)}),
        f"{CLIP}text_model.encoder.layers.0.mlp.fc2.weight",
    }


def test_masks_of_a_part_are_refused(tiny, file, tmp_path, capsys):
    names = list(cr.read_weights(tiny))[:1]
    masks = masked(tmp_path / "masks", names, tuple(cr.read_weights(tiny)[names[0]].shape))
    argv = ["prune", str(file), "--masks", str(masks), "--out", str(tmp_path / "o.safetensors")]
    assert main(argv) == 2
    assert "the masks cover 1 of its 7 such layers" in capsys.readouterr().err


def test_the_second_text_encoder_of_sdxl():
    start = "conditioner.embedders.1.model.transformer.resblocks.3"
    keys = [
        f"{UNET}input_blocks.0.0.weight",
        f"{start}.mlp.c_fc.weight",
        f"{start}.mlp.c_proj.weight",
        f"{start}.attn.in_proj_weight",
        "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
    ]
    layer = "text_encoder_2/text_model.encoder.layers.3.mlp"
    assert diffusers_names(keys) == {
        keys[0]: "conv_in.weight",
        keys[1]: f"{layer}.fc1.weight",
        keys[2]: f"{layer}.fc2.weight",
        keys[4]: "text_encoder/text_model.encoder.layers.0.mlp.fc1.weight",
    }
    assert diffusers_names(["down_blocks.0.conv_in.weight"]) == {}


def test_a_name_that_is_not_there_is_no_matter_of_layout(tmp_path):
    """What stays under the original's names is no reason to convert the file."""
    block = f"{UNET}input_blocks.1.1.transformer_blocks.0.ff.net.2.weight"
    weights = {
        f"{UNET}input_blocks.0.0.weight": torch.ones(8, 4, 3, 3),
        f"{UNET}input_blocks.1.0.in_layers.2.weight": torch.ones(8, 8, 3, 3),
        f"{UNET}input_blocks.2.0.op.weight": torch.ones(8, 8, 3, 3),
        block: torch.ones(8, 32),
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": torch.ones(
            24, 8
        ),
    }
    checkpoint = open_checkpoint(saved(tmp_path / "xl.safetensors", weights))
    assert list(choose_layers(checkpoint).layers) == [
        "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
    ]
    with pytest.raises(cr.ConceptReviveError, match=r"layers 'nonsense' matches none of 5 layers"):
        choose_layers(checkpoint, "nonsense")
    with pytest.raises(cr.ConceptReviveError, match="has no such layer: locate on this model"):
        find_layers(checkpoint, ["down_blocks.9.ff.net.2"])


def test_other_tensors_keep_their_names(file):
    checkpoint = open_checkpoint(file)
    assert "first_stage_model.decoder.conv_in" in find_layers(
        checkpoint, ["first_stage_model.decoder.conv_in"]
    )
    assert not any("first_stage" in n for n in choose_layers(checkpoint, "all").layers)
