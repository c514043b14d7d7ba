"""Train the pocket UNet and its text encoder around a trained autoencoder. Resumable: run it again to go on.

    python -m training.train_pocket --minutes 60 --vae runs/vae --out runs/pocket

``--out`` collects ``checkpoint.safetensors`` + ``checkpoint.json`` (to go on), ``log.csv``, ``samples-*.png`` and
``pipeline/`` (float16, exponential moving average: what is shipped). ``--start FOLDER`` begins from a shipped pipeline.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file

from conceptrevive.concepts import world as W
from training.common import add_common, autocast, device_of, pictures_to_tensor, sheet
from training.data import render
from training.pocket import build_pipeline, build_tokenizer, half_copy

CAPTION_DROPOUT = 0.1
EMA = 0.999
STYLED = 0.24  # share of pictures seen through a style: five styles are harder to learn than eight scenes
SHEET_PROMPTS = [
    f"{W.with_article(o)} in {W.with_article(W.SCENES[i % 8])}" for i, o in enumerate(W.OBJECTS)
]
SHEET_PROMPTS += [
    W.with_article(o) + W.STYLE_SUFFIX.format(style=W.STYLES[i % 5])
    for i, o in enumerate(W.OBJECTS)
][:16]


@torch.no_grad()
def encode_pictures(
    vae: AutoencoderKL, pictures: torch.Tensor, device: torch.device
) -> torch.Tensor:
    """Scaled latent means of uint8 pictures, bfloat16 (n, 8, 16, 16)."""
    out = []
    for batch in pictures.split(256):
        with autocast(device):
            mean = vae.encode(pictures_to_tensor(batch, device)).latent_dist.mean
        out.append((mean * vae.config.scaling_factor).bfloat16().cpu().contiguous())
    return torch.cat(out)


def prepare(
    args, vae: AutoencoderKL, tokenizer, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and caption tokens, from the cache beside the run if its settings match."""
    cache = Path(args.out) / f"latents-{args.data_seed}-{args.pictures}.safetensors"
    if cache.exists():
        data = load_file(cache)
    else:
        pictures, items = render(args.pictures, seed=args.data_seed, styled=STYLED)
        tokens = tokenizer(
            [i.caption for i in items], padding="max_length", truncation=True, return_tensors="pt"
        )
        data = {
            "latents": encode_pictures(vae, torch.from_numpy(pictures), device),
            "tokens": tokens.input_ids.to(torch.int16),
        }
        save_file(data, cache)
    return data["latents"], data["tokens"].long()


def parameter_groups(pipe: StableDiffusionPipeline, decay: float) -> list[dict]:
    """`decay` on every UNet matrix and kernel; 0.01 on the text encoder's; none on biases, norms and embeddings."""
    unet = [p for p in pipe.unet.parameters() if p.ndim >= 2]
    text = [
        p for n, p in pipe.text_encoder.named_parameters() if p.ndim >= 2 and "embedding" not in n
    ]
    chosen = {id(p) for p in unet + text}
    rest = [
        p for m in (pipe.unet, pipe.text_encoder) for p in m.parameters() if id(p) not in chosen
    ]
    return [
        {"params": unet, "weight_decay": decay},
        {"params": text, "weight_decay": 0.01},
        {"params": rest, "weight_decay": 0.0},
    ]


def learning_rate(args, step: int, spent: float) -> float:
    """Warm-up over 200 steps, constant, and (with --finish) a linear fall over the last part of the time."""
    lr = args.lr * min(1.0, (step + 1) / 200)
    if args.finish:
        left = 1 - spent / (args.minutes * 60)
        lr *= min(1.0, max(0.02, left / args.finish))
    return lr


def save_checkpoint(folder: Path, pipe, opt, ema, state: dict) -> None:
    """Everything needed to go on, written aside and then renamed."""
    tensors = {f"ema.{i}": e for i, e in enumerate(ema)}
    params = [p for g in opt.param_groups for p in g["params"]]
    for i, p in enumerate(params):
        tensors[f"param.{i}"] = p.detach()
        for key in ("exp_avg", "exp_avg_sq"):
            if p in opt.state:
                tensors[f"{key}.{i}"] = opt.state[p][key]
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    save_file(tensors, folder / "checkpoint.tmp")
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.safetensors")
    (folder / "checkpoint.tmp").write_text(json.dumps(state))
    os.replace(folder / "checkpoint.tmp", folder / "checkpoint.json")


def load_checkpoint(folder: Path, opt, ema) -> dict:
    """Restore what `save_checkpoint` wrote."""
    tensors = load_file(folder / "checkpoint.safetensors")
    state = json.loads((folder / "checkpoint.json").read_text())
    for i, p in enumerate(p for g in opt.param_groups for p in g["params"]):
        p.data.copy_(tensors[f"param.{i}"])
        ema[i].copy_(tensors[f"ema.{i}"])
        opt.state[p] = {
            "step": torch.tensor(float(state["step"])),
            "exp_avg": tensors[f"exp_avg.{i}"].clone(),
            "exp_avg_sq": tensors[f"exp_avg_sq.{i}"].clone(),
        }
    return state


@torch.no_grad()
def export(folder: Path, pipe, params, ema, device, state: dict) -> None:
    """Write the averaged weights as the shippable pipeline, with a sheet of samples."""
    backup = [p.detach().clone() for p in params]
    for p, e in zip(params, ema, strict=True):
        p.copy_(e)
    half_copy(pipe).save_pretrained(folder / "pipeline", safe_serialization=True)
    (folder / "pipeline" / "training.json").write_text(json.dumps(state, indent=1))
    pipe.unet.eval()
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn(len(SHEET_PROMPTS), 8, 16, 16, generator=generator).to(device)
    with autocast(device):
        images = pipe(
            SHEET_PROMPTS,
            num_inference_steps=20,
            guidance_scale=3.0,
            latents=latents,
            output_type="pt",
        ).images
    sheet(images * 2 - 1, folder / f"samples-{state['step']:06d}.png", columns=16)
    pipe.unet.train()
    for p, b in zip(params, backup, strict=True):
        p.copy_(b)


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_common(ap, out="runs/pocket", minutes=60, batch=96, pictures=48_000)
    ap.add_argument("--vae", default="runs/vae")
    ap.add_argument(
        "--start",
        default=None,
        help="a pipeline folder to begin from instead of a random initialisation",
    )
    ap.add_argument(
        "--data-seed",
        type=int,
        default=100,
        help="seed of the painted pictures; a new one paints new ones",
    )
    ap.add_argument("--lr", type=float, default=8e-4)
    ap.add_argument("--weight-decay", type=float, default=0.5)
    ap.add_argument(
        "--finish",
        type=float,
        default=0.0,
        help="let the rate fall over this last share of the time",
    )
    ap.add_argument(
        "--min-snr", type=float, default=5.0, help="min-SNR loss weighting; 0 for the plain loss"
    )
    ap.add_argument("--save-every", type=float, default=6.0, help="minutes between checkpoints")
    ap.add_argument("--threads", type=int, default=0)
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device, folder = device_of(args.device), Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    if args.start:
        pipe = StableDiffusionPipeline.from_pretrained(args.start, torch_dtype=torch.float32)
        history = json.loads((Path(args.start) / "training.json").read_text())
    else:
        pipe = build_pipeline(
            AutoencoderKL.from_pretrained(args.vae), build_tokenizer(folder / "tokenizer")
        )
        history = {"step": 0, "pictures": 0, "minutes": 0.0, "total_decay": 0.0}
    pipe.set_progress_bar_config(disable=True)
    pipe.to(device)
    pipe.vae.eval().requires_grad_(False)
    latents, tokens = prepare(args, pipe.vae, pipe.tokenizer, device)
    empty = torch.tensor(pipe.tokenizer("", padding="max_length").input_ids, device=device)
    unet, text = pipe.unet.to(memory_format=torch.channels_last).train(), pipe.text_encoder.train()
    unet.set_attn_processor(
        AttnProcessor()
    )  # on the CPU its backward pass is much cheaper than the fused one's
    opt = torch.optim.AdamW(
        parameter_groups(pipe, args.weight_decay), lr=args.lr, betas=(0.9, 0.98), fused=True
    )
    params = [p for g in opt.param_groups for p in g["params"]]
    ema = [p.detach().clone() for p in params]
    state = dict(history)
    if (folder / "checkpoint.json").exists():
        state = load_checkpoint(folder, opt, ema)
    print(
        f"UNet {sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M, {len(latents)} pictures, {state}",
        flush=True,
    )
    alphas = pipe.scheduler.alphas_cumprod.to(device)
    spent_before, start, last = state["minutes"] - history["minutes"], time.time(), time.time()
    losses: list[float] = []
    while (spent := spent_before * 60 + time.time() - start) < args.minutes * 60:
        lr = learning_rate(args, state["step"], spent)
        for g in opt.param_groups:
            g["lr"] = lr
        index = torch.randint(0, len(latents), (args.batch,))
        z, ids = latents[index].to(device).float(), tokens[index].to(device)
        ids[torch.rand(args.batch) < CAPTION_DROPOUT] = empty
        noise = torch.randn_like(z)
        # One time step from each of `batch` equal ranges: the loss varies less from batch to batch.
        t = (
            ((torch.arange(args.batch) + torch.rand(args.batch)) * (1000 / args.batch))
            .long()
            .to(device)
        )
        a = alphas[t].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * z + (1 - a).sqrt() * noise).contiguous(
            memory_format=torch.channels_last
        )
        with autocast(device):
            predicted = unet(noisy, t, text(ids)[0]).sample
        each = ((predicted.float() - noise) ** 2).mean((1, 2, 3))
        snr = (a / (1 - a)).flatten()
        weight = (snr.clamp_max(args.min_snr) / snr) if args.min_snr else torch.ones_like(snr)
        loss = (weight * each).mean()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"loss is {loss.item()} at step {state['step']}: lower --lr")
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        state["step"] += 1
        state["pictures"] += args.batch
        state["total_decay"] += lr * args.weight_decay
        # The average's memory grows with the run, so that early exports are not full of the initialisation.
        torch._foreach_lerp_(
            ema, [p.detach() for p in params], 1 - min(EMA, 1 - 1 / (1 + 0.1 * state["step"]))
        )
        losses.append(each.mean().item())
        if state["step"] % 50 == 0:
            state["minutes"] = history["minutes"] + (spent_before * 60 + time.time() - start) / 60
            line = f"{state['step']},{sum(losses) / len(losses):.5f},{lr:.2e},{state['total_decay']:.3f},{state['minutes']:.2f}"
            print(line, flush=True)
            with (folder / "log.csv").open("a") as log:
                log.write(line + "\n")
            losses.clear()
        if time.time() - last > args.save_every * 60:
            save_checkpoint(folder, pipe, opt, ema, state)
            export(folder, pipe, params, ema, device, state)
            last = time.time()
    state["minutes"] = history["minutes"] + (spent_before * 60 + time.time() - start) / 60
    save_checkpoint(folder, pipe, opt, ema, state)
    export(folder, pipe, params, ema, device, state)


if __name__ == "__main__":
    main()
