"""A tiny random StableDiffusionPipeline, built offline in about a second.

It has two widths, a byte tokenizer and no training.
"""

from __future__ import annotations

from typing import Any

MAX_TOKENS = 24


def build_pipeline(seed: int = 0) -> Any:
    """The random pipeline, smaller yet than `families.sd15`."""
    import torch

    from tests import families as F

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = F.unet(sample_size=8, cross_attention_dim=16)
        vae = F.vae()
        text = F.clip_text(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=16,
        )
        # Larger than the default initialisation, so that prompts matter to the denoiser.
        for name, p in unet.named_parameters():
            if "attn2.to_v" in name or "attn2.to_out.0.weight" in name:
                p.data.mul_(4)
    pipe = F.stable_diffusion(
        unet=unet, vae=vae, text_encoder=text, tokenizer=F.bytes_tokenizer(MAX_TOKENS)
    )
    return F.ready(pipe)
