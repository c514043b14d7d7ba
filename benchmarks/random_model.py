"""Stable Diffusion 1.5's shapes with random weights: for timing where its own are not there."""

from __future__ import annotations

import torch


def random_sd15(
    device: torch.device,
    dtype: torch.dtype,
    seed: int = 0,
    size: int = 64,
    channels=(320, 640, 1280, 1280),
):
    """A pipeline with SD-1.5's UNet (860 M parameters), random; the pocket's tokenizer, scheduler.

    Args:
        size: side of the latents, 64 for pictures of 512 × 512. channels: smaller ones rehearse.
    """
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from conceptrevive.files import ASSETS
    from conceptrevive.models.pipeline import hushed

    with hushed(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = CLIPTokenizer.from_pretrained(ASSETS / "pocket/tokenizer")
        unet = UNet2DConditionModel(
            sample_size=size,
            block_out_channels=channels,
            cross_attention_dim=768,
            attention_head_dim=8,
        ).to(dtype)
        vae = AutoencoderKL(
            block_out_channels=(32, 32, 32, 32),
            latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    pipe = StableDiffusionPipeline(
        vae=vae.to(dtype),
        text_encoder=text.to(dtype),
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
