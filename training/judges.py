"""The judges' models, losses and what pictures go through before they are judged."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    ResNetConfig,
    ResNetForImageClassification,
)

from conceptrevive.concepts import world as W
from training.common import autocast, pictures_to_tensor
from training.data import Item
from training.layout import write_vocabulary
from training.pocket import text_config

# Pixels; attention over 36 patches costs half of that over the 64 of the whole picture.
CLIP_SIZE = 48


def labels(objects) -> list[str]:
    """`object:…`, `scene:…`, `style:…`; each group with a `none`."""
    groups = {
        "object": [*objects, "none"],
        "scene": [*W.SCENES, "none"],
        "style": [*W.STYLES, "none"],
    }
    return [f"{g}:{n}" for g, names in groups.items() for n in names]


def targets(items: list[Item], names: list[str]) -> torch.Tensor:
    """Label index per group, int64 (n, 3), within `names`."""
    index = {n: i for i, n in enumerate(names)}
    rows = [
        [index[f"{g}:{getattr(i, g) or 'none'}"] for g in ("object", "scene", "style")]
        for i in items
    ]
    return torch.tensor(rows)


def group_loss(logits: torch.Tensor, target: torch.Tensor, names: list[str]) -> torch.Tensor:
    """Sum of one cross-entropy per group; the scene and style groups weigh less."""
    loss = logits.new_zeros(())
    for column, (group, weight) in enumerate((("object", 1.0), ("scene", 0.3), ("style", 0.2))):
        members = [i for i, n in enumerate(names) if n.startswith(group + ":")]
        first = members[0]
        loss = loss + weight * F.cross_entropy(
            logits[:, first : members[-1] + 1], target[:, column] - first, label_smoothing=0.05
        )
    return loss


@torch.no_grad()
def through_autoencoder(
    vae: AutoencoderKL, pictures: torch.Tensor, device, seed: int, noise: float = 0.35
) -> torch.Tensor:
    """Pictures after encoding, a little latent noise and decoding, uint8.

    That is what diffusion leaves on a picture.
    """
    out, generator = [], torch.Generator().manual_seed(seed)
    for batch in pictures.split(128):
        with autocast(device):
            z = vae.encode(pictures_to_tensor(batch, device)).latent_dist.mean
            level = (
                torch.rand(len(z), 1, 1, 1, generator=generator).to(device)
                * noise
                / vae.config.scaling_factor
            )
            y = vae.decode(z + torch.randn(z.shape, generator=generator).to(device) * level).sample
        out.append(((y.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(out)


def augment(x: torch.Tensor) -> torch.Tensor:
    """Colour, blur, noise and small shifts on (b, 3, h, w) in [-1, 1].

    Such are the artefacts of few-step sampling.
    """
    b = len(x)
    gain = 1 + 0.3 * (torch.rand(b, 3, 1, 1, device=x.device) - 0.5)
    x = x * gain + 0.25 * (torch.rand(b, 3, 1, 1, device=x.device) - 0.5)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    mix = torch.rand(b, 1, 1, 1, device=x.device) * (torch.rand(b, 1, 1, 1, device=x.device) < 0.5)
    x = x + mix * (blurred - x)
    x = x + torch.randn_like(x) * torch.rand(b, 1, 1, 1, device=x.device) * 0.15
    dy, dx = (int(v) for v in torch.randint(-4, 5, (2,)))
    return torch.roll(F.pad(x, (4, 4, 4, 4), mode="replicate"), (dy, dx), (2, 3))[
        ..., 4:-4, 4:-4
    ].clamp(-1, 1)


def build_classifier(names: list[str]) -> ResNetForImageClassification:
    """A ResNet of the transformers library, small enough to ship."""
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=48,
            hidden_sizes=[48, 96, 192],
            depths=[2, 2, 2],
            layer_type="basic",
            id2label=dict(enumerate(names)),
            label2id={n: i for i, n in enumerate(names)},
        )
    )


def build_clip(tokenizer) -> CLIPModel:
    """A CLIP of about a million parameters."""
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=CLIP_SIZE,
        patch_size=8,
        projection_dim=96,
    )
    text = text_config(tokenizer, 96, 2, 4)
    return CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=96)
    )


def clip_loss(
    model: CLIPModel, x: torch.Tensor, ids: torch.Tensor, content: torch.Tensor, names: torch.Tensor
) -> torch.Tensor:
    """Symmetric contrastive loss, and each picture of an object against all objects' captions.

    A batch holds few of the objects, so the second part teaches to tell them apart.

    Args:
        ids: the pictures' captions, tokens.
        content: (n, 3), see `targets`; captions of the same content count as matches.
        names: tokens of one caption per object, in the order of `targets`.
    """
    out = model(input_ids=torch.cat([ids, names]), pixel_values=x)
    scores = out.logits_per_image.float()
    logits, objects = scores[:, : len(ids)], scores[:, len(ids) :]
    same = (content[:, None] == content[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    shown = content[:, 0] < len(names)
    contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    return contrast + F.cross_entropy(objects[shown], content[shown, 0])


def save(model, folder: Path, size: int, tokenizer=None) -> None:
    """float16 safetensors with the image processor beside it."""
    model.eval().half().save_pretrained(folder)
    CLIPImageProcessorPil(
        do_resize=True,
        size={"height": size, "width": size},
        do_center_crop=False,
        do_rescale=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        do_convert_rgb=True,
        resample=2,
    ).save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
        write_vocabulary(folder)
