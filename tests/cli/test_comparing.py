"""`masks`: what it writes serves the other commands; what it cannot do is one line and exit 2."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.cli import main
from tests.checkpoints.small import block, candidates, saved, unet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def pair(tmp_path):
    """An original and the same with two layers pruned; the first's bias moved too."""
    before = unet() | {"conv_in.bias": torch.zeros(16)}
    after = before | {
        f"{n}.weight": unet(pruned=["ff.net.2"])[f"{n}.weight"] for n in candidates(1)
    }
    return (
        saved(tmp_path / "a.safetensors", before),
        saved(tmp_path / "b.safetensors", after | {"conv_in.bias": torch.ones(16)}),
    )


def test_masks_serve_the_attack_and_the_defence(pair, tmp_path, capsys):
    original, unlearned = pair
    out = tmp_path / "masks.safetensors"
    assert main(["masks", str(original), str(unlearned), "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    told, masks = json.loads(shown.out), cr.MaskSet.load(out)
    name = block(0, "ff.net.2")
    assert told["per_layer"] == {name: masks.count} and told["masked"] == told["zeroed"]
    assert shown.err == (
        "conceptrevive masks: changed too, and in no mask, which holds matrices: conv_in.bias\n"
    )
    revived = tmp_path / "revived.safetensors"
    assert main(["revive", str(unlearned), "--masks", str(out), "--out", str(revived)]) == 0
    before, after = load_file(unlearned), load_file(revived)
    changed = {n for n, w in before.items() if not torch.equal(w, after[n])}
    assert changed == {f"{name}.weight"}
    assert torch.equal(after[f"{name}.weight"], cr.revive_matrix(before[f"{name}.weight"]))


def test_refusals_are_one_line(pair, tmp_path, capsys):
    original, unlearned = map(str, pair)
    out = ["--out", str(tmp_path / "m.safetensors")]
    for argv, message in {
        (original, original): "of 10 layers compared, none differs",
        (original, unlearned, "--layers", "to_k"): "of 2 layers compared, none differs",
        (original, unlearned, "--far", "2"): "--far 2.0 is for --entries moved, not for zeroed",
        (original, unlearned, "--out", unlearned): "exists and is no mask file",
    }.items():
        assert main(["masks", *out, *argv]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1 and message in shown.err
    assert not (tmp_path / "m.safetensors").exists()


def test_a_better_choice_is_said_beside_the_masks(pair, tmp_path, capsys):
    """Noise comes near some of the weights that it replaced, and one of them to 0."""
    original, out = str(pair[0]), tmp_path / "masks.safetensors"
    weights = load_file(original)
    name = f"{block(0, 'ff.net.2')}.weight"
    hidden = weights[name].clone()
    hidden[:, :4] = -hidden[:, :4]
    hidden[0, 0] = 0
    noisy = str(saved(tmp_path / "c.safetensors", weights | {name: hidden}))
    assert main(["masks", original, noisy, "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["masked"] == cr.MaskSet.load(out).count == 1
    assert shown.err == (
        "conceptrevive masks: 128 weights changed, 1 are zeroed; all others are as they were: "
        "give --entries changed\n"
    )
    assert main(["masks", original, noisy, "--out", str(out), "--entries", "changed"]) == 0
    assert capsys.readouterr().err == "" and cr.MaskSet.load(out).count == 128
