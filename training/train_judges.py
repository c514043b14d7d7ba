"""Train the judges on rendered pictures: an image classifier, its control, and a small CLIP. Never on samples.

python -m training.train_judges classifier --vae runs/vae --out runs/classifier
python -m training.train_judges control    --vae runs/vae --out runs/control
python -m training.train_judges clip       --vae runs/vae --out runs/clip

`--minutes` is how long each is trained. `--start FOLDER` goes on from trained weights; with another `--seed` on other
pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
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
from training.common import add_common, autocast, device_of, pictures_to_tensor
from training.data import Item, render
from training.paint import ALL_SETS, SIZE, distractor_names
from training.pocket import build_tokenizer, text_config

CONTROL_HELD_OUT = "twemoji"
MINUTES = {"classifier": 30, "control": 15, "clip": 40}  # enough on two processor cores
CLIP_SIZE = (
    48  # pixels; attention over 36 patches costs half of that over the 64 of the whole picture
)
STYLED = 0.35  # style takes colour or outline away: objects seen through one need more pictures to be learned


def all_objects() -> dict[str, str]:
    """The drawn objects and the distractors only judges know."""
    return W.OBJECTS | W.OTHER_OBJECTS | distractor_names()


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
    """Pictures after encoding, a little latent noise and decoding: what diffusion leaves on a picture. uint8 out."""
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
    """Colour, blur, noise and small shifts on (b, 3, h, w) in [-1, 1]: the artefacts of few-step sampling."""
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
    """Symmetric contrastive loss, and each picture of an object against the captions of all objects.

    A batch holds few of the objects, so the second part teaches to tell them apart.

    Args:
        ids: the pictures' captions, tokens. content: (n, 3), see `targets`; captions of the same content count as matches.
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


def paint(count: int, seed: int, objects: dict[str, str], sets: tuple[str, ...]):
    """Pictures for judges: held-out pairs too, and `STYLED` of them through a style."""
    return render(count, seed=seed, names=objects, sets=sets, allow_held_out=True, styled=STYLED)


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("which", choices=("classifier", "control", "clip"))
    add_common(ap, out=None, minutes=None, batch=128, pictures=60_000)
    ap.add_argument("--vae", default="runs/vae")
    ap.add_argument("--start", default=None, help="a folder with trained weights to begin from")
    args = ap.parse_args()
    args.minutes = args.minutes or MINUTES[args.which]
    torch.manual_seed(args.seed)
    device, folder = device_of(args.device), Path(args.out or f"runs/{args.which}")
    sets = tuple(s for s in ALL_SETS if args.which != "control" or s != CONTROL_HELD_OUT)
    objects = all_objects()
    seed = {"classifier": 200, "control": 300, "clip": 400}[args.which] + args.seed
    pictures, items = paint(args.pictures, seed, objects, sets)
    if (
        args.which == "clip"
    ):  # half of its pictures show what the model draws: a transformer learns slowly
        more, more_items = paint(args.pictures, seed + 50, W.OBJECTS, sets)
        pictures, items = np.concatenate([pictures[::2], more[::2]]), items[::2] + more_items[::2]
    data = torch.from_numpy(pictures)
    vae = AutoencoderKL.from_pretrained(args.vae).to(device).eval()
    part = torch.from_numpy(np.random.default_rng(seed).permutation(len(data))[: len(data) // 4])
    data[part] = through_autoencoder(vae, data[part], device, seed)
    names = labels(objects)
    tokenizer = None
    content = targets(items, names)
    if args.which == "clip":
        tokenizer = build_tokenizer(folder / "tokenizer", tuple(objects))
        model = (
            CLIPModel.from_pretrained(args.start, dtype=torch.float32)
            if args.start
            else build_clip(tokenizer)
        )
        text = tokenizer(
            [i.caption for i in items], padding="max_length", truncation=True, return_tensors="pt"
        )
        captions = text.input_ids
        model.set_attn_implementation(
            "eager"
        )  # on the CPU its backward pass is much cheaper than the fused one's
        spoken = [
            tokenizer(
                [f"{W.with_article(o)}{place}" for o in objects],
                padding="max_length",
                truncation=True,
                return_tensors="pt",
            ).input_ids.to(device)
            for place in ("", *(f" in {W.with_article(s)}" for s in W.SCENES))
        ]
    elif args.start:
        model = ResNetForImageClassification.from_pretrained(args.start, dtype=torch.float32)
        names = [model.config.id2label[i] for i in range(len(names))]
        content = targets(items, names)
    else:
        model = build_classifier(names)
    model = model.to(device, memory_format=torch.channels_last).train()
    print(
        f"{args.which}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters",
        flush=True,
    )
    opt = torch.optim.AdamW(
        model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98), fused=True
    )
    peak = 1e-3 if args.start or args.which == "clip" else 2e-3
    start, step, running = time.time(), 0, 0.0
    while (spent := (time.time() - start) / (args.minutes * 60)) < 1:
        for g in opt.param_groups:
            g["lr"] = peak * min(1, (step + 1) / 100, (1 - spent) / 0.6 + 1e-3)
        index = torch.randint(0, len(data), (args.batch,))
        x = augment(pictures_to_tensor(data[index], device))
        if args.which == "clip":  # as the image processor does it
            x = F.interpolate(x, size=CLIP_SIZE, mode="bilinear", antialias=True)
        x, y = x.contiguous(memory_format=torch.channels_last), content[index].to(device)
        with autocast(device):
            if args.which == "clip":
                loss = clip_loss(
                    model, x, captions[index].to(device), y, spoken[step % len(spoken)]
                )
            else:
                loss = group_loss(model(x).logits.float(), y, names)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        step, running = step + 1, running * 0.98 + loss.item() * 0.02
        if step % 100 == 0:
            print(
                f"step {step} loss {running / (1 - 0.98**step):.4f} {spent * args.minutes:.1f} min",
                flush=True,
            )
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder, CLIP_SIZE if args.which == "clip" else SIZE, tokenizer)
    note = {
        "steps": step,
        "pictures": step * args.batch,
        "minutes": args.minutes,
        "sets": sets,
        "seed": args.seed,
        "start": args.start,
    }
    (folder / "training.json").write_text(json.dumps(note, indent=1))


if __name__ == "__main__":
    main()
