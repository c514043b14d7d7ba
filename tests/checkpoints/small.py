"""Checkpoints of a few small layers, named as diffusers and transformers name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from conceptrevive.unlearning.masks import MaskSet

#: Matrices of one transformer block.
SHAPES = {
    "attn2.to_k": (32, 24),
    "attn2.to_v": (32, 24),
    "ff.net.0.proj": (64, 32),
    "ff.net.2": (32, 64),
}


def block(i: int, layer: str) -> str:
    """The module name of a layer of the UNet's i-th block."""
    return f"down_blocks.{i}.attentions.0.transformer_blocks.0.{layer}"


def candidates(blocks: int) -> list[str]:
    """Module names of the feed-forward outputs of a UNet of so many blocks."""
    return [block(i, "ff.net.2") for i in range(blocks)]


def matrix(seed: int, shape: tuple[int, ...] = (32, 64), pruned: bool = False) -> Tensor:
    """Gaussian weights, a tenth of them 0 if pruned."""
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(shape, generator=g) * 0.05
    return w.masked_fill(torch.rand(shape, generator=g) < 0.1, 0) if pruned else w


def unet(blocks: int = 2, pruned: Iterable[str] = (), dtype: torch.dtype = torch.float32):
    """{parameter: weight} of so many blocks, two convolutions and a bias.

    Args:
        pruned: layers of SHAPES of which a tenth is 0.
    """
    out = {
        f"{block(i, layer)}.weight": matrix(10 * i + j, shape, layer in set(pruned))
        for i in range(blocks)
        for j, (layer, shape) in enumerate(SHAPES.items())
    }
    for i in range(2):
        out[f"down_blocks.0.resnets.{i}.conv1.weight"] = matrix(100 + i, (16, 8, 3, 3))
    out["conv_in.bias"] = torch.zeros(16)
    return {name: w.to(dtype) for name, w in out.items()}


def text_encoder(pruned: bool = False, prefix: str = "text_model."):
    """{parameter: weight} of CLIP's text encoder, as hub folders name them."""
    return {
        f"{prefix}encoder.layers.{i}.mlp.fc{j}.weight": matrix(200 + 2 * i + j, pruned=pruned)
        for i in range(2)
        for j in (1, 2)
    }


def saved(path: Path, weights: Mapping[str, Tensor], **metadata: str) -> Path:
    """`path`, with these weights written to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), path, metadata=metadata or None)
    return path


def pipeline(folder: Path, weights=None, text=None, variant: str = "") -> Path:
    """A pipeline's folder with a UNet and a text encoder.

    Args:
        variant: the only copy of the weights there is; empty for the default.
    """
    end = f".{variant}.safetensors" if variant else ".safetensors"
    saved(folder / "unet" / f"diffusion_pytorch_model{end}", weights or unet())
    saved(folder / "text_encoder" / f"model{end}", text or text_encoder())
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return folder


def masked(
    path: Path, names: Iterable[str], shape: tuple[int, ...] = (32, 64), share: float = 0.1
) -> Path:
    """`path`, with masks of these layers written to it."""
    g = torch.Generator().manual_seed(7)
    MaskSet({n: torch.rand(shape, generator=g) < share for n in names}, concept="cat").save(path)
    return path


def files(folder: Path) -> set[str]:
    """Names of all files below a folder."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
