"""Another denoiser, or a LoRA, in a pipeline: as which unlearned models are often given away."""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from conceptrevive.errors import ConceptReviveError, expect, one_line
from conceptrevive.models.lacking import expect_weights, index_of, modules_of
from conceptrevive.models.stored import stored_tensors
from conceptrevive.models.variants import pipeline_variant

#: What pipelines call their denoiser.
DENOISERS = ("unet", "transformer")

#: How the first of a LoRA's two matrices is called.
_DOWN = re.compile(r"lora(_A|_down|\.down)(\.|$)")

#: What a denoiser's configuration says of what it is given: latents, and encoded text.
INPUTS = (
    "in_channels",
    "cross_attention_dim",
    "joint_attention_dim",
    "pooled_projection_dim",
    "caption_channels",
    "cap_feat_dim",
    "encoder_hid_dim",
)

#: What diffusers calls the file of a LoRA.
LORA = "pytorch_lora_weights.safetensors"


def denoiser_name(pipeline: Path) -> str:
    """What the pipeline in this folder calls its denoiser. Raises ConceptReviveError for none."""
    parts = index_of(pipeline)
    for name in DENOISERS:
        if name in parts:
            return name
    raise ConceptReviveError(
        f"{pipeline} has neither a unet nor a transformer: give the folder of a text-to-image "
        "pipeline"
    )


def load_denoiser(
    source: str | os.PathLike[str], pipeline: Path, dtype: torch.dtype, variant: str | None
) -> Any:
    """A denoiser to stand in for that of `pipeline`.

    Args:
        source: its folder, the folder of a pipeline that has it, or a safetensors file of its
            weights, named as diffusers does or as its original code, if diffusers converts that.

    Raises:
        ConceptReviveError: no such file or folder, or a denoiser of another class or shape.
    """
    import diffusers

    expect(source, (str, os.PathLike), "denoiser", "give a folder, or a .safetensors file")
    path, name = Path(source), denoiser_name(pipeline)
    kind = index_of(pipeline)[name][1]
    loader: Any = getattr(diffusers, kind)
    if path.is_file():
        return _from_weights(path, loader, pipeline / name, dtype)
    folder = path / name if (path / name).is_dir() else path
    if not (folder / "config.json").is_file():
        raise ConceptReviveError(
            f"{path} holds no {name}: give the folder of a {kind}, with its config.json, or a "
            ".safetensors file of its weights"
        )
    there = json.loads((folder / "config.json").read_text()).get("_class_name")
    if there != kind:
        raise ConceptReviveError(
            f"{folder} holds a {there}, and the pipeline in {pipeline} has a {kind}: give one of "
            "the same class"
        )
    _expect_alike(folder, pipeline / name, kind)
    chosen = pipeline_variant(folder.parent, variant) if folder != path else variant
    net = loader.from_pretrained(
        folder, torch_dtype=dtype, use_safetensors=True, variant=chosen or None
    )
    expect_weights(net, folder, chosen)
    return net


def _expect_alike(folder: Path, own: Path, kind: str) -> None:
    """Raise ConceptReviveError where a denoiser takes other inputs than the pipeline's own."""
    if not (own / "config.json").is_file():
        return
    mine, other = (json.loads((f / "config.json").read_text()) for f in (own, folder))
    for key in INPUTS:
        if key in mine and key in other and mine[key] != other[key]:
            raise ConceptReviveError(
                f"{folder} does not fit the pipeline, whose {kind} in {own} has {key} {mine[key]}, "
                f"and this one {other[key]}: give one that was made from that model"
            )


def _from_weights(path: Path, loader: Any, like: Path, dtype: torch.dtype) -> Any:
    """A denoiser as configured in the folder `like`, with the weights of one file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise ConceptReviveError(
            f"{path} is no .safetensors file: convert it, pickles are not read"
        )
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as e:
        raise ConceptReviveError(f"cannot read weights from {path} ({one_line(e)})") from e
    net = loader.from_config(loader.load_config(like)).to(dtype)
    own = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if len(own.keys() & given.keys()) < len(own) / 2:
        return _from_original(path, loader, like, dtype, weights)
    for name in dict.fromkeys([*own, *given]):
        if own.get(name) != given.get(name):
            raise ConceptReviveError(
                f"{path} does not fit a {type(net).__name__} like that in {like}: {name} is "
                f"{given.get(name, 'not in the file')}, and {own.get(name, 'not in the model')} "
                "there: give a file of this model's weights, named as diffusers does"
            )
    net.load_state_dict(weights)
    return net.eval()


def _from_original(
    path: Path, loader: Any, like: Path, dtype: torch.dtype, weights: dict[str, torch.Tensor]
) -> Any:
    """The same of weights that are named by the model's original code, converted by diffusers."""
    try:
        net = loader.from_single_file(
            dict(weights),
            config=str(like.parent),
            subfolder=like.name,
            torch_dtype=dtype,
            local_files_only=True,
        )
        missing = next((n for n, p in net.state_dict().items() if p.is_meta), "")
        if missing:
            raise LookupError(f"{missing} is not in it")
    # What does not fit ends in any error there, and so does a class that has no converter.
    except Exception as e:
        raise ConceptReviveError(
            f"{path} does not fit a {loader.__name__} like that in {like}: its tensors are not "
            "named as diffusers does, and it cannot convert them to fit: give a file of this "
            f"model's weights, named as diffusers does ({one_line(e)})"
        ) from e
    return net.eval()


def fuse_lora(pipe: Any, lora: str) -> None:
    """Add a LoRA to the weights of `pipe`, for good.

    Args:
        lora: a safetensors file, a folder that holds one (or `LORA`), or a hub id; with `@0.7`
            behind it, at that scale.

    Raises:
        ConceptReviveError: there is none, it does not fit, or `peft` is not installed.
    """
    expect(lora, str, "lora", "give a file, folder or hub id, with @SCALE behind it if not 1")
    source, at, scale = lora.rpartition("@")
    if not at:
        source, scale = lora, "1"
    try:
        strength = float(scale)
    except ValueError as e:
        raise ConceptReviveError(
            f"lora is {lora!r}: what stands behind @ is its scale, a number such as 0.7"
        ) from e
    if not math.isfinite(strength):
        raise ConceptReviveError(f"lora is {lora!r}: its scale must be finite")
    where, file = _lora_file(source)
    if not hasattr(pipe, "load_lora_weights"):
        raise ConceptReviveError(f"{type(pipe).__name__} takes no LoRA: leave --lora out")
    try:
        pipe.load_lora_weights(where, weight_name=file, use_safetensors=True)
        _expect_adapted(pipe, source, None if file is None else Path(where) / file)
        pipe.fuse_lora(lora_scale=strength)
        pipe.unload_lora_weights()
    except ConceptReviveError:
        raise
    # Diffusers, peft and the hub raise what they like.
    except Exception as e:
        remedy = "give one that was made for this model, as a .safetensors file or its folder"
        if "PEFT backend" in str(e):
            remedy = "install what fuses LoRAs, pip install 'conceptrevive[lora]'"
        raise ConceptReviveError(
            f"cannot fuse the LoRA {source!r}: {remedy} ({one_line(e)})"
        ) from e


def _expect_adapted(pipe: Any, source: str, file: Path | None) -> None:
    """Raise ConceptReviveError if a LoRA, as loaded, adapts nothing; of a part a warning tells.

    What is named for other layers diffusers leaves out in silence.
    """
    modules = [m for part in modules_of(pipe).values() for m in part.modules()]
    adapted = sum(bool(getattr(m, "lora_A", None)) for m in modules)
    if not adapted:
        raise ConceptReviveError(
            f"the LoRA {source!r} adapts no layer of this {type(pipe).__name__}: give one that was "
            "made for this model, with names that begin with the component, as unet."
        )
    there = [] if file is None else [n for n in stored_tensors(file) if _DOWN.search(n)]
    if adapted < len(there):
        warnings.warn(
            f"the LoRA {source!r} is of {len(there)} layers, and of this {type(pipe).__name__} it "
            f"adapts {adapted}: was it made for another model?",
            stacklevel=3,
        )


def _lora_file(source: str) -> tuple[str | Path, str | None]:
    """The folder and the name of a LoRA's file; None for a hub id, whose file diffusers finds.

    In a folder diffusers itself takes whichever file comes first, and its oldest version none
    without the internet.
    """
    path = Path(source)
    if path.is_dir():
        there = sorted(f.name for f in path.glob("*.safetensors"))
        if LORA in there or len(there) == 1:
            return path, LORA if LORA in there else there[0]
        raise ConceptReviveError(
            f"{path} holds {', '.join(there) or 'no .safetensors file'}: give the file of one LoRA"
        )
    if path.is_file() and path.suffix != ".safetensors":
        raise ConceptReviveError(
            f"{path} is no .safetensors file: convert it, pickles are not read"
        )
    return (path.parent, path.name) if path.is_file() else (source, None)
