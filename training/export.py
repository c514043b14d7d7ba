"""The shippable pipeline and a sheet of samples, from the weights as they stand."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from conceptrevive.concepts import world as W
from training.checkpoints import Past
from training.common import autocast, sheet
from training.pocket import save_half
from training.worlds import World


def sheet_prompts(world: World) -> list[str]:
    """Every object once in a scene, then sixteen through a style."""
    objects = list(world.objects)
    scenes = [
        f"{W.with_article(o)} in {W.with_article(W.SCENES[i % len(W.SCENES)])}"
        for i, o in enumerate(objects)
    ]
    styles = [
        W.with_article(o) + W.STYLE_SUFFIX.format(style=W.STYLES[i % len(W.STYLES)])
        for i, o in enumerate(objects[:16])
    ]
    return scenes + styles


@torch.no_grad()
def export(pipe: StableDiffusionPipeline, past: Past, world: World, folder: Path) -> None:
    """Write `pipeline/` in float16 with its `training.json`, and `samples-STEP.png`."""
    target, aside = folder / "pipeline", folder / "pipeline.new"
    shutil.rmtree(aside, ignore_errors=True)
    save_half(pipe, aside)
    past.write(aside / "training.json")
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    prompts, config = sheet_prompts(world), pipe.unet.config
    shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(7)).to(pipe.device)
    pipe.unet.eval()
    with autocast(pipe.device):
        images = pipe(
            prompts,
            num_inference_steps=20,
            guidance_scale=3.0,
            latents=latents,
            output_type="pt",
        ).images
    pipe.unet.train()
    sheet(images * 2 - 1, folder / f"samples-{past.step:06d}.png", columns=16)
