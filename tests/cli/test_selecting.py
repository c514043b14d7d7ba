"""`--dry-run` says which layers would be taken, and what is left out and why."""

from __future__ import annotations

import json

import pytest

from conceptrevive.cli import main
from conceptrevive.unlearning.masks import MaskSet
from tests.checkpoints.small import candidates, masked, matrix, pipeline, saved, unet

pytestmark = pytest.mark.usefixtures("one_thread")
BLOCK = "unet/down_blocks.*.attentions.*.transformer_blocks.*"


@pytest.fixture
def folder(tmp_path):
    return pipeline(tmp_path / "p")


def told(capsys, *argv):
    assert main([*map(str, argv), "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def locate(folder, tmp_path, *more):
    return ["locate", folder, "--concept", "red apple", "--out", tmp_path / "masks", *more]


def test_locate_says_what_the_default_is(folder, tmp_path, capsys):
    assert told(capsys, *locate(folder, tmp_path)) == (
        f"model      {folder}\n"
        "selection  feed-forward\n"
        "layers     2\n"
        "weights    4096\n"
        "taken:\n"
        f"     2  {BLOCK}.ff.net.2  32 × 64\n"
        "left out:\n"
        f"     2  {BLOCK}.attn2.to_k  32 × 24: not in feed-forward, it is in attention, linear, "
        "all\n"
        f"     2  {BLOCK}.attn2.to_v  32 × 24: not in feed-forward, it is in attention, linear, "
        "all\n"
        f"     2  {BLOCK}.ff.net.0.proj  64 × 32: not in feed-forward, it is in ff-first, linear, "
        "all\n"
        "     2  unet/down_blocks.*.resnets.*.conv1  16 × 8 × 3 × 3: not in feed-forward, it is in "
        "convolutions, all\n"
        "     2  text_encoder/text_model.encoder.layers.*.mlp.fc1  32 × 64: of another component, "
        "it is in text-mlp\n"
        "     2  text_encoder/text_model.encoder.layers.*.mlp.fc2  32 × 64: of another component, "
        "it is in text-mlp\n"
    )
    assert not (tmp_path / "masks").exists()


def test_in_json_with_columns_and_several_parts(tmp_path, capsys):
    weights = {"single_transformer_blocks.0.proj_out.weight": matrix(0, (16, 80))} | unet(1)
    path = saved(tmp_path / "m.safetensors", weights)
    layers = ("--method", "salun", "--layers", "feed-forward,to_k", "--json")
    result = json.loads(told(capsys, *locate(path, tmp_path, *layers)))
    assert (result["layers"], result["selection"]) == (3, "feed-forward,to_k")
    columns = next(k for k in result["taken"] if k["name"].endswith("[:,16:]"))
    assert columns == {
        "name": "single_transformer_blocks.*.proj_out[:,16:]",
        "count": 1,
        "shapes": [[16, 64]],
        "weights": 1024,
    }
    assert result["weights"] == 1024 + 32 * 64 + 32 * 24
    assert {k["name"].rpartition(".")[2] for k in result["left_out"]} == {"to_v", "proj", "conv1"}


@pytest.mark.parametrize("command", ["prune", "revive", "obfuscate"])
def test_masks_are_checked_and_nothing_is_written(command, folder, tmp_path, capsys):
    masks = masked(tmp_path / "masks", candidates(2))
    out = tmp_path / "out"
    argv = [command, folder, "--masks", masks, "--out", out]
    result = json.loads(told(capsys, *argv, "--json"))
    assert (result["layers"], result["pruned"]) == (2, MaskSet.load(masks).count)
    assert not out.exists()
    masked(tmp_path / "some", candidates(1))
    argv[3] = tmp_path / "some"
    assert main([*map(str, argv), "--dry-run"]) == 2
    assert "the masks cover 1 of its 2 such layers" in capsys.readouterr().err
    masked(tmp_path / "other", candidates(2), (32, 60))
    argv[3] = tmp_path / "other"
    assert main([*map(str, argv), "--dry-run"]) == 2
    assert "mask (32, 60) does not fit weight (32, 64)" in capsys.readouterr().err
    located = MaskSet.load(masks)
    MaskSet({n: m & False for n, m in located.items()}).save(tmp_path / "empty")
    argv[3] = tmp_path / "empty"
    assert main([*map(str, argv), "--dry-run"]) == 2, "as without --dry-run"
    assert "the masks of 2 layers are all empty" in capsys.readouterr().err


def test_a_selection_in_the_mask_file_says_what_is_whole(folder, tmp_path, capsys):
    """Half of the blocks were chosen: they are whole, though more are of their kind."""
    masks = MaskSet.load(masked(tmp_path / "masks", candidates(1)))
    argv = ["prune", str(folder), "--masks", str(tmp_path / "m"), "--out", str(tmp_path / "out")]
    for layers, code in (("down_blocks.0.*.ff.net.2", 0), ("ff.net.2", 2)):
        MaskSet(masks.masks, layers=layers).save(tmp_path / "m")
        assert main([*argv, "--dry-run"]) == code
    assert "cover 1 of its 2 such layers and leave out down_blocks.1" in capsys.readouterr().err
    (name,) = masks
    MaskSet(masks.masks, layers=name, chosen_by="mine:wide").save(tmp_path / "m")
    result = json.loads(told(capsys, *argv, "--json"))
    assert (result["located_in"], result["chosen_by"]) == (name, "mine:wide")
    MaskSet(masks.masks, layers="ff.net.2", left_out=candidates(2)[1]).save(tmp_path / "m")
    result = json.loads(told(capsys, *argv, "--json"))
    assert (result["located_in"], result["located_without"]) == ("ff.net.2", candidates(2)[1])
    assert main(argv) == 0, "without --partial: a locator left the other out"


def test_revive_says_where_it_found_zeros(tmp_path, capsys):
    path = saved(tmp_path / "m.safetensors", unet(pruned=["attn2.to_k"]))
    out = tmp_path / "out.safetensors"
    result = json.loads(told(capsys, "revive", path, "--out", out, "--json"))
    assert [k["name"] for k in result["taken"]] == [BLOCK.removeprefix("unet/") + ".attn2.to_k"]
    assert not out.exists()
