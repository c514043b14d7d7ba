"""Single files of the original Stable Diffusion (LDM): what diffusers calls their layers."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from conceptrevive.checkpoints.naming import LDM

#: Of how text encoders' names begin in such files: the component, and whether OpenCLIP's code named
#: what follows.
_ENCODERS = {
    "cond_stage_model.transformer.": ("text_encoder/", False),
    "cond_stage_model.model.transformer.": ("text_encoder/", True),
    "conditioner.embedders.0.transformer.": ("text_encoder/", False),
    "conditioner.embedders.0.model.transformer.": ("text_encoder_2/", True),
    "conditioner.embedders.1.model.transformer.": ("text_encoder_2/", True),
}

#: OpenCLIP's layers of which each is one of transformers' too. Queries, keys and values, which it
#: keeps in one matrix, go by their names in the file.
_OPEN_CLIP = {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}

_DOWN = re.compile(re.escape(LDM) + r"input_blocks\.(\d+)\.0\.op\.weight")


def diffusers_names(keys: Collection[str]) -> dict[str, str]:
    """{key in the file: parameter's name, with its component but for the denoiser's}.

    Empty for files that are not of this kind; without the autoencoder, whose names stay.
    """
    if f"{LDM}input_blocks.0.0.weight" not in keys:
        return {}
    from diffusers.loaders import single_file_utils

    # The converter only renames, so that names do for tensors.
    convert: Any = single_file_utils.convert_ldm_unet_checkpoint
    renamed = convert({k: k for k in keys}, _unet_config(keys))
    out = {old: new for new, old in renamed.items()}
    for key in keys:
        for start, (component, is_open_clip) in _ENCODERS.items():
            if key.startswith(start):
                name = key.removeprefix(start)
                name = _of_open_clip(name) if is_open_clip else name
                if name:
                    out[key] = component + name
    return out


def _unet_config(keys: Collection[str]) -> dict[str, object]:
    """What the converter must know of a UNet: how many layers its blocks have."""
    downs = sorted(int(m[1]) for k in keys if (m := _DOWN.fullmatch(k)))
    blocks = {int(k.removeprefix(LDM).split(".")[1]) for k in keys if k.startswith(f"{LDM}input_")}
    config: dict[str, object] = {"layers_per_block": (downs[0] if downs else len(blocks)) - 1}
    if f"{LDM}label_emb.0.0.weight" in keys:
        config["addition_embed_type"] = "text_time"
    return config


def _of_open_clip(name: str) -> str:
    found = re.fullmatch(r"resblocks\.(\d+)\.([\w.]+)\.(weight|bias)", name)
    if not found or found[2] not in _OPEN_CLIP:
        return ""
    return f"text_model.encoder.layers.{found[1]}.{_OPEN_CLIP[found[2]]}.{found[3]}"
