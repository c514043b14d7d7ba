"""`locate` by other methods, on layers chosen by pattern."""

import json

import pytest
import torch
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def concept_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ntarget_prompts: [a cat in a room]\nbase_prompts: [a room]\n"
        "settings: {skill_ratio: 0.1, tau: 1, steps: 1, guidance: 2.0}\n"
    )
    return path


def argv(folder, concept_file, out, *more):
    return [
        *("locate", str(folder), "--concept", str(concept_file), "--out", str(out)),
        *("--device", "cpu", *more),
    ]


def test_other_methods_write_masks_of_the_chosen_layers(
    tiny_folder, concept_file, tmp_path, capsys
):
    out = tmp_path / "masks.safetensors"
    more = ("--method", "salun", "--ratio", "0.1", "--layers", "attn2.to_v", "--json")
    assert main(argv(tiny_folder, concept_file, out, *more)) == 0
    told = json.loads(capsys.readouterr().out)
    masks = cr.MaskSet.load(out)
    assert (told["method"], masks.method) == ("salun", "salun")
    assert len(masks) > 2 and all(name.endswith("attn2.to_v") for name in masks)
    assert told["pruned"] == int(0.1 * sum(m.numel() for m in masks.values()))


def test_convolutions_are_located_and_pruned_in_a_file(tiny_folder, concept_file, tmp_path, capsys):
    out, pruned = tmp_path / "masks.safetensors", tmp_path / "pruned"
    more = ("--method", "scissorhands", "--ratio", "0.1", "--layers", "*resnets*.conv?")
    assert main(argv(tiny_folder, concept_file, out, *more)) == 0
    assert main(["prune", str(tiny_folder), "--masks", str(out), "--out", str(pruned)]) == 0
    capsys.readouterr()
    masks = cr.MaskSet.load(out)
    before, after = (
        load_file(folder / "unet/diffusion_pytorch_model.safetensors")
        for folder in (tiny_folder, pruned)
    )
    zeroed = {n: (after[n] == 0) & (w != 0) for n, w in before.items()}
    assert sum(int(z.sum()) for z in zeroed.values()) == masks.count > 0
    for name, mask in masks.items():
        assert after[f"{name}.weight"].ndim == 4
        assert torch.equal(zeroed[f"{name}.weight"].flatten(1), mask)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "scissors"), "method 'scissors' is unknown (did you mean 'scissorhands'?)"),
        (("--method", "salun", "--tau", "3"), "tau is no setting of salun: it takes ratio, layers"),
        (("--layers", "x"), "layers 'x' matches none of"),
        (("--method", "salun", "--layers", "x"), "layers 'x' matches none of"),
        (("--method", "salun", "--ratio", "0"), "ratio is 0.0: it is a share of all weights"),
    ],
)
def test_methods_and_settings_that_there_are_not(
    tiny_folder, concept_file, tmp_path, capsys, more, message
):
    out = tmp_path / "masks.safetensors"
    assert main(argv(tiny_folder, concept_file, out, *more)) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and not shown.out
    assert not out.exists()


MINE = """
import torch

def find(pipeline, concept, layers=None, seed=0):
    names = [n for n, m in pipeline.unet.named_modules() if n.endswith(layers or "attn2.to_k")]
    weights = {n: pipeline.unet.get_submodule(n).weight for n in names}
    return {n: w > w.quantile(0.9) for n, w in weights.items()}

def judge(pictures):
    return [i == 0 for i, _ in enumerate(pictures)]
"""


def test_a_locator_and_a_judge_of_ones_own(
    tiny_folder, concept_file, tmp_path, capsys, monkeypatch
):
    """Functions of a module in the working folder, by module:function."""
    (tmp_path / "mine_of_measuring.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "masks.safetensors"
    more = ("--method", "mine_of_measuring:find", "--json")
    assert main(argv(tiny_folder, concept_file, out, *more)) == 0
    told, masks = json.loads(capsys.readouterr().out), cr.MaskSet.load(out)
    assert told["method"] == masks.method == "mine_of_measuring:find" and masks.concept == "own"
    assert all(n.endswith("attn2.to_k") for n in masks) and told["pruned"] == masks.count > 0
    assert told["located_in"] == masks.layers and masks.layers.endswith("attn2.to_k")
    evaluate = ["evaluate", str(tiny_folder), "--concept", str(concept_file), "--images", "2"]
    more = ["--judge", "mine_of_measuring:judge", "--device", "cpu", "--json"]
    assert main([*evaluate, *more]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["top1"], told["n"], told["judge"]) == (0.5, 2, "mine_of_measuring:judge")
    assert main(argv(tiny_folder, concept_file, out, "--method", "slun")) == 2
    assert "method 'slun' is unknown (did you mean 'salun'?)" in capsys.readouterr().err
