"""A checkpoint is its files: which of a folder's copies are taken, and which components."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest

from conceptrevive.checkpoints.contents import open_checkpoint
from conceptrevive.checkpoints.headers import read_header
from conceptrevive.errors import ConceptReviveError
from tests.checkpoints.small import pipeline, saved, text_encoder, unet

pytestmark = pytest.mark.usefixtures("one_thread")
UNET = "diffusion_pytorch_model"


def opened(model, **options):
    """{part: its files' names} and the rest; warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint = open_checkpoint(model, **options)
    return {p: [h.path.name for h in found] for p, found in checkpoint.parts.items()}, checkpoint


def also(folder, *variants):
    """The same pipeline with these copies of the UNet's weights beside the first."""
    first = next((folder / "unet").glob("*.safetensors"))
    for variant in variants:
        end = f".{variant}.safetensors" if variant else ".safetensors"
        shutil.copy(first, folder / "unet" / f"{UNET}{end}")
    return folder


def test_of_a_pipeline_only_what_is_asked_for(tmp_path):
    folder = pipeline(tmp_path / "p")
    for name in ("scheduler", "safety_checker"):
        (folder / name).mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"x")
    main, text = {"": [f"{UNET}.safetensors"]}, {"text_encoder/": ["model.safetensors"]}
    assert opened(folder)[0] == main
    assert opened(folder, components={"text_encoder"})[0] == main | text
    parts, checkpoint = opened(folder, components=None)
    assert parts == main | text and checkpoint.closed == ("safety_checker",)
    assert checkpoint.is_pipeline and not opened(folder / "unet")[1].is_pipeline


def test_the_only_variant_is_taken_and_said(tmp_path):
    folder = pipeline(tmp_path / "p", variant="fp16")
    message = r"unet holds the variant fp16 only, so it is taken: .* loaded with variant='fp16' too"
    with pytest.warns(UserWarning, match=message):
        checkpoint = open_checkpoint(folder, components=None)
    assert checkpoint.variant == "fp16"
    assert [h.path.name for h in checkpoint.parts["text_encoder/"]] == ["model.fp16.safetensors"]
    assert opened(folder, variant="fp16")[1].variant == "fp16", "asked for, nothing is said"


def test_the_default_comes_before_variants(tmp_path):
    folder = also(pipeline(tmp_path / "p"), "fp16", "non_ema")
    assert opened(folder)[0] == {"": [f"{UNET}.safetensors"]}
    assert opened(folder, variant="fp16")[0] == {"": [f"{UNET}.fp16.safetensors"]}
    parts, _ = opened(folder, variant="fp16", components=None)
    assert parts["text_encoder/"] == ["model.safetensors"], "as in diffusers, for want of fp16"


@pytest.mark.parametrize(
    ("copies", "variant", "message"),
    [
        (["bf16"], None, "holds weights only as the variants bf16, fp16: choose one with --var"),
        ([], "bf16", "holds no variant 'bf16': it holds fp16"),
        ([""], "bf16", "holds no variant 'bf16': it holds the default, fp16"),
    ],
)
def test_variants_that_are_not_there_or_too_many(copies, variant, message, tmp_path):
    folder = also(pipeline(tmp_path / "p", variant="fp16"), *copies)
    with pytest.raises(ConceptReviveError, match=f"^{folder / 'unet'} {message}"):
        open_checkpoint(folder, variant=variant)


def test_a_variant_that_only_another_component_has(tmp_path):
    """Its weights are in two variants, so one has to be chosen; the denoiser gives its default."""
    folder = pipeline(tmp_path / "p")
    text = folder / "text_encoder"
    (text / "model.safetensors").rename(text / "model.fp16.safetensors")
    shutil.copy(text / "model.fp16.safetensors", text / "model.bf16.safetensors")
    with pytest.raises(ConceptReviveError, match=f"^{text} holds weights only as .*: choose one"):
        opened(folder, components=None)
    parts, checkpoint = opened(folder, components=None, variant="bf16")
    assert parts == {"": [f"{UNET}.safetensors"], "text_encoder/": ["model.bf16.safetensors"]}
    assert checkpoint.variant == ""
    with pytest.raises(ConceptReviveError, match="unet holds no variant 'int4': it holds the def"):
        opened(folder, components=None, variant="int4")


@pytest.mark.parametrize("name", ["m.safetensors", "m.safetensors.index.json"])
def test_a_file_has_no_variants(name, tmp_path):
    saved(tmp_path / "m.safetensors", unet())
    table = {"weight_map": dict.fromkeys(unet(), "m.safetensors")}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(table))
    path = tmp_path / name
    assert opened(path)[0] == {"": ["m.safetensors"]}
    with pytest.raises(
        ConceptReviveError, match=f"^{path} is a file, which has no variants: leave --variant out"
    ):
        open_checkpoint(path, variant="fp16")


@pytest.mark.parametrize(
    ("shards", "index"),
    [
        (f"{UNET}.fp16-0000{{}}-of-00002.safetensors", f"{UNET}.safetensors.index.fp16.json"),
        (f"{UNET}-0000{{}}-of-00002.fp16.safetensors", f"{UNET}.fp16.safetensors.index.json"),
    ],
    ids=["new", "old"],
)
def test_shards_of_a_variant(shards, index, tmp_path):
    """Either way in which diffusers has named them."""
    folder = also(pipeline(tmp_path / "p"))
    weights = list(unet().items())
    table = {}
    for i, part in enumerate((weights[:5], weights[5:]), 1):
        saved(folder / "unet" / shards.format(i), dict(part))
        table |= dict.fromkeys(dict(part), shards.format(i))
    (folder / "unet" / index).write_text(json.dumps({"weight_map": table}))
    expected = [shards.format(1), shards.format(2)]
    assert opened(folder, variant="fp16")[0] == {"": expected}
    assert opened(folder)[0] == {"": [f"{UNET}.safetensors"]}


@pytest.mark.parametrize("beside", ["text_encoder.safetensors", "model_fp16.safetensors"])
def test_of_several_files_the_one_that_transformers_loads(beside, tmp_path):
    folder = pipeline(tmp_path / "p")
    saved(folder / "text_encoder" / beside, text_encoder(pruned=True))
    parts, checkpoint = opened(folder, components=None)
    assert parts["text_encoder/"] == ["model.safetensors"]
    assert checkpoint.parts["text_encoder/"] == [
        read_header(folder / "text_encoder" / "model.safetensors")
    ]
