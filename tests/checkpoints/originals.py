"""Files of transformers' original codes, made from diffusers' models by those codes' names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

#: What stands before the denoiser's names in files of whole models.
LDM = "model.diffusion_model."

#: In which order parts are joined to one tensor.
ORDER = {part: i for i, part in enumerate(("q", "k", "v", "mlp"))}

_FLUX = {
    r"time_text_embed\.timestep_embedder\.linear_1": "time_in.in_layer",
    r"time_text_embed\.timestep_embedder\.linear_2": "time_in.out_layer",
    r"time_text_embed\.text_embedder\.linear_1": "vector_in.in_layer",
    r"time_text_embed\.text_embedder\.linear_2": "vector_in.out_layer",
    r"time_text_embed\.guidance_embedder\.linear_1": "guidance_in.in_layer",
    r"time_text_embed\.guidance_embedder\.linear_2": "guidance_in.out_layer",
    r"context_embedder": "txt_in",
    r"x_embedder": "img_in",
    r"proj_out": "final_layer.linear",
    r"norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"transformer_blocks\.(\d+)\.norm1\.linear": r"double_blocks.\1.img_mod.lin",
    r"transformer_blocks\.(\d+)\.norm1_context\.linear": r"double_blocks.\1.txt_mod.lin",
    r"transformer_blocks\.(\d+)\.attn\.to_(?P<part>[qkv])": r"double_blocks.\1.img_attn.qkv",
    r"transformer_blocks\.(\d+)\.attn\.add_(?P<part>[qkv])_proj": r"double_blocks.\1.txt_attn.qkv",
    r"transformer_blocks\.(\d+)\.attn\.norm_q": r"double_blocks.\1.img_attn.norm.query_norm",
    r"transformer_blocks\.(\d+)\.attn\.norm_k": r"double_blocks.\1.img_attn.norm.key_norm",
    r"transformer_blocks\.(\d+)\.attn\.norm_added_q": r"double_blocks.\1.txt_attn.norm.query_norm",
    r"transformer_blocks\.(\d+)\.attn\.norm_added_k": r"double_blocks.\1.txt_attn.norm.key_norm",
    r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"double_blocks.\1.img_mlp.0",
    r"transformer_blocks\.(\d+)\.ff\.net\.2": r"double_blocks.\1.img_mlp.2",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": r"double_blocks.\1.txt_mlp.0",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.2": r"double_blocks.\1.txt_mlp.2",
    r"transformer_blocks\.(\d+)\.attn\.to_out\.0": r"double_blocks.\1.img_attn.proj",
    r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"double_blocks.\1.txt_attn.proj",
    r"single_transformer_blocks\.(\d+)\.norm\.linear": r"single_blocks.\1.modulation.lin",
    r"single_transformer_blocks\.(\d+)\.attn\.to_(?P<part>[qkv])": r"single_blocks.\1.linear1",
    r"single_transformer_blocks\.(\d+)\.proj_(?P<part>mlp)": r"single_blocks.\1.linear1",
    r"single_transformer_blocks\.(\d+)\.attn\.norm_q": r"single_blocks.\1.norm.query_norm",
    r"single_transformer_blocks\.(\d+)\.attn\.norm_k": r"single_blocks.\1.norm.key_norm",
    r"single_transformer_blocks\.(\d+)\.proj_out": r"single_blocks.\1.linear2",
}

_CHROMA = _FLUX | {
    r"distilled_guidance_layer\.layers\.(\d+)\.linear_1": (
        r"distilled_guidance_layer.layers.\1.in_layer"
    ),
    r"distilled_guidance_layer\.layers\.(\d+)\.linear_2": (
        r"distilled_guidance_layer.layers.\1.out_layer"
    ),
    r"(distilled_guidance_layer\.(?:in_proj|out_proj|norms\.\d+))": r"\1",
}

_SD3 = {
    r"pos_embed\.proj": "x_embedder.proj",
    r"time_text_embed\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"time_text_embed\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"time_text_embed\.text_embedder\.linear_1": "y_embedder.mlp.0",
    r"time_text_embed\.text_embedder\.linear_2": "y_embedder.mlp.2",
    r"context_embedder": "context_embedder",
    r"proj_out": "final_layer.linear",
    r"norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"transformer_blocks\.(\d+)\.attn\.to_(?P<part>[qkv])": r"joint_blocks.\1.x_block.attn.qkv",
    r"transformer_blocks\.(\d+)\.attn\.add_(?P<part>[qkv])_proj": (
        r"joint_blocks.\1.context_block.attn.qkv"
    ),
    r"transformer_blocks\.(\d+)\.attn\.to_out\.0": r"joint_blocks.\1.x_block.attn.proj",
    r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"joint_blocks.\1.context_block.attn.proj",
    r"transformer_blocks\.(\d+)\.(attn2?)\.norm_([qk])": r"joint_blocks.\1.x_block.\2.ln_\3",
    r"transformer_blocks\.(\d+)\.attn\.norm_added_([qk])": (
        r"joint_blocks.\1.context_block.attn.ln_\2"
    ),
    r"transformer_blocks\.(\d+)\.attn2\.to_(?P<part>[qkv])": r"joint_blocks.\1.x_block.attn2.qkv",
    r"transformer_blocks\.(\d+)\.attn2\.to_out\.0": r"joint_blocks.\1.x_block.attn2.proj",
    r"transformer_blocks\.(\d+)\.norm1\.linear": r"joint_blocks.\1.x_block.adaLN_modulation.1",
    r"transformer_blocks\.(\d+)\.norm1_context\.linear": (
        r"joint_blocks.\1.context_block.adaLN_modulation.1"
    ),
    r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"joint_blocks.\1.x_block.mlp.fc1",
    r"transformer_blocks\.(\d+)\.ff\.net\.2": r"joint_blocks.\1.x_block.mlp.fc2",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": (
        r"joint_blocks.\1.context_block.mlp.fc1"
    ),
    r"transformer_blocks\.(\d+)\.ff_context\.net\.2": r"joint_blocks.\1.context_block.mlp.fc2",
}

_AURAFLOW = {
    r"": "",
    r"pos_embed\.proj": "init_x_linear",
    r"time_step_proj\.linear_1": "t_embedder.mlp.0",
    r"time_step_proj\.linear_2": "t_embedder.mlp.2",
    r"context_embedder": "cond_seq_linear",
    r"proj_out": "final_linear",
    r"norm_out\.linear": "modF.1",
    r"joint_transformer_blocks\.(\d+)\.ff\.linear_(\d)": r"double_layers.\1.mlpX.c_fc\2",
    r"joint_transformer_blocks\.(\d+)\.ff\.out_projection": r"double_layers.\1.mlpX.c_proj",
    r"joint_transformer_blocks\.(\d+)\.ff_context\.linear_(\d)": r"double_layers.\1.mlpC.c_fc\2",
    r"joint_transformer_blocks\.(\d+)\.ff_context\.out_projection": (
        r"double_layers.\1.mlpC.c_proj"
    ),
    r"joint_transformer_blocks\.(\d+)\.norm1\.linear": r"double_layers.\1.modX.1",
    r"joint_transformer_blocks\.(\d+)\.norm1_context\.linear": r"double_layers.\1.modC.1",
    r"joint_transformer_blocks\.(\d+)\.attn\.to_([qkv])": r"double_layers.\1.attn.w2\2",
    r"joint_transformer_blocks\.(\d+)\.attn\.to_out\.0": r"double_layers.\1.attn.w2o",
    r"joint_transformer_blocks\.(\d+)\.attn\.add_([qkv])_proj": r"double_layers.\1.attn.w1\2",
    r"joint_transformer_blocks\.(\d+)\.attn\.to_add_out": r"double_layers.\1.attn.w1o",
    r"single_transformer_blocks\.(\d+)\.ff\.linear_(\d)": r"single_layers.\1.mlp.c_fc\2",
    r"single_transformer_blocks\.(\d+)\.ff\.out_projection": r"single_layers.\1.mlp.c_proj",
    r"single_transformer_blocks\.(\d+)\.norm1\.linear": r"single_layers.\1.modCX.1",
    r"single_transformer_blocks\.(\d+)\.attn\.to_([qkv])": r"single_layers.\1.attn.w1\2",
    r"single_transformer_blocks\.(\d+)\.attn\.to_out\.0": r"single_layers.\1.attn.w1o",
}

_LUMINA2 = {
    r"x_embedder": "x_embedder",
    r"time_caption_embed\.caption_embedder\.(\d)": r"cap_embedder.\1",
    r"time_caption_embed\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"time_caption_embed\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"norm_out\.linear_1": "final_layer.adaLN_modulation.1",
    r"norm_out\.linear_2": "final_layer.linear",
    r"(\w+\.\d+)\.attn\.to_(?P<part>[qkv])": r"\1.attention.qkv",
    r"(\w+\.\d+)\.attn\.to_out\.0": r"\1.attention.out",
    r"(\w+\.\d+)\.attn\.norm_([qk])": r"\1.attention.\2_norm",
    r"(\w+\.\d+)\.feed_forward\.linear_(\d)": r"\1.feed_forward.w\2",
    r"(\w+\.\d+)\.norm1\.linear": r"\1.adaLN_modulation.1",
    r"(\w+\.\d+)\.norm1(?:\.norm)?": r"\1.attention_norm1",
    r"(\w+\.\d+)\.norm2": r"\1.attention_norm2",
    r"(\w+\.\d+\.ffn_norm[12])": r"\1",
}

_SANA = {
    r"": "final_layer",
    r"patch_embed\.proj": "x_embedder.proj",
    r"time_embed\.emb\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"time_embed\.emb\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"time_embed\.linear": "t_block.1",
    r"caption_projection\.linear_(\d)": r"y_embedder.y_proj.fc\1",
    r"caption_norm": "attention_y_norm",
    r"proj_out": "final_layer.linear",
    r"transformer_blocks\.(\d+)": r"blocks.\1",
    r"transformer_blocks\.(\d+)\.attn1\.to_(?P<part>[qkv])": r"blocks.\1.attn.qkv",
    r"transformer_blocks\.(\d+)\.attn1\.to_out\.0": r"blocks.\1.attn.proj",
    r"transformer_blocks\.(\d+)\.attn2\.to_q": r"blocks.\1.cross_attn.q_linear",
    r"transformer_blocks\.(\d+)\.attn2\.to_(?P<part>[kv])": r"blocks.\1.cross_attn.kv_linear",
    r"transformer_blocks\.(\d+)\.attn2\.to_out\.0": r"blocks.\1.cross_attn.proj",
    r"transformer_blocks\.(\d+)\.ff\.conv_(inverted|depth|point)": r"blocks.\1.mlp.\2_conv.conv",
}

#: {family: {diffusers' module: the original's}}; modules of one name are joined in `ORDER`.
TABLES = {
    "flux": _FLUX,
    "chroma": _CHROMA,
    "sd3": _SD3,
    "sd35": _SD3,
    "auraflow": _AURAFLOW,
    "lumina2": _LUMINA2,
    "sana": _SANA,
}

#: Single parameters that are called otherwise.
_PARAMETERS = {
    "pos_embed.pos_embed": {
        "sd3": "pos_embed",
        "sd35": "pos_embed",
        "auraflow": "positional_encoding",
    }
}

#: Modules whose rows the original has in another order: scale and shift.
_SWAPPED = r"norm_out\.linear"


def original_name(family: str, name: str) -> tuple[str, int]:
    """What the original code calls a parameter of diffusers', and as which part of it."""
    if name in _PARAMETERS:
        return _PARAMETERS[name][family], 0
    module, _, kind = name.rpartition(".")
    for pattern, to in TABLES[family].items():
        if found := re.fullmatch(pattern, module):
            target = found.expand(to)
            if target.endswith(("query_norm", "key_norm")) or "layer.norms." in target:
                kind = "scale"
            return f"{target}.{kind}".lstrip("."), ORDER.get(found.groupdict().get("part"), 0)
    raise LookupError(name)


def original(family: str, state: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """A transformer's weights as in a file of its original code."""
    parts: dict[str, dict[int, Tensor]] = {}
    blocks = {int(m[1]) for n in state if (m := re.match(r"transformer_blocks\.(\d+)\.", n))}
    swapped = _SWAPPED if family in ("flux", "sd3", "sd35", "auraflow") else "none"
    if family in ("sd3", "sd35"):
        swapped += rf"|transformer_blocks\.{max(blocks)}\.norm1_context\.linear"
    for name, tensor in state.items():
        key, part = original_name(family, name)
        if re.fullmatch(swapped, name.rpartition(".")[0]):
            scale, shift = tensor.chunk(2)
            tensor = torch.cat([shift, scale])
        assert part not in parts.setdefault(key, {}), key
        parts[key][part] = tensor
    out = {key: torch.cat([p[i] for i in sorted(p)]) for key, p in parts.items()}
    if family == "sana":
        out |= {"pos_embed": torch.zeros(1, 64, 32), "y_embedder.y_embedding": torch.zeros(8, 32)}
    if family == "lumina2":
        out["norm_final.weight"] = torch.ones(32)
    return {f"{prefix}{key}": tensor for key, tensor in out.items()}
