"""Copies of a model's weights are told by their names, as diffusers and transformers give them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import conceptrevive as cr
from conceptrevive.cli import main
from conceptrevive.errors import ConceptReviveError
from conceptrevive.models.variants import (
    is_index,
    is_shard,
    is_whole,
    pipeline_variant,
    variant_of,
    weight_copies,
)

pytestmark = pytest.mark.usefixtures("one_thread")
UNET = "diffusion_pytorch_model"

#: {file: (its variant, whether it is an index, whether it is the whole of the weights)}
NAMES = {
    f"{UNET}.safetensors": ("", False, True),
    f"{UNET}.fp16.safetensors": ("fp16", False, True),
    f"{UNET}.non_ema.safetensors": ("non_ema", False, True),
    f"{UNET}.fp8-e4m3.safetensors": ("fp8-e4m3", False, True),
    "model.safetensors": ("", False, True),
    "model.fp16.safetensors": ("fp16", False, True),
    "model-00001-of-00002.safetensors": ("", False, False),
    f"{UNET}-00002-of-00003.safetensors": ("", False, False),
    f"{UNET}-00002-of-00003.fp16.safetensors": ("fp16", False, False),
    f"{UNET}.fp16-00002-of-00003.safetensors": ("fp16", False, False),
    f"{UNET}.safetensors.index.json": ("", True, False),
    f"{UNET}.safetensors.index.fp16.json": ("fp16", True, False),
    f"{UNET}.fp16.safetensors.index.json": ("fp16", True, False),
    "model.safetensors.index.json": ("", True, False),
    "own.safetensors.index.json": ("", True, False),
    "own.safetensors.index.bf16.json": ("bf16", True, False),
    "own.safetensors": ("", False, False),
    "sd-v1-5.fp16.safetensors": ("", False, False),
    "adapter_model.safetensors": ("", False, False),
    "model.bin.index.json": ("", False, False),
    "config.json": ("", False, False),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    path = Path("folder") / name
    assert (variant_of(path), is_index(path), is_whole(path)) == NAMES[name]


def test_shards():
    assert [n for n in NAMES if is_shard(Path(n))] == [n for n in NAMES if "-of-" in n]
    assert not is_shard(Path("a-00001-of-00002.bin")) and not is_shard(
        Path("one-of-two.safetensors")
    )


def test_copies_of_a_folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).touch()
    copies = weight_copies(tmp_path)
    assert copies.keys() == {"", "fp16", "non_ema", "fp8-e4m3", "bf16"}
    assert [p.name for p in copies["bf16"]] == ["own.safetensors.index.bf16.json"]
    listed = {p.name for paths in copies.values() for p in paths}
    assert set(NAMES) - listed == {"model.bin.index.json", "config.json"}
    assert all(paths == sorted(paths) for paths in copies.values())


def components(folder, **variants):
    """{component: the variants of its weights}, as empty files."""
    for name, held in variants.items():
        (folder / name).mkdir()
        for variant in held:
            (folder / name / f"model{variant and '.'}{variant}.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    ("held", "variant"),
    [
        ({"unet": [""], "vae": [""]}, ""),
        ({"unet": ["", "fp16"], "vae": ["", "fp16"]}, ""),
        ({"unet": ["fp16"], "vae": ["fp16"]}, "fp16"),
        ({"unet": ["fp16"], "vae": [""], "scheduler": []}, "fp16"),
        ({"unet": ["bf16", "fp16"], "vae": ["fp16"]}, "fp16"),
        ({"unet": ["bf16", "fp16"], "vae": ["", "fp16"], "text_encoder": ["bf16"]}, "bf16"),
        ({"unet": ["bf16"], "vae": ["fp16"]}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_the_variant_without_which_a_pipeline_cannot_be_loaded(held, variant, tmp_path):
    assert pipeline_variant(components(tmp_path, **held)) == variant


def test_a_variant_that_was_asked_for(tmp_path):
    components(tmp_path, unet=["", "fp16"], vae=[""])
    assert pipeline_variant(tmp_path, "fp16") == "fp16"
    with pytest.raises(
        ConceptReviveError,
        match=f"^{tmp_path} holds no variant 'bf16': it holds the default, fp16$",
    ):
        pipeline_variant(tmp_path, "bf16")


def test_several_variants_and_no_default(tmp_path):
    components(tmp_path, unet=["bf16", "fp16"], vae=["bf16", "fp16"])
    with pytest.raises(
        ConceptReviveError,
        match=f"^{tmp_path} holds weights only as the variants bf16, fp16: choose one with "
        "variant=…, on the command line --variant$",
    ):
        pipeline_variant(tmp_path)


def test_pipelines_of_variants_are_loaded(tiny, tiny_folder, tmp_path, capsys):
    """With one variant as it is, with several when one is chosen; the user sees one line."""
    for name in ("unet", "vae", "text_encoder"):
        (file,) = (tiny_folder / name).glob("*.safetensors")
        shutil.copytree(tiny_folder / name, tmp_path / name)
        (tmp_path / name / file.name).rename(tmp_path / name / f"{file.stem}.fp16.safetensors")
    for name in ("scheduler", "tokenizer"):
        shutil.copytree(tiny_folder / name, tmp_path / name)
    shutil.copy(tiny_folder / "model_index.json", tmp_path)
    pipe = cr.load_pipeline(tmp_path, device="cpu")
    assert torch.equal(pipe.unet.conv_in.weight, tiny.unet.conv_in.weight)
    for file in tmp_path.glob("*/*.fp16.safetensors"):
        shutil.copy(file, file.with_name(file.name.replace("fp16", "bf16")))
    capsys.readouterr()
    locate = ["locate", str(tmp_path), "--concept", "cat", "--out", str(tmp_path / "m")]
    for argv, message in (
        (locate, "only as the variants bf16, fp16: choose one with variant=…"),
        ([*locate, "--variant", "int4"], "holds no variant 'int4': it holds bf16, fp16"),
    ):
        assert main(argv) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and message in said.err
    (tmp_path / "vae" / "config.json").unlink()
    assert main([*locate, "--variant", "fp16"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "give a complete folder with its weights" in said
