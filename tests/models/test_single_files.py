"""Models in one file of their original code: loaded, and taken through the whole journey."""

from __future__ import annotations

import json
import os
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.models import single_files
from conceptrevive.models.stored import file_dtype
from tests import families
from tests.checkpoints.originals import LDM, original
from tests.checkpoints.small import saved
from tests.checkpoints.wholes import WHOLES, whole

pytestmark = pytest.mark.usefixtures("one_thread")

CONCEPT = """
name: tabby
judge: {judge}
target_prompts: [a tabby, a tabby in a garden]
base_prompts: [a church, a church in a garden]
clip_pair: [a tabby, a church]
settings: {{skill_ratio: 0.3, tau: 2, steps: 2, guidance: 3.0}}
"""


@pytest.fixture(scope="module")
def concept(tmp_path_factory):
    path = tmp_path_factory.mktemp("concept") / "own.yaml"
    path.write_text(CONCEPT.format(judge=families.folder("judge")))
    return path


@pytest.fixture(scope="module", params=WHOLES)
def model(request, tmp_path_factory):
    """A model's file, its folder, and a folder like it of which the weights are not there."""
    file, folder = whole(request.param, tmp_path_factory.mktemp(request.param))
    like = folder.with_name("like")
    shutil.copytree(folder, like, ignore=shutil.ignore_patterns("*.safetensors"))
    return file, folder, like


def parts_of(pipe):
    return {n: p for n, p in pipe.components.items() if isinstance(p, torch.nn.Module)}


def test_it_is_what_the_folder_is(model):
    file, folder, like = model
    pipe = cr.load_pipeline(file, device="cpu", config=like)
    wanted = cr.load_pipeline(folder, device="cpu")
    assert parts_of(pipe).keys() == parts_of(wanted).keys()
    for name, part in parts_of(wanted).items():
        mine = getattr(pipe, name)
        assert not mine.training, name
        there = mine.state_dict()
        assert all(torch.equal(there[n], p) for n, p in part.state_dict().items()), name
    drawn = [cr.generate(p, ["a cat"], steps=2, guidance=3.0)[0].tobytes() for p in (pipe, wanted)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("layers", [None, "text-mlp,feed-forward"])
def test_the_whole_journey(model, layers, concept, tmp_path, capsys):
    file, folder, like = model
    masks, named = tmp_path / "masks", tmp_path / "named"
    out = {n: tmp_path / f"{n}.safetensors" for n in ("pruned", "revived", "hidden")}
    how = ["--concept", concept, "--device", "cpu"] + (["--layers", layers] if layers else [])

    def run(*argv, code=0):
        assert main([*map(str, argv), "--json"]) == code, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    found = run("locate", file, "--config", like, *how, "--out", masks)
    in_folder = run("locate", folder, *how, "--out", named)
    assert found["pruned"] == in_folder["pruned"] > 0
    located = cr.MaskSet.load(masks)
    assert all(torch.equal(located[n], m) for n, m in cr.MaskSet.load(named).items())
    assert any("/" in n for n in located) == bool(layers)

    run("prune", file, "--masks", masks, "--out", out["pruned"])
    assert run("revive", out["pruned"], "--out", out["revived"])["revived"] == found["pruned"]
    run("obfuscate", file, "--masks", masks, "--out", out["hidden"])
    assert run("audit", out["pruned"], code=1)["exit_code"] == 1
    told = run("evaluate", out["revived"], "--config", like, "--concept", concept, "--images", 2)
    assert told["n"] == 2

    pruned = cr.read_weights(cr.load_pipeline(out["pruned"], device="cpu", config=like), layers)
    before = cr.read_weights(cr.load_pipeline(folder, device="cpu"), layers)
    for name, mask in located.items():
        assert (pruned[name][mask] == 0).all()
        assert torch.equal(pruned[name][~mask], before[name][~mask])


def test_a_file_that_lacks_weights(model, tmp_path, capsys):
    """Diffusers leaves such weights without values."""
    file, _, like = model
    weights = load_file(file)
    start = LDM if any("joint" in n for n in weights) else f"{LDM}middle_block"
    lost = [n for n in weights if n.startswith(start) and ("mlp.fc2" in n or "ff.net.2" in n)]
    short = saved(
        tmp_path / "short.safetensors", {n: w for n, w in weights.items() if n != lost[0]}
    )
    argv = ["locate", short, "--config", like, "--concept", "parachute", "--out", tmp_path / "m"]
    assert main(list(map(str, argv))) == 2
    said = capsys.readouterr().err
    assert "short.safetensors" in said and "--config" in said and "unexpected" not in said
    assert not (tmp_path / "m").exists()


def test_weights_that_a_file_has_once_for_two_names(tmp_path):
    """As T5's, whose table of tokens has two names in recent versions of transformers."""
    file, folder = whole("sd3", tmp_path)
    key = "text_encoders.t5xxl.transformer.encoder.embed_tokens.weight"
    weights = load_file(file)
    once = saved(tmp_path / "once.safetensors", {n: w for n, w in weights.items() if n != key})
    pipe = cr.load_pipeline(once, device="cpu", config=folder)
    table = pipe.text_encoder_3.get_input_embeddings().weight
    assert torch.equal(table, weights["text_encoders.t5xxl.transformer.shared.weight"])


def test_which_model_it_is_costs_no_more_than_a_header(tmp_path, monkeypatch):
    """A sparse file of 10 GB: names and shapes are at its beginning."""
    monkeypatch.setattr("safetensors.torch.load_file", None)
    names = ("input_blocks.0.0.weight", "middle_block.1.proj_in.weight")
    rows, size = 20_000, 10**10
    columns = size // (rows * 4) // len(names)
    half = rows * columns * 4
    header = json.dumps(
        {
            LDM + name: {
                "dtype": "F32",
                "shape": [rows, columns],
                "data_offsets": [i * half, (i + 1) * half],
            }
            for i, name in enumerate(names)
        }
    ).encode()
    path = tmp_path / "large.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + len(names) * half)
    assert "stable-diffusion-v1-5" in single_files._told_by(path)
    assert file_dtype([path]) == torch.float32


@pytest.mark.parametrize(
    ("content", "said"), [(b"<html>" * 9, "header too large"), (b"\0" * 9, "invalid|header")]
)
def test_damaged_files(content, said, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(cr.ConceptReviveError, match=f"give a whole model in one file.*{said}"):
        cr.load_pipeline(path, device="cpu", config=families.folder("sd15"))


def test_a_quantised_file_without_its_scales(tmp_path):
    key = f"{LDM}input_blocks.0.0.weight"
    file = saved(tmp_path / "x.safetensors", {key: torch.ones(8, 4, 3, 3, dtype=torch.int8)})
    with pytest.raises(cr.ConceptReviveError, match=r"x\.safetensors holds .* as I8, quantised"):
        cr.load_pipeline(file, device="cpu", config=families.folder("sd15"))


def test_files_of_something_else(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"x")
    with pytest.raises(cr.ConceptReviveError, match=r"with config=…, on the command line --config"):
        cr.load_pipeline(tmp_path / "x.safetensors", device="cpu")
    saved(tmp_path / "x.safetensors", {"x": torch.ones(2, 2)})
    index = families.folder("sd2") / "model_index.json"
    index = json.loads(index.read_text()) | {"_class_name": "DiTPipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"is the config of a DiTPipeline, which diffusers does not load from one file: give "
        r"the folder .* with denoiser=…, --unet or --transformer",
    ):
        cr.load_pipeline(tmp_path / "x.safetensors", device="cpu", config=tmp_path)


@pytest.mark.parametrize("name", ["auraflow", "sana"])
def test_a_denoisers_file_where_diffusers_loads_no_whole_one(name, concept, tmp_path, capsys):
    """What the refusal of the whole one tells to do."""
    folder, net = families.folder(name), families.build(name).transformer
    if not hasattr(type(net), "from_single_file"):
        pytest.skip(f"this version of diffusers does not convert {name}")
    state = {n: p + 0.01 for n, p in net.state_dict().items()}
    file = saved(tmp_path / "net.safetensors", original(name, state))
    out = tmp_path / "masks"
    end = ["--concept", str(concept), "--device", "cpu", "--size", "32", "--out", str(out)]
    assert main(["locate", str(file), "--config", str(folder), *end]) == 2
    assert "--transformer" in capsys.readouterr().err
    assert main(["locate", str(folder), "--transformer", str(file), *end]) == 0
    pruned = tmp_path / "pruned.safetensors"
    assert main(["prune", str(file), "--masks", str(out), "--out", str(pruned)]) == 0
    capsys.readouterr()
    again = cr.load_pipeline(folder, device="cpu", denoiser=pruned)
    masks = cr.MaskSet.load(out)
    assert all(torch.equal(w == 0, masks[n]) for n, w in cr.read_weights(again).items())


@pytest.mark.parametrize("given", ["denoiser", "variant", "revision", "config"])
def test_what_would_not_be_used_is_refused(given, tmp_path):
    """Nobody is to think that another denoiser, or another copy, was measured."""
    file = saved(tmp_path / "model.safetensors", {"x": torch.ones(2, 2)})
    model = families.folder("sd15") if given == "config" else file
    with pytest.raises(
        cr.ConceptReviveError, match=rf"^{given} is 'there', and .* file: leave {given}=… out"
    ):
        cr.load_pipeline(model, device="cpu", **{given: "there"})
