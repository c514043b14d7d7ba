"""Whole models in one file of their original codes, made from tiny pipelines of diffusers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests import families
from tests.checkpoints.originals import LDM, original
from tests.checkpoints.small import saved

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_LAYERS_PER_BLOCK = 1

_VAE = (
    (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.0\.resnets", "up.1.block"),
    (r"up_blocks\.1\.resnets", "up.0.block"),
    (r"up_blocks\.0\.upsamplers\.0", "up.1.upsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.to_out\.0", r"mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_", "mid.attn_1."),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    ("conv_norm_out", "norm_out"),
    ("conv_shortcut", "nin_shortcut"),
)

#: OpenCLIP's names of transformers' layers, but for queries, keys and values.
_OPEN_CLIP = (
    (r"embeddings\.token_embedding\.weight", "token_embedding.weight"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"final_layer_norm", "ln_final"),
    (r"encoder\.layers\.(\d+)", r"transformer.resblocks.\1"),
    ("layer_norm", "ln_"),
    (r"self_attn\.out_proj", "attn.out_proj"),
    (r"mlp\.fc1", "mlp.c_fc"),
    (r"mlp\.fc2", "mlp.c_proj"),
)


def ldm_name(name: str) -> str:
    """What the original code calls a parameter of a UNet with one layer in each block."""
    module, _, kind = name.rpartition(".")
    if module in _OUTSIDE:
        return f"{LDM}{_OUTSIDE[module]}.{kind}"
    found = re.match(r"(down|up|mid)_blocks?(?:\.(\d+))?\.(\w+)\.(\d+)\.(.*)", name)
    side, block, what, i, rest = found.groups()
    per = _LAYERS_PER_BLOCK + 1
    if what == "resnets":
        rest = re.sub(r"^\w+", lambda m: _RESNET[m[0]], rest)
    if side == "mid":
        return f"{LDM}middle_block.{2 * int(i) if what == 'resnets' else 1}.{rest}"
    if what == "downsamplers":
        return f"{LDM}input_blocks.{(int(block) + 1) * per}.0.op.{kind}"
    if what == "upsamplers":
        return f"{LDM}output_blocks.{(int(block) + 1) * per - 1}.UP.conv.{kind}"
    at = int(block) * per + int(i) + (side == "down")
    blocks = "input_blocks" if side == "down" else "output_blocks"
    return f"{LDM}{blocks}.{at}.{0 if what == 'resnets' else 1}.{rest}"


def ldm_unet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A UNet's weights by the original code's names."""
    out = {}
    for name, tensor in state.items():
        new = ldm_name(name)
        if ".UP." in new:  # behind the attention, where the block has one
            block = name.split(".")[1]
            attends = any(n.startswith(f"up_blocks.{block}.attentions") for n in state)
            new = new.replace(".UP.", ".2." if attends else ".1.")
        out[new] = tensor
    return out


def ldm_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's weights by the original code's names."""
    out = {}
    for name, tensor in state.items():
        for ours, theirs in _VAE:
            name = re.sub(ours, theirs, name)
        out[f"first_stage_model.{name}"] = tensor
    return out


def _wrapped(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """CLIP's weights as old versions of transformers name them, behind `start`."""
    return {
        start + (n if n.startswith(("text_model.", "text_projection")) else f"text_model.{n}"): p
        for n, p in state.items()
    }


def open_clip(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """CLIP's weights by OpenCLIP's names, behind `start`."""
    out = {}
    for name, tensor in state.items():
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            out[f"{start}text_projection"] = tensor.T.contiguous()
            continue
        if found := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(\w+)", name):
            own = [state[k] for k in (_q(state, name, x) for x in "qkv")]
            out[f"{start}transformer.resblocks.{found[1]}.attn.in_proj_{found[2]}"] = torch.cat(own)
            continue
        if re.search(r"self_attn\.[kv]_proj", name):
            continue
        for ours, theirs in _OPEN_CLIP:
            name = re.sub(ours, theirs, name)
        out[start + name] = tensor
    return out


def _q(state: dict[str, Tensor], name: str, which: str) -> str:
    own = name.replace("q_proj", f"{which}_proj")
    return own if own in state else f"text_model.{own}"


def _encoders(pipe: Any, first: int, second: int, projection: int) -> None:
    """Text encoders of two widths, by which diffusers tells them in a file."""
    for name, width, to in (("text_encoder", first, first), ("text_encoder_2", second, projection)):
        kind = type(getattr(pipe, name)).__name__
        made = families.clip_text(kind, hidden_size=width, projection_dim=to)
        setattr(pipe, name, made)


def _build_sdxl() -> Any:
    pipe = families.build("sdxl")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        _encoders(pipe, 24, 40, 32)
    return families.ready(pipe)


def _build_sd3() -> Any:
    pipe = families.build("sd3")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        _encoders(pipe, 8, 24, 24)
        net = pipe.transformer.config | {"pooled_projection_dim": 32}
        pipe.register_modules(transformer=type(pipe.transformer).from_config(net))
    # The file has none of this encoder, so diffusers takes the identity.
    pipe.text_encoder.text_projection.weight.data = torch.eye(8)
    return families.ready(pipe)


def _sd15(pipe: Any) -> dict[str, Tensor]:
    text = _wrapped(pipe.text_encoder.state_dict(), "cond_stage_model.transformer.")
    return ldm_unet(pipe.unet.state_dict()) | text


def _sdxl(pipe: Any) -> dict[str, Tensor]:
    first = _wrapped(pipe.text_encoder.state_dict(), "conditioner.embedders.0.transformer.")
    second = open_clip(pipe.text_encoder_2.state_dict(), "conditioner.embedders.1.model.")
    return ldm_unet(pipe.unet.state_dict()) | first | second


def _sd3(pipe: Any) -> dict[str, Tensor]:
    start = "text_encoders.{}.transformer."
    first = _wrapped(pipe.text_encoder.state_dict(), start.format("clip_l"))
    del first[start.format("clip_l") + "text_projection.weight"]
    second = _wrapped(pipe.text_encoder_2.state_dict(), start.format("clip_g"))
    third = {start.format("t5xxl") + n: p for n, p in pipe.text_encoder_3.state_dict().items()}
    net = original("sd3", pipe.transformer.state_dict(), LDM)
    return net | first | second | third


#: {family: (its pipeline, what it is but for the autoencoder by the original code's names)}
WHOLES = {
    "sd15": (lambda: families.build("sd15"), _sd15),
    "sdxl": (_build_sdxl, _sdxl),
    "sd3": (_build_sd3, _sd3),
}


def whole(name: str, folder: Path) -> tuple[Path, Path]:
    """A model as a folder of diffusers' and as one file of the original code's, in `folder`."""
    build, renamed = WHOLES[name]
    pipe = build()
    pipe.save_pretrained(folder / name, safe_serialization=True)
    weights = renamed(pipe) | ldm_vae(pipe.vae.state_dict())
    # Tied weights stand in it once for each name.
    path = saved(folder / f"{name}.safetensors", {n: p.clone() for n, p in weights.items()})
    return path, folder / name
