"""Painted pictures as latents and tokens, kept on disk for the stages that share them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer

from conceptrevive.files import replacing
from training.common import autocast, pictures_to_tensor
from training.data import render
from training.stages import Stage

STYLED = 0.24  # share seen through a style: five styles are harder to learn than eight scenes


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, pictures: Tensor, device: torch.device) -> Tensor:
    """Scaled latent means of uint8 pictures (n, 64, 64, 3): bfloat16 (n, 8, 16, 16)."""
    out = []
    for batch in pictures.split(256):
        with autocast(device):
            mean = vae.encode(pictures_to_tensor(batch, device)).latent_dist.mean
        out.append((mean * vae.config.scaling_factor).bfloat16().cpu().contiguous())
    return torch.cat(out)


def tokens_of(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """int64 (captions, positions)."""
    rows = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return rows.input_ids.long()


def prepare(
    stage: Stage, pipe: StableDiffusionPipeline, device: torch.device, cache: Path
) -> tuple[Tensor, Tensor]:
    """Latents and caption tokens of a stage's pictures, from `cache` if they are there."""
    path = cache / f"{_fingerprint(stage, pipe)}.safetensors"
    if not path.exists():
        pictures, items = render(
            stage.pictures, stage.data_seed, stage.world, tuple(stage.artwork), styled=STYLED
        )
        data = {
            "latents": encode_pictures(pipe.vae, torch.from_numpy(pictures), device),
            "tokens": tokens_of(pipe.tokenizer, [i.caption for i in items]).to(torch.int16),
        }
        with replacing(path) as temporary:
            save_file(data, temporary)
    data = load_file(path)
    return data["latents"], data["tokens"].long()


def _fingerprint(stage: Stage, pipe: StableDiffusionPipeline) -> str:
    """Of everything the latents and tokens depend on."""
    shown = (stage.data_seed, stage.pictures, stage.objects, stage.phrases, stage.artwork, STYLED)
    digest = hashlib.sha256(repr((shown, sorted(pipe.tokenizer.get_vocab().items()))).encode())
    for _, value in sorted(pipe.vae.state_dict().items()):
        digest.update(value.float().cpu().numpy().tobytes())
    return f"{stage.data_seed}-{stage.pictures}-{digest.hexdigest()[:12]}"
