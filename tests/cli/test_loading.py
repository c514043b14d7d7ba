"""The options of loading and drawing reach the model, and bad ones end before it is loaded."""

from __future__ import annotations

import shutil
from dataclasses import fields

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.main import get_command

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.cli.app import app
from conceptrevive.cli.loading import Loading, load
from conceptrevive.models.adapters.choosing import adapter_of
from conceptrevive.models.calling import latent_size
from tests.families import folder
from tests.models.whispered import Whispered

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def concept(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("name: own\ntarget_prompts: [a cat]\nbase_prompts: [a park]\n")
    return str(path)


def test_commands_that_load_take_every_option_of_loading():
    commands = get_command(app).commands
    names = [field.name for field in fields(Loading)]
    assert {"adapter", "size", "device", "dtype", "unet", "lora"} <= set(names)
    for command in ("locate", "evaluate"):
        taken = {p.name: p for p in commands[command].params}
        assert "options" not in taken and {"concept", "as_json", "seed"} <= taken.keys()
        assert [n for n in taken if n in names] == names, "all of them, once, side by side"
        assert taken["unet"].opts == ["--unet", "--transformer"] and taken["unet"].default is None
        assert taken["lora"].help.startswith("LoRA to fuse into the model")


def test_the_options_reach_the_pipeline(concept, tmp_path):
    model, other = folder("sd2"), tmp_path / "other"
    shutil.copytree(model / "unet", other)
    file = other / "diffusion_pytorch_model.safetensors"
    weights = {k: v + 1 for k, v in load_file(file).items()}
    file.unlink()  # a link into the cache
    save_file(weights, file)
    options = Loading(
        device="cpu",
        dtype="bfloat16",
        unet=str(other),
        adapter="tests.models.whispered:Whispered",
        size="16x48",
    )
    chosen, pipe = load("tiny/sd2", concept, None, options, single=True)
    assert chosen.name == "own"
    weight = pipe.unet.conv_in.weight
    assert torch.equal(weight, weights["conv_in.weight"].bfloat16()), "what is asked for goes first"
    assert adapter_of(pipe) == Whispered(size=(16, 48)) and latent_size(pipe) == (8, 24)
    _, plain = load(str(model), concept, None, Loading(device="cpu", size="48"), single=True)
    assert latent_size(plain) == (24, 24) and plain.unet.dtype == torch.float32


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "big", "--size is 'big': give pixels, as 512, or height and width, as 512x768"),
        ("--size", "8x8x8", "--size is '8x8x8': give pixels"),
        (
            "--adapter",
            "FluxPipelin",
            "adapter 'FluxPipelin' is unknown (did you mean",
        ),
        ("--adapter", "json:dumps", "adapter 'json:dumps' is no subclass of conceptrevive.Adapter"),
        ("--dtype", "float8", "Invalid value for '--dtype'"),
        ("--steps", "0", "Input should be greater than or equal to 1"),
        ("--batch-size", "0", "Input should be greater than or equal to 1"),
    ],
    ids=lambda v: v if v.startswith("--") else "",
)
def test_bad_options(concept, capsys, monkeypatch, option, value, message):
    monkeypatch.setattr("conceptrevive.models.pipeline.load_pipeline", None)  # never reached
    argv = ["evaluate", "pocket", "--concept", concept, option, value]
    try:
        code = main(argv)
    except SystemExit as e:
        code = e.code
    said = capsys.readouterr()
    assert code == 2 and said.out == ""
    assert message in said.err


BROKEN = "def fails(*given, **more):\n    raise KeyError('nothing')\n\ndef few(x):\n    return x\n"


@pytest.mark.parametrize("name", ["fails", "few"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("locate", "--method"),
        ("revive", "--magnitude"),
        ("obfuscate", "--defence"),
        ("evaluate", "--judge"),
    ],
)
def test_functions_of_ones_own_that_fail(
    command, option, name, concept, tmp_path, monkeypatch, capsys
):
    """They are named, whatever they raise, and nothing is written."""
    (tmp_path / "broken_of_loading.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    model, masks, out = folder("sd15"), tmp_path / "masks", tmp_path / "out"
    if command == "obfuscate":
        weights = cr.read_weights(cr.load_pipeline(model, device="cpu"))
        cr.MaskSet({n: w > 0 for n, w in weights.items()}, concept="own").save(masks)
    more = {
        "locate": ["--concept", concept, "--device", "cpu", "--out", str(out)],
        "revive": ["--guess", "0.1", "--out", str(out)],
        "obfuscate": ["--masks", str(masks), "--out", str(out)],
        "evaluate": ["--concept", concept, "--images", "1", "--steps", "1"],
    }
    given = f"broken_of_loading:{name}"
    assert main([command, str(model), *more[command], option, given]) == 2
    said = capsys.readouterr().err
    if (command, name) != ("evaluate", "few"):  # which takes the pictures, and returns them
        assert f"{option.removeprefix('--')} '" in said and "failed, " in said
        assert name in said and "mend it" in said
    assert "unexpected" not in said and not out.exists()


@pytest.mark.parametrize("adapter", ["FluxPipeline", "KandinskyV22CombinedPipeline"])
def test_an_adapter_of_another_family(adapter, concept, tmp_path, capsys):
    argv = ["locate", str(folder("sd15")), "--concept", concept, "--device", "cpu"]
    assert main([*argv, "--adapter", adapter, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "StableDiffusionPipeline cannot be drawn with" in said and "--adapter" in said
    assert "unexpected" not in said
