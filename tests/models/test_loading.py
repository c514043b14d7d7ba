"""What a pipeline is loaded as: number format, another denoiser, a LoRA, one file."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import conceptrevive as cr
from conceptrevive.models.replacing import fuse_lora
from conceptrevive.models.stored import loading_dtype, stored_dtype
from tests.families import folder

pytestmark = pytest.mark.usefixtures("one_thread")
LAYER = "mid_block.attentions.0.transformer_blocks.0.ff.net.2"
FEW = dict(steps=2, guidance=3.0)


@pytest.fixture(scope="module")
def model():
    return folder("sd2")


def stored(weights, path):
    save_file({k: v.contiguous() for k, v in weights.items()}, path)
    return path


def test_the_format_that_weights_are_stored_in(model, tmp_path):
    assert stored_dtype(model / "unet") == torch.float32
    weights = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    brain = {k: v.bfloat16() if v.ndim > 1 else v for k, v in weights.items()}
    stored(brain, tmp_path / "diffusion_pytorch_model.safetensors")
    assert stored_dtype(tmp_path) == torch.bfloat16, "as most weights are"
    stored({k: v.half() for k, v in weights.items()}, tmp_path / "model.fp16.safetensors")
    assert stored_dtype(tmp_path, "fp16") == torch.float16
    assert stored_dtype(tmp_path, "other") == torch.bfloat16, "its default"
    (tmp_path / "model.bad.safetensors").write_bytes(b"x")
    assert stored_dtype(tmp_path, "bad") is stored_dtype(tmp_path / "nowhere") is None
    eight = {k: v.to(torch.float8_e4m3fn) for k, v in weights.items()}
    stored(eight, tmp_path / "model.eight.safetensors")
    assert stored_dtype(tmp_path, "eight") is None


def test_half_precision_on_a_gpu_is_the_checkpoints_own():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert loading_dtype(torch.bfloat16, gpu) == torch.bfloat16
    assert loading_dtype(torch.float16, gpu) == torch.float16
    assert loading_dtype(torch.float32, gpu) == loading_dtype(None, gpu) == torch.float16
    assert {loading_dtype(d, cpu) for d in (torch.bfloat16, torch.float32)} == {torch.float32}


def weight_of(pipe):
    return pipe.unet.get_submodule(LAYER).weight


@pytest.mark.parametrize("give", ["a pipeline", "a folder", "a file"])
def test_this_denoiser_in_that_pipeline(model, tmp_path, give):
    other = tmp_path / "other"
    shutil.copytree(model, other)
    file = other / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights[f"{LAYER}.weight"] += 1
    file.unlink()  # a link into the cache
    stored(weights, file)
    source = {"a pipeline": other, "a folder": other / "unet", "a file": file}[give]
    pipe = cr.load_pipeline("tiny/sd2", device="cpu", denoiser=source)
    assert torch.equal(weight_of(pipe), weights[f"{LAYER}.weight"])
    assert not pipe.unet.training
    plain = cr.load_pipeline(model, device="cpu", dtype=torch.bfloat16)
    assert weight_of(plain).dtype == torch.bfloat16
    torch.testing.assert_close(weight_of(plain).float() + 1, weight_of(pipe), rtol=0.01, atol=0.01)


def test_a_denoiser_that_does_not_fit(model, tmp_path):
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"holds a SD3Transformer2DModel, and the pipeline in .* has a UNet2DConditionModel: "
        "give one of the same class",
    ):
        cr.load_pipeline(model, device="cpu", denoiser=folder("sd3") / "transformer")
    with pytest.raises(cr.ConceptReviveError, match=r"holds no unet: give the folder of a UNet2D"):
        cr.load_pipeline(model, device="cpu", denoiser=tmp_path)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"unet does not fit the pipeline, whose UNet2DConditionModel in .* has "
        r"cross_attention_dim 32, and this one 64: give one that was made from that model",
    ):
        cr.load_pipeline(model, device="cpu", denoiser=folder("sdxl"))
    weights = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    weights[f"{LAYER}.weight"] = torch.zeros(2, 3)
    file = stored(weights, tmp_path / "w.safetensors")
    with pytest.raises(
        cr.ConceptReviveError,
        match=rf"w\.safetensors does not fit a UNet2DConditionModel like that in .*: {LAYER}"
        r"\.weight is \(2, 3\), and \(32, 128\) there: give a file of this model's weights",
    ):
        cr.load_pipeline(model, device="cpu", denoiser=file)
    pickle = tmp_path / "w.bin"
    pickle.write_bytes(b"x")
    with pytest.raises(cr.ConceptReviveError, match=r"w\.bin is no \.safetensors file: convert it"):
        cr.load_pipeline(model, device="cpu", denoiser=pickle)


def lora(path):
    """Rank 2 for one layer; returns what it adds."""
    down, up = torch.randn(2, 128), torch.randn(32, 2)
    stored(
        {f"unet.{LAYER}.lora_A.weight": down, f"unet.{LAYER}.lora_B.weight": up},
        path / "pytorch_lora_weights.safetensors",
    )
    return up @ down


@pytest.mark.parametrize(("behind", "scale"), [("", 1.0), ("@0.5", 0.5)])
def test_a_lora_is_fused(model, tmp_path, behind, scale):
    added, before = lora(tmp_path), weight_of(cr.load_pipeline(model, device="cpu"))
    for source in (tmp_path, tmp_path / "pytorch_lora_weights.safetensors"):
        pipe = cr.load_pipeline(model, device="cpu", lora=f"{source}{behind}")
        torch.testing.assert_close(weight_of(pipe), before + scale * added)
        assert not hasattr(pipe.unet.get_submodule(LAYER), "base_layer"), "nothing is left around"


@pytest.mark.parametrize("before", ["transformer.", "", "unet.other_"])
def test_a_lora_for_other_layers(before, model, tmp_path):
    """Diffusers says nothing, and the model would be studied as it was without."""
    lora(tmp_path)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    stored({before + n.removeprefix("unet."): w for n, w in load_file(file).items()}, file)
    with pytest.raises(
        cr.ConceptReviveError,
        match=r"the LoRA '.*' adapts no layer of this StableDiffusionPipeline: give one that was "
        r"made for this model|cannot fuse the LoRA",
    ):
        cr.load_pipeline(model, device="cpu", lora=str(tmp_path))


def test_a_lora_of_which_a_part_fits(model, tmp_path):
    lora(tmp_path)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    fits = load_file(file)
    other = {n.replace("mid_block", "other_block"): w.clone() for n, w in fits.items()}
    stored(fits | other, file)
    with pytest.warns(UserWarning, match="is of 2 layers, and of this .* it adapts 1: was it made"):
        cr.load_pipeline(model, device="cpu", lora=str(file))


@pytest.mark.parametrize("scale", ["nan", "inf"])
def test_scales_that_are_none(scale, tmp_path):
    with pytest.raises(cr.ConceptReviveError, match="its scale must be finite"):
        fuse_lora(object(), f"{tmp_path}@{scale}")


def test_the_file_of_a_lora_in_a_folder(tmp_path, tiny, monkeypatch):
    """`pytorch_lora_weights`, or the only one; never whichever a listing gives first."""
    pipe, asked = type(tiny)(**tiny.components, requires_safety_checker=False), []
    monkeypatch.setattr(pipe, "load_lora_weights", lambda *where, **how: asked.append((where, how)))
    monkeypatch.setattr(pipe, "fuse_lora", lambda **_: None)
    monkeypatch.setattr("conceptrevive.models.replacing._expect_adapted", lambda *_: None)
    with pytest.raises(
        cr.ConceptReviveError, match=r"holds no \.safetensors file: give the file of"
    ):
        fuse_lora(pipe, str(tmp_path))
    for name in ("b", "a"):
        (tmp_path / f"{name}.safetensors").touch()
        if name == "b":
            fuse_lora(pipe, str(tmp_path))
    with pytest.raises(cr.ConceptReviveError, match=r"holds a\.safetensors, b\.safetensors: give"):
        fuse_lora(pipe, str(tmp_path))
    (tmp_path / "pytorch_lora_weights.safetensors").touch()
    fuse_lora(pipe, f"{tmp_path}@2")
    names = ["b.safetensors", "pytorch_lora_weights.safetensors"]
    assert asked == [((tmp_path,), dict(weight_name=n, use_safetensors=True)) for n in names]


def test_a_lora_that_cannot_be_fused(model, tmp_path, tiny, monkeypatch):
    def fail(*_, **__):
        raise ValueError("PEFT backend is required for this method.")

    pipe = type(tiny)(**tiny.components, requires_safety_checker=False)
    monkeypatch.setattr(pipe, "load_lora_weights", fail)
    lora(tmp_path)
    with pytest.raises(cr.ConceptReviveError, match=r"pip install 'conceptrevive\[lora\]'"):
        fuse_lora(pipe, str(tmp_path))
    with pytest.raises(cr.ConceptReviveError, match="what stands behind @ is its scale, a number"):
        fuse_lora(pipe, "some@where")
    (tmp_path / "l.ckpt").write_bytes(b"x")
    with pytest.raises(cr.ConceptReviveError, match=r"l\.ckpt is no \.safetensors file: convert"):
        fuse_lora(pipe, str(tmp_path / "l.ckpt"))
    with pytest.raises(cr.ConceptReviveError, match="takes no LoRA: leave --lora out"):
        fuse_lora(object(), "owner/lora")
