"""Stable Diffusion 1.5's shapes with random weights: for timing where its own are not there."""

from __future__ import annotations

import math

import torch

#: Channels of the UNet's and of the autoencoder's blocks; width and heads of the text encoder.
UNET, AUTOENCODER, TEXT, HEADS = (320, 640, 1280, 1280), (128, 256, 512, 512), 768, 12

#: Tokens that its text encoder knows, and takes at a time.
VOCABULARY, TOKENS = 49408, 77

#: What channels are normalised in groups of.
GROUPS = 32


def scaled(channels: tuple[int, ...], share: float) -> tuple[int, ...]:
    """A share of the channels, in whole groups; at least one group."""
    return tuple(GROUPS * max(1, math.ceil(share * c / GROUPS)) for c in channels)


def random_parts(tokenizer, size: int = 64, share: float = 1.0):
    """SD-1.5's UNet, autoencoder and text encoder as their classes initialise them.

    Args:
        size: side of the latents, 64 for pictures of 512 × 512.
        share: of every width; 1.0 is exact.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    heads = max(1, round(share * HEADS))
    width = TEXT // HEADS * heads
    unet = UNet2DConditionModel(
        sample_size=size,
        block_out_channels=scaled(UNET, share),
        cross_attention_dim=width,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        block_out_channels=scaled(AUTOENCODER, share),
        layers_per_block=2,
        latent_channels=4,
        sample_size=8 * size,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=12,
            num_attention_heads=heads,
            projection_dim=width,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return unet, vae, text


def random_sd15(
    device: torch.device, dtype: torch.dtype, seed: int = 0, size: int = 64, share: float = 1.0
):
    """A pipeline of exactly SD-1.5's shapes, random; the pocket's tokenizer and scheduler.

    Args:
        size, share: see `random_parts`; smaller ones rehearse.
    """
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    from conceptrevive.files import ASSETS
    from conceptrevive.models.pipeline import hushed

    with hushed(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = CLIPTokenizer.from_pretrained(
            ASSETS / "pocket/tokenizer", model_max_length=TOKENS
        )
        unet, vae, text = random_parts(tokenizer, size, share)
        for part in (unet, vae, text):
            part.to(dtype)
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(ASSETS / "pocket/scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for part in (pipe.vae, pipe.text_encoder, pipe.unet):
        part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)
