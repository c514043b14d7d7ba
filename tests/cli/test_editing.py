"""prune, revive and obfuscate on models as people have them: all is done, or a line helps."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.revival.quantisation import quantise
from tests.checkpoints.small import (
    block,
    candidates,
    files,
    masked,
    matrix,
    pipeline,
    saved,
    text_encoder,
    unet,
)

pytestmark = pytest.mark.usefixtures("one_thread")
COMMANDS = ("prune", "revive", "obfuscate")
UNET = "unet/diffusion_pytorch_model"
MODULES = [f"text_encoder/encoder.layers.{i}.mlp.fc2" for i in range(2)]


@pytest.fixture
def done(tmp_path, capsys):
    """Run a command; return what it wrote, its result, and what is said beside it."""

    def run(command, model, masks, *options):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        out = out if model.is_dir() else out.with_suffix(".safetensors")
        argv = [command, str(model), "--masks", str(masks), "--out", str(out), "--json", *options]
        assert main(argv) == 0
        shown = capsys.readouterr()
        result = json.loads(shown.out)
        assert result["operation"] == command and result["out"] == str(out)
        return out, result, shown.err

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Run a command that must fail and write nothing; return its one line."""

    def run(command, model, masks, *options):
        out = tmp_path / "refused.safetensors"
        assert main([command, str(model), "--masks", str(masks), "--out", str(out), *options]) == 2
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1 and not out.exists()
        return shown.err

    return run


@pytest.fixture
def masks(tmp_path):
    """Of the UNet's candidates."""
    return masked(tmp_path / "masks", candidates(2))


# --- masks that fit a model whole, or not at all --------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_masks_of_a_smaller_model(command, tmp_path, masks, done, refused):
    """SD-2's on SDXL: half of the layers fit by their names and shapes."""
    path = saved(tmp_path / "xl.safetensors", unet(blocks=4))
    line = refused(command, path, masks)
    assert line == (
        f"conceptrevive {command}: {path}: the masks cover 2 of its 4 such layers and leave out "
        f"{candidates(4)[2]}: locate on this model, or insist with --partial\n"
    )
    _, result, said = done(command, path, masks, "--partial")
    assert result["layers"] == 2 and said == ""


def test_masks_of_a_larger_model(tmp_path, refused):
    path = saved(tmp_path / "m.safetensors", unet(blocks=2))
    masks = masked(tmp_path / "xl", candidates(4))
    for options in ((), ("--partial",)):
        line = refused("prune", path, masks, *options)
        assert line.startswith(f"conceptrevive prune: {candidates(4)[2]}: {path} has no such layer")


def test_empty_masks_are_no_success(tmp_path, refused):
    path = saved(tmp_path / "m.safetensors", unet())
    nothing = masked(tmp_path / "empty", candidates(2), share=0.0)
    for command in COMMANDS:
        line = refused(command, path, nothing)
        assert (
            "the masks of 2 layers are all empty, which changes nothing: locate a concept" in line
        )


def test_masks_that_name_a_layer_twice(tmp_path, refused):
    """Of two masks for one weight one would be lost."""
    path = saved(tmp_path / "m.safetensors", unet(1))
    twice = masked(tmp_path / "twice", [candidates(1)[0], f"{candidates(1)[0]}.weight"])
    for command in COMMANDS:
        line = refused(command, path, twice)
        assert f"{candidates(1)[0]} is named twice, with '.weight' at its end and without" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_instead_of_masks(command, tmp_path, refused):
    path = saved(tmp_path / "m.safetensors", unet())
    line = refused(command, path, tmp_path)
    assert f"{tmp_path} is a folder: give the mask file that `locate` wrote" in line


def test_masks_instead_of_a_model(tmp_path, masks, refused, capsys):
    """The two mixed up."""
    path = masks.rename(tmp_path / "masks.safetensors")
    for command in COMMANDS:
        line = refused(command, path, path)
        assert "is BOOL [32, 64], not a float matrix: these are masks, give the model that" in line
    out = tmp_path / "out.safetensors"
    assert main(["revive", str(path), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"conceptrevive revive: {path} has no float matrix of 16 bits or more to look at: "
        "these are masks, give the model that they are for\n"
    )
    model = saved(tmp_path / "m.safetensors", unet())
    assert f"{model} is no mask file" in refused("prune", path, model)


def test_one_shard_instead_of_all(tmp_path, masks, refused):
    weights = list(unet().items())
    path = saved(tmp_path / "m-00001-of-00002.safetensors", dict(weights[:4]))
    for command in COMMANDS:
        line = refused(command, path, masks)
        assert f"{candidates(2)[1]}: {path} is one shard of several: give their index" in line


# --- names of either form -------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_masks_of_a_text_encoder(prefix, tmp_path, done):
    """transformers 5 names modules without the prefix that hub files have."""
    folder = pipeline(tmp_path / "p", text=text_encoder(prefix=prefix))
    masks = masked(tmp_path / "masks", MODULES)
    out, result, said = done("prune", folder, masks)
    assert result["layers"] == 2 and said == "" and files(out) == files(folder)
    before, after = (load_file(f / "text_encoder" / "model.safetensors") for f in (folder, out))
    for name, mask in cr.MaskSet.load(masks).items():
        key = f"{prefix}{name.partition('/')[2]}.weight"
        assert torch.equal(after.pop(key), before.pop(key).masked_fill(mask, 0))
    assert all(torch.equal(after[n], w) for n, w in before.items())
    unchanged = f"{UNET}.safetensors"
    assert (out / unchanged).read_bytes() == (folder / unchanged).read_bytes()
    with safe_open(out / "text_encoder" / "model.safetensors", "pt") as f:
        assert json.loads(f.metadata()["conceptrevive"])["concept"] == "cat"


def test_a_compiled_modules_names(tmp_path, masks, done):
    weights = {f"_orig_mod.{n}": w for n, w in unet().items()}
    out, result, _ = done("prune", saved(tmp_path / "m.safetensors", weights), masks)
    after = load_file(out)
    assert after.keys() == weights.keys() and result["layers"] == 2
    for name, mask in cr.MaskSet.load(masks).items():
        assert not after[f"_orig_mod.{name}.weight"][mask].any()


def test_convolutions_keep_their_shape(tmp_path, done):
    path = saved(tmp_path / "m.safetensors", unet())
    names = [f"down_blocks.0.resnets.{i}.conv1" for i in range(2)]
    out, result, _ = done("prune", path, masked(tmp_path / "masks", names, (16, 72)))
    after = load_file(out)[f"{names[0]}.weight"]
    assert after.shape == (16, 8, 3, 3) and result["zeros"] == result["pruned"] > 0


@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        (
            ["model.diffusion_model.input_blocks.1.1.transformer_blocks.0.ff.net.2.weight"],
            "StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)",
        ),
        (
            ["model.diffusion_model.input_blocks.4.1.x.weight", "conditioner.embedders.0.x"],
            "StableDiffusionXLPipeline.from_single_file(FILE).save_pretrained(FOLDER)",
        ),
        (["down_blocks.0.ff.net.2.lora_A.weight"], "it is a LoRA, which adds to a model: fuse it"),
    ],
    ids=["LDM", "LDM XL", "LoRA"],
)
def test_other_layouts(keys, remedy, tmp_path, masks, refused):
    path = saved(tmp_path / "m.safetensors", {key: matrix(0) for key in keys})
    for command in COMMANDS:
        line = refused(command, path, masks)
        assert f"{path} has no such layer: " in line and remedy in line and "locate" not in line


def test_an_ldm_file_is_revived_from_its_zeros_all_the_same(tmp_path, capsys):
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    path = saved(tmp_path / "m.safetensors", {f"{name}.weight": matrix(0, pruned=True)})
    assert main(["revive", str(path), "--out", str(tmp_path / "o.safetensors"), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["per_layer"]) == [name]


def test_components_that_are_not_there(tmp_path, refused):
    folder = pipeline(tmp_path / "p")
    (folder / "text_encoder_3").mkdir()
    (folder / "text_encoder_3" / "pytorch_model.bin").write_bytes(b"x")
    for name, message in (
        ("text_encoder_2/x", f"{folder} has no weights of a component 'text_encoder_2'"),
        ("text_encoder_3/x", f"{folder} has 'text_encoder_3' as pickles, not read: load it where"),
        ("unet/conv_in", f"unet/conv_in: {folder} has no such layer"),
    ):
        assert message in refused("prune", folder, masked(tmp_path / "own", [name]))


# --- variants, and what a written folder leaves out -----------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_one_variant_only(command, tmp_path, masks, done):
    folder = pipeline(tmp_path / "p", unet(pruned=["ff.net.2"]), variant="fp16")
    out, result, said = done(command, folder, masks)
    assert result["variant"] == "fp16" and "left_out" not in result
    assert said == (
        f"conceptrevive {command}: {folder / 'unet'} holds the variant fp16 only, so it is taken: "
        "what is written is to be loaded with variant='fp16' too\n"
    )
    assert files(out) == files(folder)
    _, result, said = done(command, folder, masks, "--variant", "fp16")
    assert result["variant"] == "fp16" and said == ""


def test_other_copies_are_left_out_and_said(tmp_path, masks, done):
    folder = pipeline(tmp_path / "p")
    for variant in ("fp16", "non_ema"):
        saved(folder / f"{UNET}.{variant}.safetensors", unet())
    saved(folder / "text_encoder" / "model.fp16.safetensors", text_encoder())
    saved(folder / "all.safetensors", unet())
    (folder / "vae").mkdir()
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    index = folder / f"{UNET}.safetensors.index.bf16.json"
    index.write_text(json.dumps({"weight_map": {"a": "s-1.safetensors"}}))
    for options, taken in (((), ""), (("--variant", "fp16"), ".fp16")):
        out, result, said = done("prune", folder, masks, *options)
        assert result["left_out"] == sorted(files(folder) - files(out))
        assert set(result["left_out"]) == {
            "all.safetensors",
            "vae/diffusion_pytorch_model.bin",
            f"{UNET}.safetensors.index.bf16.json",
            *(f"{UNET}{end}.safetensors" for end in ("", ".fp16", ".non_ema") if end != taken),
        }
        assert said == (
            f"conceptrevive prune: left out of {out}, as pickles or other copies of the weights: "
            f"{', '.join(result['left_out'])}\n"
        )
        assert "text_encoder/model.fp16.safetensors" in files(out), "it is not changed"


def test_variants_that_are_not_there(tmp_path, masks, refused):
    folder = pipeline(tmp_path / "p", variant="fp16")
    for command in COMMANDS:
        line = refused(command, folder, masks, "--variant", "bf16")
        assert f"{folder / 'unet'} holds no variant 'bf16': it holds fp16" in line
    file = folder / f"{UNET}.fp16.safetensors"
    line = refused("prune", file, masks, "--variant", "fp16")
    assert f"{file} is a file, which has no variants: leave --variant out" in line


# --- what the header tells ------------------------------------------------------------------------


def test_the_header_tells_what_was_done_and_obfuscate_takes_it_out(tmp_path, masks, done):
    folder = pipeline(tmp_path / "p")
    both = masked(tmp_path / "both", [*candidates(2), *MODULES])

    def notes(out):
        found = {}
        for path in sorted(out.rglob("*.safetensors")):
            with safe_open(path, "pt") as f:
                note = (f.metadata() or {}).get("conceptrevive")
            found[path.parent.name] = note and json.loads(note)["operation"]
        return found

    pruned, *_ = done("prune", folder, masks)
    assert notes(pruned) == {"text_encoder": None, "unet": "prune"}
    pruned, *_ = done("prune", folder, both)
    assert notes(pruned) == {"text_encoder": "prune", "unet": "prune"}
    revived, *_ = done("revive", pruned, masks)
    assert notes(revived) == {"text_encoder": "prune", "unet": "revive"}
    hidden, result, _ = done("obfuscate", pruned, both)
    assert notes(hidden) == {"text_encoder": None, "unet": None}
    assert "seed" not in result and result["zeros"] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_layers_of_eight_bits(command, tmp_path, masks, refused):
    weights = unet()
    weights[f"{candidates(2)[1]}.weight"] = matrix(0).to(torch.float8_e4m3fn)
    line = refused(command, saved(tmp_path / "m.safetensors", weights), masks)
    assert f"tensor '{candidates(2)[1]}.weight' is F8_E4M3 [32, 64], not a float matrix" in line
    assert "give the model as it was before it was quantised" in line


def test_layers_and_kinds_of_masks_may_be_mixed(tmp_path, done):
    """All of two kinds, of which one is no candidate."""
    names = [block(i, layer) for i in range(2) for layer in ("attn2.to_k", "attn2.to_v")]
    masks = masked(tmp_path / "masks", names, (32, 24))
    _, result, _ = done("prune", saved(tmp_path / "m.safetensors", unet()), masks)
    assert result["layers"] == 4 and result["zeros"] == result["pruned"]


MINE = """
def size(weight, mask, generator):
    return weight.abs().amax(1, keepdim=True) / 2

def fill(weights, masks, seed=0):
    new = {n: w.masked_fill(masks[n], 0.25) for n, w in weights.items()}
    return {n: w + seed * n.startswith("down_blocks.1") for n, w in new.items()}
"""


def test_a_magnitude_and_a_defence_of_ones_own(done, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_of_editing.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    weights = unet(pruned=["ff.net.2"])
    model = saved(tmp_path / "m.safetensors", weights)
    path = masked(tmp_path / "k.safetensors", candidates(2))
    masks = cr.MaskSet.load(path)
    keys = {n: f"{n}.weight" for n in masks}

    out, result, _ = done("revive", model, path, "--magnitude", "mine_of_editing:size")
    after = load_file(out)
    assert result["magnitude"] == "mine_of_editing:size"
    for name, key in keys.items():
        completion = cr.complete_matrix(weights[key], masks[name])
        size = completion.weight.abs().amax(1, keepdim=True) / 2
        kept = cr.retain_signs(completion, 0.6)
        expected = torch.where(masks[name], kept * size, weights[key])
        assert torch.equal(after[key], expected)

    out, result, said = done("obfuscate", model, path, "--defence", "mine_of_editing:fill")
    after = load_file(out)
    assert result["defence"] == "mine_of_editing:fill" and "sigma" not in result and said == ""
    assert all(
        torch.equal(after[k], weights[k].masked_fill(masks[n], 0.25)) for n, k in keys.items()
    )
    more = ("--defence", "mine_of_editing:fill", "--seed", "1")
    _, result, said = done("obfuscate", model, path, *more)
    beside = int((~masks[block(1, "ff.net.2")]).sum())
    assert f"{beside} weights that are not masked changed too" in said
    argv = ["obfuscate", str(model), "--masks", str(path), "--out", "o.safetensors"]
    assert main([*argv, "--defence", "mine_of_editing:fill", "--sigma", "2"]) == 2
    assert "sigma is no setting of mine_of_editing:fill: it takes seed" in capsys.readouterr().err


def test_noise_beside_quantised_weights_is_warned_of(tmp_path, done):
    weights = unet(pruned=["ff.net.2"])
    path = masked(tmp_path / "k.safetensors", candidates(2))
    name = next(iter(cr.MaskSet.load(path)))
    _, _, said = done("obfuscate", saved(tmp_path / "m.safetensors", weights), path)
    assert "quantisation" not in said
    weights[f"{name}.weight"] = quantise({"w": weights[f"{name}.weight"]}, 4)["w"]
    _, _, said = done("obfuscate", saved(tmp_path / "q.safetensors", weights), path)
    assert f"layers on a quantisation grid: 1 of 2, {name} first" in said
