"""Train the judges on rendered pictures: a classifier, its control, a small CLIP. Never on samples.

    python -m training.train_judges classifier --vae runs/vae --out runs/classifier
    python -m training.train_judges control    --vae runs/vae --out runs/control
    python -m training.train_judges clip       --vae runs/vae --out runs/clip

`--minutes` is how long each is trained. `--start FOLDER` goes on from trained weights; with another
`--seed` on other pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer, PreTrainedModel, ResNetForImageClassification

from conceptrevive.concepts import world as W
from training.artwork import ALL_SETS, SIZE, distractor_names
from training.common import add_common, autocast, device_of, pictures_to_tensor
from training.data import Item, render
from training.judges import (
    CLIP_SIZE,
    augment,
    build_classifier,
    build_clip,
    clip_loss,
    group_loss,
    labels,
    save,
    targets,
    through_autoencoder,
)
from training.latents import tokens_of
from training.pocket import build_tokenizer
from training.worlds import FIRST, FIRST_PHRASES, World

CONTROL_HELD_OUT = "twemoji"
MINUTES = {"classifier": 30, "control": 15, "clip": 40}  # enough on two processor cores
SEEDS = {"classifier": 200, "control": 300, "clip": 400}
# Style takes colour or outline away: objects seen through one need more pictures to be learned.
STYLED = 0.35

#: (pictures, their index, number of the step) → loss
Loss = Callable[[Tensor, Tensor, int], Tensor]


def known_world() -> World:
    """The drawn objects and the distractors only judges know."""
    return World(W.OBJECTS | distractor_names(), FIRST_PHRASES)


def pictures_for(which: str, count: int, seed: int, world: World) -> tuple[np.ndarray, list[Item]]:
    """What a judge learns from: held-out pairs too, and 35 % through a style."""
    sets = artwork_for(which)

    def painted(shown: World, seed: int) -> tuple[np.ndarray, list[Item]]:
        return render(count, seed, shown, sets, allow_held_out=True, styled=STYLED)

    pictures, items = painted(world, seed)
    if which == "clip":
        # Half of its pictures show what the model draws: a transformer learns slowly.
        more, more_items = painted(FIRST, seed + 50)
        return np.concatenate([pictures[::2], more[::2]]), items[::2] + more_items[::2]
    return pictures, items


def artwork_for(which: str) -> tuple[str, ...]:
    """Every set but, for the control, one."""
    return tuple(s for s in ALL_SETS if which != "control" or s != CONTROL_HELD_OUT)


def clip_judge(
    start: str | None, tokenizer: CLIPTokenizer, items: list[Item], world: World, device
) -> tuple[CLIPModel, Loss]:
    """CLIP, from trained weights if `start`, and its loss."""
    model = (
        CLIPModel.from_pretrained(start, dtype=torch.float32) if start else build_clip(tokenizer)
    )
    # On the CPU its backward pass is much cheaper than the fused one's.
    model.set_attn_implementation("eager")
    captions = tokens_of(tokenizer, [i.caption for i in items])
    spoken = [
        tokens_of(tokenizer, [f"{W.with_article(o)}{place}" for o in world.objects]).to(device)
        for place in ("", *(f" in {W.with_article(s)}" for s in W.SCENES))
    ]
    content = targets(items, labels(world.objects))

    def loss(x: Tensor, index: Tensor, step: int) -> Tensor:
        # As the image processor does it.
        x = F.interpolate(x, size=CLIP_SIZE, mode="bilinear", antialias=True)
        x = x.contiguous(memory_format=torch.channels_last)
        ids, y = captions[index].to(device), content[index].to(device)
        return clip_loss(model, x, ids, y, spoken[step % len(spoken)])

    return model, loss


def classifier_judge(
    start: str | None, items: list[Item], world: World, device
) -> tuple[ResNetForImageClassification, Loss]:
    """A classifier, from trained weights if `start`, and its loss."""
    names = labels(world.objects)
    if start:
        model = ResNetForImageClassification.from_pretrained(start, dtype=torch.float32)
        names = [model.config.id2label[i] for i in range(len(names))]
    else:
        model = build_classifier(names)
    content = targets(items, names)

    def loss(x: Tensor, index: Tensor, step: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return group_loss(model(x).logits.float(), content[index].to(device), names)

    return model, loss


def fit(
    model: PreTrainedModel, loss_of: Loss, data: Tensor, device, batch: int, minutes: float, peak
) -> int:
    """Train for `minutes`, the rate falling over the last 60 %; returns the number of steps."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98), fused=True
    )
    start, step, running = time.time(), 0, 0.0
    while (spent := (time.time() - start) / (minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1, (step + 1) / 100, (1 - spent) / 0.6 + 1e-3)
        index = torch.randint(0, len(data), (batch,))
        x = augment(pictures_to_tensor(data[index], device))
        with autocast(device):
            loss = loss_of(x, index, step)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step, running = step + 1, running * 0.98 + loss.item() * 0.02
        if step % 100 == 0:
            mean = running / (1 - 0.98**step)
            print(f"step {step} loss {mean:.4f} {spent * minutes:.1f} min", flush=True)
    return step


def main() -> None:
    """Train one judge."""
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("which", choices=tuple(MINUTES))
    add_common(ap, out=None, minutes=None, batch=128, pictures=60_000)
    ap.add_argument("--vae", default="runs/vae")
    ap.add_argument("--start", default=None, help="a folder with trained weights to begin from")
    args = ap.parse_args()
    which, minutes = args.which, args.minutes or MINUTES[args.which]
    torch.manual_seed(args.seed)
    device, folder = device_of(args.device), Path(args.out or f"runs/{which}")
    seed, world = SEEDS[which] + args.seed, known_world()
    pictures, items = pictures_for(which, args.pictures, seed, world)
    data = torch.from_numpy(pictures)
    vae = AutoencoderKL.from_pretrained(args.vae).to(device).eval()
    part = torch.from_numpy(np.random.default_rng(seed).permutation(len(data))[: len(data) // 4])
    data[part] = through_autoencoder(vae, data[part], device, seed)
    tokenizer = build_tokenizer(folder / "tokenizer", world) if which == "clip" else None
    if tokenizer is not None:
        model, loss = clip_judge(args.start, tokenizer, items, world, device)
    else:
        model, loss = classifier_judge(args.start, items, world, device)
    model.to(device, memory_format=torch.channels_last).train()
    print(
        f"{which}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True
    )
    peak = 1e-3 if args.start or which == "clip" else 2e-3
    steps = fit(model, loss, data, device, args.batch, minutes, peak)
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder, CLIP_SIZE if which == "clip" else SIZE, tokenizer)
    note = {
        "steps": steps,
        "pictures": steps * args.batch,
        "minutes": minutes,
        "sets": artwork_for(which),
        "seed": args.seed,
        "start": args.start,
    }
    (folder / "training.json").write_text(json.dumps(note, indent=1))


if __name__ == "__main__":
    main()
