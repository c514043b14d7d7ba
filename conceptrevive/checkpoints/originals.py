"""Files named by a model's original code: what diffusers calls their layers.

Of transformers (Flux, Stable Diffusion 3 and others) diffusers' own converters are run on stand-ins
for the tensors, which tell what is only renamed, and what is taken apart.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from conceptrevive.checkpoints.ldm import diffusers_names
from conceptrevive.checkpoints.naming import LDM, converting
from conceptrevive.models.addresses import WEIGHT

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Code:
    """A model's original code.

    Attributes:
        loader: what diffusers makes of it.
        marks: tensors by which its files are known, without `LDM` before them.
        converter: in diffusers' `single_file_utils`; old versions have not all.
        encoders: of how text encoders' names begin in such files: the component.
    """

    loader: str
    marks: tuple[str, ...]
    converter: str
    encoders: Mapping[str, str] = field(default_factory=dict)


_CLIP_L, _CLIP_G, _T5 = (
    f"text_encoders.{name}.transformer." for name in ("clip_l", "clip_g", "t5xxl")
)

#: The first that fits is taken: Chroma is Flux with another guidance.
CODES = (
    Code(
        "ChromaTransformer2DModel",
        ("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.in_proj.weight"),
        "convert_chroma_transformer_checkpoint_to_diffusers",
        {_T5: "text_encoder/"},
    ),
    Code(
        "FluxTransformer2DModel",
        ("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"),
        "convert_flux_transformer_checkpoint_to_diffusers",
        {_CLIP_L: "text_encoder/", _T5: "text_encoder_2/"},
    ),
    Code(
        "SD3Transformer2DModel",
        ("joint_blocks.0.x_block.attn.qkv.weight",),
        "convert_sd3_transformer_checkpoint_to_diffusers",
        {_CLIP_L: "text_encoder/", _CLIP_G: "text_encoder_2/", _T5: "text_encoder_3/"},
    ),
    Code(
        "AuraFlowTransformer2DModel",
        ("double_layers.0.attn.w2q.weight",),
        "convert_auraflow_transformer_checkpoint_to_diffusers",
    ),
    Code(
        "Lumina2Transformer2DModel",
        ("cap_embedder.0.weight", "layers.0.attention.qkv.weight"),
        "convert_lumina2_to_diffusers",
    ),
    Code(
        "SanaTransformer2DModel",
        ("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.point_conv.conv.weight"),
        "convert_sana_transformer_to_diffusers",
    ),
)


@dataclass(frozen=True)
class Apart:
    """A layer that diffusers makes of another tensor's rows.

    Attributes:
        key: the tensor. shape: of the layer's weight; empty if it cannot be told.
        loader: what diffusers makes of such files.
    """

    key: str
    shape: Shape
    loader: str

    def refusal(self, name: str, source: Path) -> str:
        """That the layer called `name` cannot be had from the file, and what to do."""
        return (
            f"{name}: {source} keeps it within {self.key}, which diffusers takes apart or orders "
            f"anew, so {converting(self.loader)}"
        )


@dataclass(frozen=True)
class Names:
    """What diffusers calls the tensors of a file, all but those of the autoencoder.

    Attributes:
        component: the denoiser; empty where the names are no other code's.
        moved: {key in the file: parameter's name, with its component but for the denoiser's} of
            tensors that are only renamed.
        apart: {layer's name: what it is taken from}.
    """

    component: str = ""
    moved: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, Apart] = field(default_factory=dict)


def names_of(shapes: Mapping[str, Shape]) -> Names:
    """What diffusers calls the tensors of a file, {key: shape}; nothing of files that it does not
    convert, or that are named as it does.
    """
    if renamed := diffusers_names(shapes):
        return Names("unet", renamed)
    prefix = LDM if any(key.startswith(LDM) for key in shapes) else ""
    own = {key.removeprefix(prefix): key for key in shapes if key.startswith(prefix)}
    code = next((c for c in CODES if all(mark in own for mark in c.marks)), None)
    converted = {} if code is None else _converted(code, {n: shapes[k] for n, k in own.items()})
    if code is None or not converted:
        return Names()
    whole = {own[x.key]: name for name, x in converted.items() if x.is_whole}
    apart = {
        name.removesuffix(WEIGHT): Apart(own[x.key], x.shape, code.loader)
        for name, x in converted.items()
        if not x.is_whole and len(shapes[own[x.key]]) > 1
    }
    return Names("transformer", whole | _encoders(code, shapes), apart)


def _encoders(code: Code, keys: Collection[str]) -> dict[str, str]:
    return {
        key: component + key.removeprefix(start)
        for start, component in code.encoders.items()
        for key in keys
        if key.startswith(start)
    }


def _converted(code: Code, shapes: Mapping[str, Shape]) -> dict[str, _Traced]:
    """{parameter's name: what it is made of}; nothing where diffusers cannot convert these."""
    from diffusers.loaders import single_file_utils

    convert: Any = getattr(single_file_utils, code.converter, None)
    if convert is None:
        return {}
    try:
        renamed = convert({key: _Traced(key, shape) for key, shape in shapes.items()})
    except Exception:  # of files that only look alike: a missing tensor ends in any error
        return {}
    return {name: x for name, x in renamed.items() if isinstance(x, _Traced)}


@dataclass(frozen=True)
class _Traced:
    """Stands for a tensor, or for a part of one, while a converter moves it about."""

    key: str
    shape: Shape
    is_whole: bool = True

    def chunk(self, chunks: int, dim: int = 0) -> list[_Traced]:
        """As of a tensor."""
        rows = self.shape[dim]
        return self.split([math.ceil(rows / chunks)] * chunks if chunks else [], dim)

    def split(self, sizes: Sequence[int], dim: int = 0) -> list[_Traced]:
        """As of a tensor; parts of which the sizes do not add up have no known shape."""
        fits = dim == 0 and sum(sizes) == self.shape[0]
        return [_Traced(self.key, (n, *self.shape[1:]) if fits else (), False) for n in sizes]

    @classmethod
    def __torch_function__(
        cls, function: Any, types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if function is torch.chunk:
            return args[0].chunk(*args[1:], **given)
        if function is torch.split:
            return args[0].split(*args[1:], **given)
        if function is torch.cat:
            parts = args[0]
            rows = sum(x.shape[0] for x in parts) if all(x.shape for x in parts) else 0
            shape = (rows, *parts[0].shape[1:]) if rows else ()
            return parts[0] if len(parts) == 1 else _Traced(parts[0].key, shape, False)
        return NotImplemented
