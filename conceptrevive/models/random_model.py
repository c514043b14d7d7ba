"""Stable Diffusion 1.5's shapes with random weights: for timing and trying where its own are not.

Whatever is found in such a model means nothing; shapes, counts, files, time and memory do.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from conceptrevive.files import ASSETS
from conceptrevive.models.pipeline import hushed
from conceptrevive.models.protocol import TextToImage

#: Channels of the UNet's and of the autoencoder's blocks; width and heads of the text encoder.
UNET, AUTOENCODER, TEXT, HEADS = (320, 640, 1280, 1280), (128, 256, 512, 512), 768, 12

#: Tokens that its text encoder knows, and takes at a time.
VOCABULARY, TOKENS = 49408, 77

#: Side and channels of the latents of a picture of 512 × 512.
LATENT, CHANNELS = 64, 4

#: What channels are normalised in groups of.
GROUPS = 32


def scaled(channels: tuple[int, ...], share: float) -> tuple[int, ...]:
    """A share of the channels, in whole groups; at least one group."""
    return tuple(GROUPS * max(1, math.ceil(share * c / GROUPS)) for c in channels)


def random_parts(
    size: int = LATENT, share: float = 1.0, begin: int = VOCABULARY - 2, end: int = VOCABULARY - 1
) -> tuple[Any, Any, Any]:
    """SD-1.5's UNet, autoencoder and text encoder as their classes initialise them.

    On the device meta (`with torch.device("meta")`) they have shapes and no values.

    Args:
        size: side of the latents, 64 for pictures of 512 × 512.
        share: of every width; 1.0 is exact.
        begin, end: the tokenizer's first and last token of a prompt.
    """
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    library: Any = diffusers
    heads = max(1, round(share * HEADS))
    width = TEXT // HEADS * heads
    unet = library.UNet2DConditionModel(
        sample_size=size,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=scaled(UNET, share),
        cross_attention_dim=width,
        attention_head_dim=8,
    )
    vae = library.AutoencoderKL(
        block_out_channels=scaled(AUTOENCODER, share),
        layers_per_block=2,
        latent_channels=CHANNELS,
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
            bos_token_id=begin,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    parts: tuple[Any, Any, Any] = unet, vae, text
    for part in parts:
        part.eval().requires_grad_(False)
    return parts


def random_sd15(
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    size: int = LATENT,
    share: float = 1.0,
) -> TextToImage:
    """A pipeline of exactly SD-1.5's shapes, random; the pocket's tokenizer and scheduler.

    Args:
        size, share: see `random_parts`; smaller ones rehearse.
    """
    import diffusers
    from transformers import CLIPTokenizer

    library: Any = diffusers
    with hushed(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = CLIPTokenizer.from_pretrained(
            ASSETS / "pocket/tokenizer", model_max_length=TOKENS
        )
        unet, vae, text = random_parts(size, share, tokenizer.bos_token_id, tokenizer.eos_token_id)
        for part in (unet, vae, text):
            part.to(dtype)
        pipe = library.StableDiffusionPipeline(
            vae=vae,
            text_encoder=text,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=library.DDIMScheduler.from_pretrained(ASSETS / "pocket/scheduler"),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    loaded: TextToImage = pipe.to(device)
    return loaded
