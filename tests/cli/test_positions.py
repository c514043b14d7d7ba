"""Where `revive` looks when it is given no masks, and what it says of what it leaves alone."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.cli import main
from tests.checkpoints.small import (
    block,
    candidates,
    masked,
    matrix,
    pipeline,
    saved,
    text_encoder,
    unet,
)

pytestmark = pytest.mark.usefixtures("one_thread")
GIVE = (
    "give a preset (feed-forward, ff-first, attention, convolutions, linear, all, text-mlp), "
    "the end of a name, or a pattern with * and ?"
)
KV = [block(i, f"attn2.to_{x}") for i in range(2) for x in "kv"]
FC2 = [f"text_encoder/text_model.encoder.layers.{i}.mlp.fc{j}" for i in range(2) for j in (1, 2)]


@pytest.fixture
def revive(tmp_path, capsys):
    """Run `revive`; return the layers revived, and what is said beside the result."""

    def run(model, *options):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}.safetensors"
        assert main(["revive", str(model), "--out", str(out), "--json", *options]) == 0
        shown = capsys.readouterr()
        result = json.loads(shown.out)
        assert result["layers"] == len(result["per_layer"])
        assert result["revived"] == sum(result["per_layer"].values())
        return list(result["per_layer"]), shown.err

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Run `revive`, which must fail; return its one line."""

    def run(model, *options):
        out = tmp_path / "refused.safetensors"
        assert main(["revive", str(model), "--out", str(out), *options]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1 and not out.exists()
        return shown.err.removeprefix("conceptrevive revive: ").removesuffix("\n")

    return run


@pytest.fixture
def model(tmp_path):
    """Writes a single file."""

    def write(weights):
        return saved(tmp_path / "m.safetensors", weights)

    return write


# --- the zeros that pruning left ------------------------------------------------------------------


def test_zeros_are_found_in_whatever_layer_they_are(model, revive):
    """Not in ff.net.2 alone: own masks prune what they like."""
    path = model(unet(pruned=["attn2.to_k", "attn2.to_v"]))
    assert revive(path) == (KV, "")


def test_in_any_component(tmp_path, revive):
    folder = pipeline(tmp_path / "p", text=text_encoder(pruned=True))
    assert revive(folder) == (FC2, "")
    after = load_file(tmp_path / "out1.safetensors" / "text_encoder" / "model.safetensors")
    before = load_file(folder / "text_encoder" / "model.safetensors")
    for name, w in before.items():
        assert torch.equal(after[name], cr.revive_matrix(w))


def test_natural_zeros_are_named_and_stay(model, revive, tmp_path):
    weights = unet(pruned=["ff.net.2"], dtype=torch.float16)
    for name in KV[:2]:
        eight = weights[f"{name}.weight"].to(torch.float8_e4m3fn)
        weights[f"{name}.weight"] = eight.half()
    weights[f"{KV[2]}.weight"].zero_()
    assert all((weights[f"{name}.weight"] == 0).any() for name in KV[:3])
    layers, said = revive(model(weights))
    assert layers == candidates(2)
    assert said == (
        "conceptrevive revive: natural zeros in 3 layers: those of "
        f"{KV[0]} and 1 more: its values lie on a quantisation grid, which puts many on 0; those "
        f"of {KV[2]}: all its entries are 0, as in an adapter that was never trained; "
        "they stay 0\n"
    )
    after = load_file(next(tmp_path.glob("out*")))
    assert all(torch.equal(after[f"{n}.weight"], weights[f"{n}.weight"]) for n in KV)


def test_a_model_that_was_never_pruned_has_none(model, refused):
    """fp8 that became float16: tens of thousands of zeros, none of them pruning's."""
    assert refused(model(unet())).endswith(
        "m.safetensors has no exact zeros in any of 10 matrices: give --masks, or --guess a "
        "pruning rate"
    )
    eight = {n: w.to(torch.float8_e4m3fn).half() for n, w in unet(dtype=torch.float16).items()}
    line = refused(model(eight))
    assert "has no exact zeros in any of 10 matrices that pruning must have left; natural" in line
    assert "its values lie on a quantisation grid, which puts many on 0" in line


def test_what_cannot_be_looked_at_is_named(tmp_path, model, revive, refused):
    weights = unet(pruned=["ff.net.2"])
    weights[f"{KV[0]}.weight"] = weights[f"{KV[0]}.weight"].to(torch.float8_e4m3fn)
    weights["a.qweight"] = torch.ones(8, 8, dtype=torch.int32)
    layers, said = revive(model(weights))
    assert layers == candidates(2)
    assert said == f"conceptrevive revive: not looked at: a.qweight (I32), {KV[0]} (F8_E4M3)\n"
    folder = pipeline(tmp_path / "p")
    for name in ("safety_checker", "text_encoder_2"):
        (folder / name).mkdir()
        (folder / name / "pytorch_model.bin").write_bytes(b"x")
    line = refused(folder)
    assert "; not looked at: safety_checker (pickles only), text_encoder_2 (pickles only): " in line


@pytest.mark.parametrize("options", [(), ("--guess", "0.1"), ("--layers", "to_k")])
def test_a_model_of_eight_bits_only(options, model, refused):
    weights = {n: w.to(torch.float8_e4m3fn) for n, w in unet().items()}
    line = refused(model(weights), *options)
    assert (
        "m.safetensors has no float matrix of 16 bits or more to look at; not looked at: " in line
    )
    assert line.endswith(": give the model as it was before it was quantised")


@pytest.mark.parametrize("weights", [{}, {"norm.weight": torch.zeros(5)}])
def test_a_file_without_matrices(weights, model, refused):
    line = refused(model(weights))
    assert line.endswith(
        "m.safetensors has no float matrix of 16 bits or more to look at: give a model's weights"
    )


# --- --layers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("to_k", KV[::2]),
        ("attn2.to_v.weight", KV[1::2]),
        ("*.to_[kv]", KV),
        ("down_blocks.1.*", KV[2:]),
        ("down_blocks.?.attentions.0.*.to_k.weight", KV[::2]),
        ("*", [*KV, *FC2]),
        ("text_encoder/*", FC2),
        ("text_encoder/*.fc2", FC2[1::2]),
        ("layers.0.mlp.fc1", FC2[:1]),
        ("text-mlp", FC2),
        ("to_k,text_encoder/*.fc2", [*KV[::2], *FC2[1::2]]),
        ("unet/*.to_k", KV[::2]),
    ],
)
def test_layers_by_the_end_of_their_name_or_a_pattern(pattern, found, tmp_path, revive):
    folder = pipeline(
        tmp_path / "p", unet(pruned=["attn2.to_k", "attn2.to_v"]), text_encoder(pruned=True)
    )
    assert revive(folder, "--layers", pattern) == (found, "")
    everything = ("--layers", pattern, "--guess", "0.1")
    assert set(found) <= set(revive(folder, *everything)[0])


@pytest.mark.parametrize("pattern", ["nonsense", "unet/*", "TO_K", "to_k,nonsense"])
@pytest.mark.parametrize("guess", [(), ("--guess", "0.1")])
def test_patterns_that_match_nothing(pattern, guess, model, refused):
    path = model(unet(pruned=["attn2.to_k"]))
    line = refused(path, "--layers", pattern, *guess)
    assert line == (
        f"layers {pattern.removeprefix('to_k,')!r} matches none of 10 layers of {path}, of which "
        f"the first is {KV[0]}: {GIVE}"
    )


@pytest.mark.parametrize("pattern", ["", " ", ".weight", "to_k,"])
def test_patterns_that_name_nothing(pattern, model, refused):
    line = refused(model(unet(pruned=["attn2.to_k"])), "--layers", pattern)
    assert line == f"layers is {pattern!r}, which names nothing: {GIVE}"


def test_layers_that_match_and_were_not_pruned(model, refused):
    line = refused(model(unet(pruned=["attn2.to_k"])), "--layers", "ff.net.2")
    assert "has no exact zeros in any of 2 matrices: give --masks" in line


def test_a_damaged_layer_can_be_gone_around(model, revive, refused):
    weights = unet(pruned=["ff.net.2"])
    weights[f"{KV[0]}.weight"][0, 0] = torch.nan
    path = model(weights)
    assert f"tensor '{KV[0]}.weight' holds NaN or Inf" in refused(path)
    assert revive(path, "--layers", "ff.net.2") == (candidates(2), "")


# --- --guess --------------------------------------------------------------------------------------


def test_a_guess_takes_the_denoisers_candidates_and_says_what_it_rewrites(tmp_path, revive):
    layers, said = revive(pipeline(tmp_path / "p"), "--guess", "0.1")
    assert layers == candidates(2)
    assert said == (
        "conceptrevive revive: a guess rewrites weights that were never pruned too: 384 weights "
        "of 2 layers, listed below\n"
    )


def test_a_guess_names_the_candidates_that_it_passes_over(model, revive):
    weights = unet()
    weights[f"{candidates(2)[0]}.weight"] = matrix(0).to(torch.float8_e4m3fn)
    layers, said = revive(model(weights), "--guess", "0.1")
    assert layers == candidates(2)[1:]
    assert "192 weights of 1 layer, listed below" in said
    assert said.endswith(f"not looked at: {candidates(2)[0]} (F8_E4M3)\n")


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("0", "--guess 0.0 takes no weight of any row: give the share of a row that was pruned"),
        ("0.001", "--guess 0.001 takes no weight of any row"),
        ("1.5", "fraction is 1.5; it is a share of the entries, in [0, 1]"),
        ("-0.1", "fraction is -0.1"),
        ("nan", "fraction is nan"),
        ("1", "every weight is 0 or masked, nothing is left to go by: give the model as it was"),
    ],
)
def test_shares_that_are_none(share, message, model, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    argv = ["revive", str(model(unet())), "--guess", share, "--out", str(out)]
    assert main(argv) == 2
    assert message in capsys.readouterr().err and not out.exists()


# --- --masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [("--guess", "0.1"), ("--layers", "to_k")])
def test_masks_stand_alone(other, model, tmp_path, refused):
    masks = masked(tmp_path / "masks", candidates(2))
    line = refused(model(unet()), "--masks", str(masks), *other)
    assert line == f"--masks and {other[0]} exclude each other: give one"


def test_layers_of_which_nothing_is_left_are_passed_over(model, tmp_path, revive, refused):
    weights = unet(pruned=["ff.net.2"])
    weights[f"{candidates(2)[0]}.weight"].zero_()
    masks = ("--masks", str(masked(tmp_path / "masks", candidates(2))))
    layers, said = revive(model(weights), *masks)
    assert layers == candidates(2)[1:]
    assert said == (
        f"conceptrevive revive: {candidates(2)[0]}: every weight is 0 or masked, nothing is left "
        "to go by; left as they are\n"
    )
    weights[f"{candidates(2)[1]}.weight"].zero_()
    line = refused(model(weights), *masks)
    assert line.endswith("nothing is left to go by: give the model as it was pruned")
    assert f"{candidates(2)[0]}, {candidates(2)[1]}: every weight is 0" in line
